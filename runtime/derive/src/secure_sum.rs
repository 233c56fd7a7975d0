//! `#[derive(SecureSum)]` and `#[derive(Averaged)]`.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::{Data, DeriveInput, Error, Expr, ExprLit, Field, Lit, Member, Result, Type};

/// What a field is to the sum.
enum Role {
    /// `#[secure_sum(weight)]`
    Weight,
    /// `#[secure_sum(shape = […])]`: a tensor.
    Tensor(Box<Expr>),
    /// Averaged by its type.
    Averaged,
}

/// What a weight might be by mistake; the compiler would advise a conversion where none can stand.
const OTHER_NUMBERS: [&str; 13] =
    ["u8", "u16", "u32", "u128", "usize", "i8", "i16", "i32", "i64", "i128", "isize", "f32", "f64"];

pub(crate) fn expand_sum(input: DeriveInput) -> Result<TokenStream> {
    let fields = fields(&input)?;
    let mut weights = fields.iter().filter(|field| matches!(field.role, Role::Weight));
    let Some(weight) = weights.next() else {
        let text = "a secure sum has one weight: mark the `u64` that says how much a collaborator counts, such as its \
                    number of examples, with `#[secure_sum(weight)]`";
        return Err(Error::new_spanned(&input.ident, text));
    };
    if let Some(second) = weights.next() {
        return Err(Error::new_spanned(
            second.field,
            "a secure sum has one weight, and this is a second one",
        ));
    }
    if let Type::Path(path) = &weight.field.ty
        && OTHER_NUMBERS.iter().any(|name| path.path.is_ident(name))
    {
        return Err(Error::new_spanned(path, "the weight of a secure sum is a `u64`"));
    }
    let (ident, Body { layout, write, read }) = (&input.ident, body(&fields));
    let (member, kind) = (&weight.member, &weight.field.ty);
    let weight = quote_spanned!(kind.span()=> { let weight: ::core::primitive::u64 = self.#member; weight });
    Ok(quote! {
        #[automatically_derived]
        impl ::veilflow::__private::SecureSum for #ident {
            fn layout() -> ::veilflow::__private::SumLayout { #layout }
            fn weight(&self) -> ::core::primitive::u64 #weight
            fn write(&self, parts: &mut ::veilflow::__private::Parts) -> ::veilflow::__private::Result<()> {
                #write
            }
            fn read(
                total_weight: ::core::primitive::u64,
                means: &mut ::veilflow::__private::Means<'_>,
            ) -> ::veilflow::__private::Result<Self> {
                #read
            }
        }
    })
}

pub(crate) fn expand_averaged(input: DeriveInput) -> Result<TokenStream> {
    let fields = fields(&input)?;
    if let Some(weight) = fields.iter().find(|field| matches!(field.role, Role::Weight)) {
        let text = "the weight belongs to the whole sum: derive `SecureSum` for the struct that has it";
        return Err(Error::new_spanned(weight.field, text));
    }
    let (ident, Body { layout, write, read }) = (&input.ident, body(&fields));
    Ok(quote! {
        #[automatically_derived]
        impl ::veilflow::__private::Averaged for #ident {
            fn layout() -> ::veilflow::__private::SumLayout { #layout }
            fn write(&self, parts: &mut ::veilflow::__private::Parts) -> ::veilflow::__private::Result<()> {
                #write
            }
            fn read(
                means: &mut ::veilflow::__private::Means<'_>,
            ) -> ::veilflow::__private::Result<Self> {
                #read
            }
        }
    })
}

struct Summed<'a> {
    field: &'a Field,
    member: Member,
    role: Role,
    /// `#[secure_sum(clipping_range = …)]`
    range: Option<Expr>,
}

fn fields(input: &DeriveInput) -> Result<Vec<Summed<'_>>> {
    let data = match &input.data {
        Data::Struct(data) => data,
        Data::Enum(data) => {
            let text = "an enum cannot be summed, because its values have no one layout: use a struct";
            return Err(Error::new(data.enum_token.span(), text));
        }
        Data::Union(data) => return Err(Error::new(data.union_token.span(), "a union cannot be summed")),
    };
    if let Some(parameter) = input.generics.params.first() {
        let text =
            "a sum has one layout, which all collaborators know beforehand: its type has no parameters";
        return Err(Error::new_spanned(parameter, text));
    }
    if let Some(misplaced) = input.attrs.iter().find(|attribute| attribute.path().is_ident("secure_sum")) {
        return Err(Error::new_spanned(misplaced, "`#[secure_sum(..)]` belongs on a field"));
    }
    let fields = data.fields.members().zip(&data.fields);
    let fields: Vec<_> = fields
        .map(|(member, field)| {
            let (role, range) = role(field)?;
            Ok(Summed { field, member, role, range })
        })
        .collect::<Result<_>>()?;
    if fields.iter().all(|field| matches!(field.role, Role::Weight)) {
        let text = "there is nothing to average: add numbers (`f64`) or tensors (`#[secure_sum(shape = [10, 784])]`)";
        return Err(Error::new_spanned(&input.ident, text));
    }
    Ok(fields)
}

