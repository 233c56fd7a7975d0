//! A tensor of 32-bit floats as a message.

use std::fmt;

use serde::de::{self, Deserializer, SeqAccess, Visitor};
use serde::ser::{SerializeSeq, SerializeTuple, Serializer};
use serde::{Deserialize, Serialize};
use serde_bytes::{ByteBuf, Bytes};
use sha2::{Digest, Sha256};

use crate::message::Message;
use crate::schema::{Schema, Schemas};

/// An n-dimensional array of `f32`, in row-major order.
///
/// It is encoded as its shape and its little-endian values in a byte string: a serde sequence of floats would be many
/// times slower and a quarter larger. More than 1 MiB of them are an array of byte strings of 1 MiB each, so that they
/// are never in memory twice to be written or read.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    shape: Vec<usize>,
    values: Vec<f32>,
}

/// A shape that does not fit its values.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a tensor of shape {shape:?} holds {expected} values, got {got}")]
pub struct ShapeMismatch {
    /// The shape that was asked for.
    pub shape: Vec<usize>,
    /// The number of values it holds.
    pub expected: Count,
    /// The number of values that were given.
    pub got: usize,
}

/// A number of values, or more than can be counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Count(Option<usize>);

impl std::fmt::Display for Count {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Some(count) => count.fmt(f),
            None => f.write_str("more than addressable"),
        }
    }
}

impl Tensor {
    /// A tensor of `shape`, its values in row-major order.
    ///
    /// # Errors
    /// [`ShapeMismatch`] where the product of `shape` is not the number of values.
    pub fn new(shape: impl Into<Vec<usize>>, values: Vec<f32>) -> Result<Self, ShapeMismatch> {
        let shape = shape.into();
        // A side of 0 makes it empty, wherever it stands; the order of the sides must not decide whether it
        // fits.
        let expected = match shape.contains(&0) {
            true => Some(0),
            false => shape.iter().try_fold(1usize, |product, side| product.checked_mul(*side)),
        };
        if expected != Some(values.len()) {
            return Err(ShapeMismatch { shape, expected: Count(expected), got: values.len() });
        }
        Ok(Self { shape, values })
    }

    /// A one-dimensional tensor.
    pub fn vector(values: Vec<f32>) -> Self {
        Self { shape: vec![values.len()], values }
    }

    /// The length of each side, outermost first.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The values in row-major order.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// The values in row-major order, without a copy.
    pub fn into_values(self) -> Vec<f32> {
        self.values
    }

    /// The values as little-endian bytes, the form in which they travel and are hashed.
    pub fn to_le_bytes(&self) -> Vec<u8> {
        le_bytes(&self.values)
    }

    /// SHA-256 of the little-endian bytes of the values of `tensors`, one after the other.
    pub fn digest<'a>(tensors: impl IntoIterator<Item = &'a Tensor>) -> [u8; 32] {
        let mut hash = Sha256::new();
        for piece in tensors.into_iter().flat_map(|tensor| tensor.values.chunks(PIECE)) {
            hash.update(le_bytes(piece));
        }
        hash.finalize().into()
    }
}

/// How many values a byte string holds: 1 MiB of them.
const PIECE: usize = 256 * 1024;

fn le_bytes(values: &[f32]) -> Vec<u8> {
    let mut bytes = vec![0; values.len() * 4];
    let (chunks, _) = bytes.as_chunks_mut::<4>();
    for (chunk, value) in chunks.iter_mut().zip(values) {
        *chunk = value.to_le_bytes();
    }
    bytes
}

impl Serialize for Tensor {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut pair = serializer.serialize_tuple(2)?;
        pair.serialize_element(&self.shape)?;
        pair.serialize_element(&Written(&self.values))?;
        pair.end()
    }
}

impl<'de> Deserialize<'de> for Tensor {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (shape, Read(values)) = <(Vec<usize>, Read)>::deserialize(deserializer)?;
        Self::new(shape, values).map_err(de::Error::custom)
    }
}

/// Values to be written.
struct Written<'a>(&'a [f32]);

impl Serialize for Written<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0.len() <= PIECE {
            return serializer.serialize_bytes(&le_bytes(self.0));
        }
        let pieces = self.0.chunks(PIECE);
        let mut array = serializer.serialize_seq(Some(pieces.len()))?;
        for piece in pieces {
            array.serialize_element(Bytes::new(&le_bytes(piece)))?;
        }
        array.end()
    }
}

/// Values that were read.
#[derive(Default)]
struct Read(Vec<f32>);

impl Read {
    fn append<E: de::Error>(mut self, bytes: &[u8]) -> Result<Self, E> {
        let (values, rest) = bytes.as_chunks::<4>();
        if !rest.is_empty() {
            let text = format!("{} bytes are no whole number of 32-bit floats", bytes.len());
            return Err(E::custom(text));
        }
        self.0.extend(values.iter().map(|bytes| f32::from_le_bytes(*bytes)));
        Ok(self)
    }
}

impl<'de> Deserialize<'de> for Read {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Values;

        impl<'de> Visitor<'de> for Values {
            type Value = Read;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the bytes of 32-bit floats, or an array of such")
            }

            fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Read, E> {
                Read::default().append(bytes)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut pieces: A) -> Result<Read, A::Error> {
                let mut read = Read::default();
                while let Some(piece) = pieces.next_element::<ByteBuf>()? {
                    read = read.append(&piece)?;
                }
                // It grew by doubling.
                read.0.shrink_to_fit();
                Ok(read)
            }
        }

        deserializer.deserialize_byte_buf(Values)
    }
}

impl Message for Tensor {
    fn schema(_: &mut Schemas) -> Schema {
        Schema::scalar("tensor<f32>")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shape_must_fit_its_values() {
        assert!(Tensor::new([2, 3], vec![0.0; 6]).is_ok());
        let error = Tensor::new([2, 3], vec![0.0; 5]).unwrap_err();
        assert_eq!(error.to_string(), "a tensor of shape [2, 3] holds 6 values, got 5");
        let error = Tensor::new([usize::MAX, 2], vec![]).unwrap_err();
        assert!(error.to_string().contains("more than addressable"), "{error}");
    }

    #[test]
    fn a_large_tensor_is_written_and_hashed_in_pieces() {
        for values in [0, 1, PIECE, PIECE + 1, 3 * PIECE, 3 * PIECE + 5] {
            let tensor = Tensor::vector((0..values).map(|value| value as f32).collect());
            let mut bytes = Vec::new();
            ciborium::into_writer(&tensor, &mut bytes).unwrap();
            assert!(bytes.len() < 4 * values + 48, "{values} values in {} bytes", bytes.len());
            assert_eq!(ciborium::from_reader::<Tensor, _>(bytes.as_slice()).unwrap(), tensor);
            let whole: [u8; 32] = Sha256::digest(tensor.to_le_bytes()).into();
            assert_eq!(Tensor::digest([&tensor]), whole);
        }
    }
}
