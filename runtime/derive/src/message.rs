//! `#[derive(Message)]`.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::{Data, DeriveInput, Error, Fields, Result, parse_quote};

use crate::attributes;

pub(crate) fn expand(mut input: DeriveInput) -> Result<TokenStream> {
    if let Some(lifetime) = input.generics.lifetimes().next() {
        let text =
            "a message owns its data, so that it can cross: use `String` for `&str`, `Vec<T>` for `&[T]`";
        return Err(Error::new_spanned(lifetime, text));
    }
    for parameter in input.generics.type_params_mut() {
        parameter.bounds.push(parse_quote!(::veilflow::__private::Message));
    }
    attributes::only_on_fields(&input.attrs)?;
    let serde = attributes::serde(&input.attrs)?.text;
    let name = input.ident.unraw().to_string();
    let text = match &input.data {
        Data::Struct(data) => fields(&format!("{serde}struct {name}"), &data.fields)?,
        Data::Enum(data) => {
            let head = format!("{serde}enum {name}");
            let mut variants = Vec::new();
            for variant in &data.variants {
                attributes::only_on_fields(&variant.attrs)?;
                let serde = attributes::serde(&variant.attrs)?;
                if !serde.skip {
                    let head = format!("{}{}", serde.text, variant.ident.unraw());
                    variants.push(fields(&head, &variant.fields)?);
                }
            }
            quote!(::veilflow::__private::Schemas::variants(#head, ::std::vec![#(#variants),*]))
        }
        Data::Union(data) => {
            return Err(Error::new(data.union_token.span(), "a union cannot be a message: use an enum"));
        }
    };
    let ident = &input.ident;
    let (generics, arguments, bounds) = input.generics.split_for_impl();
    Ok(quote! {
        #[automatically_derived]
        impl #generics ::veilflow::__private::Message for #ident #arguments #bounds {
            fn schema(schemas: &mut ::veilflow::__private::Schemas) -> ::veilflow::__private::Schema {
                schemas.named::<Self>(#name, |schemas| { let _ = &schemas; #text })
            }
        }
    })
}

/// The expression that writes the fields of a struct or a variant.
fn fields(head: &str, fields: &Fields) -> Result<TokenStream> {
    let mut parts = Vec::new();
    for (position, field) in fields.iter().enumerate() {
        let serde = attributes::serde(&field.attrs)?;
        let foreign = attributes::foreign(&field.attrs)?;
        if serde.skip {
            continue;
        }
        let name = field.ident.as_ref().map_or(position.to_string(), |ident| ident.unraw().to_string());
        let key = format!("{}{name}", serde.text);
        let kind = &field.ty;
        parts.push(match foreign {
            Some(schema) => quote!((#key, ::veilflow::__private::Schema::foreign(#schema))),
            None => quote_spanned! {kind.span()=>
                (#key, <#kind as ::veilflow::__private::Message>::schema(schemas))
            },
        });
    }
    let parts = quote!(::std::vec![#(#parts),*]);
    Ok(match fields {
        Fields::Named(_) => quote!(::veilflow::__private::Schemas::fields(#head, "{", #parts, "}")),
        Fields::Unnamed(_) => quote!(::veilflow::__private::Schemas::fields(#head, "(", #parts, ")")),
        Fields::Unit => quote!(::std::string::String::from(#head)),
    })
}
