//! The codecs that tonic runs: messages in CBOR, and chunks behind the byte that says how they are packed.

use std::marker::PhantomData;

use bytes::{Buf, BufMut};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tonic::Status;
use tonic::codec::{BufferSettings, Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};

use super::bounds::{self, Malformed};
use super::error::Refusal;
use super::packing::Packed;

/// A message in CBOR.
///
/// # Errors
/// A value that serde cannot write.
pub fn encode<T: Serialize>(message: &T) -> Result<Vec<u8>, Malformed> {
    let mut bytes = Vec::new();
    ciborium::into_writer(message, &mut bytes).map_err(|error| Malformed::Kind(error.to_string()))?;
    Ok(bytes)
}

/// The message in these bytes. Their number is the caller's limit; what decoding allocates is proportional to it,
/// whatever the bytes claim.
///
/// # Errors
/// [`Malformed`] where they are anything but one message of this kind.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Malformed> {
    bounds::check(bytes)?;
    // serde's own recursion is one level for each of CBOR's, or two where an enum's variant is a map.
    ciborium::de::from_reader_with_recursion_limit(bytes, 3 * bounds::MAX_DEPTH).map_err(|error| {
        let text = match error {
            ciborium::de::Error::Semantic(_, text) => text,
            other => other.to_string(),
        };
        // It quotes the peer, and ends in a log.
        Malformed::Kind(text.chars().take(200).filter(|c| !c.is_control()).collect())
    })
}

/// Messages in CBOR: `E` goes out, `D` comes in.
pub(crate) struct Cbor<E, D>(PhantomData<fn(E) -> D>);

impl<E, D> Default for Cbor<E, D> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<E: Serialize + Send + 'static, D: DeserializeOwned + Send + 'static> Codec for Cbor<E, D> {
    type Encode = E;
    type Decode = D;
    type Encoder = CborEncoder<E>;
    type Decoder = CborDecoder<D>;

    fn encoder(&mut self) -> CborEncoder<E> {
        CborEncoder(PhantomData)
    }

    fn decoder(&mut self) -> CborDecoder<D> {
        CborDecoder(PhantomData)
    }
}

pub(crate) struct CborEncoder<E>(PhantomData<fn(E)>);

impl<E: Serialize> Encoder for CborEncoder<E> {
    type Item = E;
    type Error = Status;

    fn encode(&mut self, item: E, dst: &mut EncodeBuf<'_>) -> Result<(), Status> {
        ciborium::into_writer(&item, dst.writer())
            .map_err(|error| Refusal::Internal(format!("a message cannot be written: {error}")).into())
    }
}

pub(crate) struct CborDecoder<D>(PhantomData<fn() -> D>);

impl<D: DeserializeOwned> Decoder for CborDecoder<D> {
    type Item = D;
    type Error = Status;

    fn decode(&mut self, src: &mut DecodeBuf<'_>) -> Result<Option<D>, Status> {
        let bytes = src.copy_to_bytes(src.remaining());
        decode(&bytes).map(Some).map_err(|error| Refusal::Malformed(error.to_string()).into())
    }
}

/// Chunks go out, messages come in.
pub(crate) struct ChunksOut<D>(PhantomData<fn() -> D>);

/// Messages go out, chunks come in.
pub(crate) struct ChunksIn<E>(PhantomData<fn(E)>);

impl<D> Default for ChunksOut<D> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<E> Default for ChunksIn<E> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<D: DeserializeOwned + Send + 'static> Codec for ChunksOut<D> {
    type Encode = Packed;
    type Decode = D;
    type Encoder = Raw;
    type Decoder = CborDecoder<D>;

    fn encoder(&mut self) -> Raw {
        Raw
    }

    fn decoder(&mut self) -> CborDecoder<D> {
        CborDecoder(PhantomData)
    }
}

impl<E: Serialize + Send + 'static> Codec for ChunksIn<E> {
    type Encode = E;
    type Decode = Packed;
    type Encoder = CborEncoder<E>;
    type Decoder = Raw;

    fn encoder(&mut self) -> CborEncoder<E> {
        CborEncoder(PhantomData)
    }

    fn decoder(&mut self) -> Raw {
        Raw
    }
}

/// A chunk as it is packed.
pub(crate) struct Raw;

impl Encoder for Raw {
    type Item = Packed;
    type Error = Status;

    fn encode(&mut self, item: Packed, dst: &mut EncodeBuf<'_>) -> Result<(), Status> {
        dst.put_u8(item.mark());
        dst.put_slice(item.bytes());
        Ok(())
    }

    fn buffer_settings(&self) -> BufferSettings {
        // One chunk with gRPC's five bytes before it, so that a buffer is made once.
        BufferSettings::new(Packed::MAX_BYTES + 64, Packed::MAX_BYTES)
    }
}

impl Decoder for Raw {
    type Item = Packed;
    type Error = Status;

    fn decode(&mut self, src: &mut DecodeBuf<'_>) -> Result<Option<Packed>, Status> {
        let empty = |_| Refusal::Malformed("a chunk that does not say how it is packed".to_owned());
        let mark = src.try_get_u8().map_err(empty)?;
        Ok(Some(Packed::arrived(mark, src.copy_to_bytes(src.remaining()))?))
    }
}
