//! Derive macros of Veilflow.

mod attributes;
mod message;

use proc_macro::TokenStream;
use syn::{DeriveInput, parse_macro_input};

/// Lets values of a type cross between participants.
///
/// It goes with serde and `Clone`: `#[derive(Clone, Serialize, Deserialize, Message)]`. Every field must be a
/// message too, except
///
/// - a field of a type from another package, which has serde but no `Message`. It names its schema, with a
///   version that changes when its encoding does: `#[message(foreign = "uuid/1/Uuid")]`;
/// - a field under `#[serde(skip)]`, which does not travel and is no part of the schema.
///
/// Serde's other attributes (`rename`, `rename_all`, `tag`, `default`, `with` and so on) change what travels,
/// or what is accepted, without changing a name in the source. They are part of the schema as they are
/// written, in any order, so that two builds that differ in them have different fingerprints; only `bound`,
/// `borrow`, `crate` and `expecting`, which change no byte, are not.
#[proc_macro_derive(Message, attributes(message, serde))]
pub fn derive_message(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    message::expand(input).unwrap_or_else(syn::Error::into_compile_error).into()
}
