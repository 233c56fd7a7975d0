//! `#[derive(Message)]`.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Data, DeriveInput, Error, Field, Fields, LitStr, Result, parse_quote};

pub(crate) fn expand(mut input: DeriveInput) -> Result<TokenStream> {
    for parameter in input.generics.type_params_mut() {
        parameter.bounds.push(parse_quote!(::veilflow::__private::Message));
    }
    let parts = match &input.data {
        Data::Struct(data) => fields(&data.fields)?,
        Data::Enum(data) => {
            let variants = data.variants.iter().map(|variant| {
                let name = variant.ident.to_string();
                let parts = fields(&variant.fields)?;
                // A variant is written like a struct of its own; `Self` in it still ends the recursion.
                Ok(quote! {(
                    #name,
                    ::veilflow::__private::Schemas::variant(#name, { #parts }),
                )})
            });
            let variants = variants.collect::<Result<Vec<_>>>()?;
            quote!(::std::vec![#(#variants),*])
        }
        Data::Union(data) => {
            return Err(Error::new(data.union_token.span(), "a union cannot be a message: use an enum"));
        }
    };
    let name = input.ident.to_string();
    let ident = &input.ident;
    let (generics, arguments, bounds) = input.generics.split_for_impl();
    Ok(quote! {
        #[automatically_derived]
        impl #generics ::veilflow::__private::Message for #ident #arguments #bounds {
            fn schema(schemas: &mut ::veilflow::__private::Schemas) -> ::veilflow::__private::Schema {
                schemas.named::<Self>(#name, |schemas| { let _ = &schemas; #parts })
            }
        }
    })
}

fn fields(fields: &Fields) -> Result<TokenStream> {
    let mut parts = Vec::new();
    for (position, field) in fields.iter().enumerate() {
        if skipped(field)? {
            continue;
        }
        let name = field.ident.as_ref().map_or(position.to_string(), ToString::to_string);
        let kind = &field.ty;
        parts.push(match foreign(field)? {
            Some(schema) => quote!((#name, ::veilflow::__private::Schema::foreign(#schema))),
            None => quote_spanned! {kind.span()=>
                (#name, <#kind as ::veilflow::__private::Message>::schema(schemas))
            },
        });
    }
    Ok(quote!(::std::vec![#(#parts),*]))
}

/// The name in `#[message(foreign = "…")]`.
fn foreign(field: &Field) -> Result<Option<LitStr>> {
    let mut name = None;
    for attribute in field.attrs.iter().filter(|attribute| attribute.path().is_ident("message")) {
        attribute.parse_nested_meta(|meta| {
            if !meta.path.is_ident("foreign") {
                return Err(meta.error("expected `foreign = \"package/version/Type\"`"));
            }
            name = Some(meta.value()?.parse()?);
            Ok(())
        })?;
    }
    Ok(name)
}

/// Whether the field stands under `#[serde(skip)]`. Other serde attributes are serde's to check.
fn skipped(field: &Field) -> Result<bool> {
    let mut skip = false;
    for attribute in field.attrs.iter().filter(|attribute| attribute.path().is_ident("serde")) {
        attribute.parse_nested_meta(|meta| {
            skip |= meta.path.is_ident("skip");
            if meta.input.peek(syn::Token![=]) {
                meta.value()?.parse::<syn::Expr>()?;
            } else if meta.input.peek(syn::token::Paren) {
                let content;
                syn::parenthesized!(content in meta.input);
                content.parse::<TokenStream>()?;
            }
            Ok(())
        })?;
    }
    Ok(skip)
}
