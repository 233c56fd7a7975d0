//! Derive macros of Veilflow.

mod attributes;
mod message;
mod secure_sum;

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

/// Lets a message go into a secure join: `#[derive(Clone, Serialize, Deserialize, Message, SecureSum)]`.
///
/// Each field of the struct is one of these:
///
/// - the weight, exactly one: a `u64` under `#[secure_sum(weight)]`, by which everything else is averaged. In a mean
///   it holds the total weight;
/// - a tensor with its shape, which all collaborators know before they have one: `#[secure_sum(shape = [10, 784])]`.
///   The sides are constant expressions;
/// - a number of type `f64`, or a struct of such parts that derives `Averaged`.
///
/// A protocol clips all values to plus and minus one range. A tensor or an `f64` may have one of its own,
/// `#[secure_sum(shape = [10], clipping_range = 0.5)]`: it is scaled to the protocol's range before and back after, so that
/// what is small is rounded as finely, in proportion, as what is large.
///
/// The layout is the type's. A tensor of another shape is refused at its site.
#[proc_macro_derive(SecureSum, attributes(secure_sum))]
pub fn derive_secure_sum(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    secure_sum::expand_sum(input).unwrap_or_else(syn::Error::into_compile_error).into()
}

/// Lets a struct of numbers be a field of a secure sum. Its fields are as for [`SecureSum`](derive@SecureSum), without
/// the weight.
#[proc_macro_derive(Averaged, attributes(secure_sum))]
pub fn derive_averaged(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    secure_sum::expand_averaged(input).unwrap_or_else(syn::Error::into_compile_error).into()
}