fn role(field: &Field) -> Result<(Role, Option<Expr>)> {
    let (mut role, mut range) = (None, None);
    for attribute in field.attrs.iter().filter(|attribute| attribute.path().is_ident("secure_sum")) {
        attribute.parse_nested_meta(|meta| {
            let found = if meta.path.is_ident("weight") {
                Role::Weight
            } else if meta.path.is_ident("shape") {
                Role::Tensor(Box::new(meta.value()?.parse()?))
            } else if meta.path.is_ident("clipping_range") {
                let given: Expr = meta.value()?.parse()?;
                check_range(&given)?;
                return match range.replace(given) {
                    Some(_) => Err(meta.error("`clipping_range` is given twice")),
                    None => Ok(()),
                };
            } else {
                let text = "expected `weight`, `shape = [10, 784]` or `clipping_range = 0.5`";
                return Err(meta.error(text));
            };
            match role.replace(found) {
                Some(_) => Err(meta.error("a field is the weight or a tensor, and only once")),
                None => Ok(()),
            }
        })?;
    }
    match (role.unwrap_or(Role::Averaged), range) {
        (Role::Weight, Some(range)) => {
            Err(Error::new_spanned(range, "a weight is not clipped: the protocol's `max_weight` bounds it"))
        }
        (role, range) => Ok((role, range)),
    }
}

/// Refuses what is seen to be no range; of other constants the compiler finds it.
fn check_range(range: &Expr) -> Result<()> {
    let text = "a clipping range is a positive number that an `f32` can hold: values are clipped to plus and minus it";
    match range {
        Expr::Lit(ExprLit { lit: Lit::Float(number), .. }) => match number.base10_parse::<f64>() {
            Ok(number) if number > 0.0 && number <= f64::from(f32::MAX) => Ok(()),
            _ => Err(Error::new_spanned(range, text)),
        },
        Expr::Lit(_) | Expr::Unary(_) => {
            Err(Error::new_spanned(range, format!("{text}; write it like `0.5`")))
        }
        _ => Ok(()),
    }
}

struct Body {
    layout: TokenStream,
    write: TokenStream,
    read: TokenStream,
}

fn body(fields: &[Summed<'_>]) -> Body {
    let (mut checks, mut layouts) = (Vec::new(), Vec::new());
    let (mut writes, mut reads) = (Vec::new(), Vec::new());
    for Summed { field, member, role, range } in fields {
        let (kind, span) = (&field.ty, field.ty.span());
        if let Some(range) = range {
            checks.push(quote_spanned!(range.span()=>
                const _: () = ::veilflow::__private::check_clipping_range(#range);
            ));
        }
        let name = match member {
            Member::Named(name) => name.unraw().to_string(),
            Member::Unnamed(index) => index.index.to_string(),
        };
        match (role, range) {
            (Role::Weight, _) => reads.push(quote!(#member: total_weight)),
            (Role::Tensor(shape), Some(range)) => {
                layouts.push(quote! {
                    layout += ::veilflow::__private::SumLayout::of_tensor(&#shape).within(#range);
                });
                writes.push(
                    quote_spanned!(span=> parts.tensor_within(#name, &self.#member, &#shape, #range)?;),
                );
                reads.push(quote_spanned!(span=> #member: means.tensor_within(&#shape, #range)?));
            }
            (Role::Tensor(shape), None) => {
                layouts.push(quote!(layout += ::veilflow::__private::SumLayout::of_tensor(&#shape);));
                writes.push(quote_spanned!(span=> parts.tensor(#name, &self.#member, &#shape)?;));
                reads.push(quote_spanned!(span=> #member: means.tensor(&#shape)?));
            }
            (Role::Averaged, Some(range)) => {
                layouts
                    .push(quote!(layout += ::veilflow::__private::SumLayout::of_scalars(1).within(#range);));
                writes.push(quote_spanned!(span=> parts.scalar_within(self.#member, #range);));
                reads.push(quote_spanned!(span=> #member: means.scalar_within(#range)?));
            }
            (Role::Averaged, None) => {
                layouts.push(quote_spanned!(span=>
                    layout += <#kind as ::veilflow::__private::Averaged>::layout();
                ));
                writes.push(quote_spanned!(span=>
                    <#kind as ::veilflow::__private::Averaged>::write(&self.#member, parts)?;
                ));
                reads.push(quote_spanned!(span=>
                    #member: <#kind as ::veilflow::__private::Averaged>::read(means)?
                ));
            }
        }
    }
    Body {
        layout: quote! {
            #(#checks)*
            let mut layout = ::veilflow::__private::SumLayout::default();
            #(#layouts)*
            layout
        },
        write: quote!(#(#writes)* ::core::result::Result::Ok(())),
        read: quote!(::core::result::Result::Ok(Self { #(#reads),* })),
    }
}
