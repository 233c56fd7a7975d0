//! Derive macros of Veilflow.

mod message;

use proc_macro::TokenStream;
use syn::{DeriveInput, parse_macro_input};

/// Lets values of a type cross between participants.
///
/// It goes with serde and `Clone`: `#[derive(Clone, Serialize, Deserialize, Message)]`. Every field must be a
/// message too. A field of a type from another package, which has serde but no `Message`, names its schema,
/// with a version that changes when its encoding does: `#[message(foreign = "uuid/1/Uuid")]`. A field under
/// `#[serde(skip)]` does not travel and is left out.
#[proc_macro_derive(Message, attributes(message, serde))]
pub fn derive_message(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    message::expand(input).unwrap_or_else(syn::Error::into_compile_error).into()
}
