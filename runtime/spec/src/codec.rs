//! Values whose types are erased, as bytes: what travels to and from a site, and what a checkpoint holds.

use std::any::{Any, type_name};
use std::fmt;
use std::io::Read;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Result, StepError};
use crate::graph::{Value, wrong_type};

/// How values of one type are written in CBOR and read again.
#[derive(Clone, Copy)]
pub struct Codec {
    name: fn() -> &'static str,
    encode: fn(&dyn Any) -> Result<Vec<u8>>,
    decode: fn(&mut dyn Read) -> Result<Value>,
}

impl Codec {
    /// The code of a value that cannot be encoded.
    pub const NOT_ENCODED: &'static str = "message-not-encoded";
    /// The code of bytes that are no value of the type.
    pub const NOT_DECODED: &'static str = "message-not-decoded";

    /// The codec of `T`.
    pub fn of<T: Serialize + DeserializeOwned + Send + 'static>() -> Self {
        Self {
            name: type_name::<T>,
            encode: |value| to_cbor(value.downcast_ref::<T>().ok_or_else(wrong_type::<T>)?),
            decode: |bytes| Ok(Box::new(read_cbor::<T>(bytes)?)),
        }
    }

    /// A value in CBOR.
    ///
    /// # Errors
    /// [`NOT_ENCODED`](Self::NOT_ENCODED) with what its `Serialize` reports; an internal one for a value of another type.
    pub fn encode(&self, value: &dyn Any) -> Result<Vec<u8>> {
        (self.encode)(value)
    }

    /// The value that these bytes are. They are read once, from the first to the last.
    ///
    /// # Errors
    /// [`NOT_DECODED`](Self::NOT_DECODED) for bytes that are no value of the type, or more than one.
    pub fn decode(&self, mut bytes: impl Read) -> Result<Value> {
        (self.decode)(&mut bytes)
    }
}

impl fmt::Debug for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Codec({})", (self.name)())
    }
}

/// A value in CBOR.
///
/// # Errors
/// [`Codec::NOT_ENCODED`] with what its `Serialize` reports.
pub fn to_cbor<T: Serialize>(value: &T) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let encoded = ciborium::into_writer(value, &mut bytes);
    encoded.map_err(|error| StepError::with_code(Codec::NOT_ENCODED, error))?;
    Ok(bytes)
}

/// The one value that these bytes are. What is allocated is bounded by their number.
///
/// # Errors
/// [`Codec::NOT_DECODED`] for bytes that are no value of the type, or more than one.
pub fn from_cbor<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    read_cbor(bytes)
}

/// The one value that is to be read here, as [`from_cbor`].
///
/// # Errors
/// As [`from_cbor`], and with its code what the reader reports.
pub fn read_cbor<T: DeserializeOwned>(mut bytes: impl Read) -> Result<T> {
    let refused = |error: &dyn fmt::Display| StepError::with_code(Codec::NOT_DECODED, error.to_string());
    let value = ciborium::from_reader(&mut bytes).map_err(|error| refused(&error))?;
    match bytes.read(&mut [0]).map_err(|error| refused(&error))? {
        0 => Ok(value),
        _ => Err(refused(&format_args!("bytes follow the value of {}", type_name::<T>()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::Tensor;
    use crate::transition::{Foreach, Loop};

    type Verdict = Loop<Foreach<Tensor>, f64>;

    #[test]
    fn what_a_step_returned_is_the_same_after_a_restart() {
        let codec = Codec::of::<Verdict>();
        let verdict = Verdict::Again(Foreach::only(["a", "b"], Tensor::vector(vec![0.1, f32::MIN_POSITIVE])));
        let bytes = codec.encode(&verdict).unwrap();
        assert_eq!(*codec.decode(bytes.as_slice()).unwrap().downcast::<Verdict>().unwrap(), verdict);
    }

    #[test]
    fn what_is_no_value_of_the_type_is_refused() {
        let codec = Codec::of::<Vec<u64>>();
        let bytes = codec.encode(&vec![1_u64, 2]).unwrap();
        assert_eq!(codec.encode(&"text").unwrap_err().code(), "internal-wrong-type");
        for wrong in [&bytes[..bytes.len() - 1], &[], b"\xff", &[bytes.as_slice(), &[0]].concat()] {
            assert_eq!(codec.decode(wrong).err().unwrap().code(), Codec::NOT_DECODED, "{wrong:?}");
        }
    }
}
