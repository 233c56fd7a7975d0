//! Messages: the only values that cross between participants.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::name::Name;
use crate::schema::{Schema, Schemas};

/// A value that may cross between participants.
///
/// Opt in with `#[derive(Clone, Serialize, Deserialize, Message)]`. The state of a participant does not,
/// which is how the compiler keeps it where it is. Vectors of numbers belong in a
/// [`Tensor`](crate::Tensor): as a serde sequence they are many times slower to encode.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a message, so it cannot cross between participants",
    label = "this type stays where it is",
    note = "only the return value of a step moves; if `{Self}` may leave its participant, add \
            `#[derive(Clone, Serialize, Deserialize, Message)]` to it",
    note = "if it is private to the participant, return only the part of it that the next step needs"
)]
pub trait Message: Clone + Serialize + DeserializeOwned + Send + Sync + 'static {
    /// The shape of the type, for the flow's fingerprint.
    fn schema(schemas: &mut Schemas) -> Schema;
}

macro_rules! scalars {
    ($($type:ty => $name:literal),* $(,)?) => {$(
        impl Message for $type {
            fn schema(_: &mut Schemas) -> Schema {
                Schema::scalar($name)
            }
        }
    )*};
}

scalars! {
    () => "unit", bool => "bool", char => "char", String => "text", Name => "name",
    u8 => "u8", u16 => "u16", u32 => "u32", u64 => "u64", u128 => "u128", usize => "usize",
    i8 => "i8", i16 => "i16", i32 => "i32", i64 => "i64", i128 => "i128", isize => "isize",
    f32 => "f32", f64 => "f64",
    serde_bytes::ByteBuf => "bytes",
}

impl<T: Message> Message for Vec<T> {
    fn schema(schemas: &mut Schemas) -> Schema {
        Schema::container("[", &[T::schema(schemas)], "]")
    }
}

impl<T: Message> Message for Option<T> {
    fn schema(schemas: &mut Schemas) -> Schema {
        Schema::container("", &[T::schema(schemas)], "?")
    }
}

impl<T: Message> Message for Box<T> {
    fn schema(schemas: &mut Schemas) -> Schema {
        T::schema(schemas)
    }
}

impl<T: Message + Ord> Message for BTreeSet<T> {
    fn schema(schemas: &mut Schemas) -> Schema {
        Schema::container("{", &[T::schema(schemas)], "}")
    }
}

impl<K: Message + Ord, V: Message> Message for BTreeMap<K, V> {
    fn schema(schemas: &mut Schemas) -> Schema {
        Schema::map(K::schema(schemas), V::schema(schemas))
    }
}

macro_rules! tuples {
    ($(($($part:ident),+))*) => {$(
        impl<$($part: Message),+> Message for ($($part,)+) {
            fn schema(schemas: &mut Schemas) -> Schema {
                Schema::container("(", &[$($part::schema(schemas)),+], ")")
            }
        }
    )*};
}

tuples! { (A) (A, B) (A, B, C) (A, B, C, D) (A, B, C, D, E) (A, B, C, D, E, F) }
