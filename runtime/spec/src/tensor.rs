//! A tensor of 32-bit floats as a message.

use serde::de::{self, Deserializer};
use serde::ser::{SerializeTuple, Serializer};
use serde::{Deserialize, Serialize};
use serde_bytes::{ByteBuf, Bytes};
use sha2::{Digest, Sha256};

use crate::message::Message;
use crate::schema::{Schema, Schemas};

/// An n-dimensional array of `f32`, in row-major order.
///
/// It is encoded as its shape and one byte string of little-endian values: a serde sequence of floats
/// would be many times slower and a quarter larger.
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
        let mut bytes = vec![0; self.values.len() * 4];
        let (chunks, _) = bytes.as_chunks_mut::<4>();
        for (chunk, value) in chunks.iter_mut().zip(&self.values) {
            *chunk = value.to_le_bytes();
        }
        bytes
    }

    /// SHA-256 of the little-endian bytes of the values of `tensors`, one after the other.
    pub fn digest<'a>(tensors: impl IntoIterator<Item = &'a Tensor>) -> [u8; 32] {
        let mut hash = Sha256::new();
        for tensor in tensors {
            hash.update(tensor.to_le_bytes());
        }
        hash.finalize().into()
    }
}

impl Serialize for Tensor {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut pair = serializer.serialize_tuple(2)?;
        pair.serialize_element(&self.shape)?;
        pair.serialize_element(Bytes::new(&self.to_le_bytes()))?;
        pair.end()
    }
}

impl<'de> Deserialize<'de> for Tensor {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (shape, bytes) = <(Vec<usize>, ByteBuf)>::deserialize(deserializer)?;
        let (values, rest) = bytes.as_chunks::<4>();
        if !rest.is_empty() {
            return Err(de::Error::custom(format!(
                "{} bytes are no whole number of 32-bit floats",
                bytes.len()
            )));
        }
        let values = values.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
        Self::new(shape, values).map_err(de::Error::custom)
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
}
