//! Chunks on their way: as they are, or compressed.
//!
//! Who sends decides; both ends take either. One byte before a chunk says which it is. Only chunks are ever compressed: what
//! is said in messages travels as it is.

use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use super::CHUNK_BYTES;
use super::error::Refusal;
use super::memory::keep;
use super::messages::ChunkHash;

/// How this process sends chunks. It takes both, whatever it says here.
///
/// Not unless it is said: TLS hides what is sent, not how much, and compressed bytes are as many as their content is
/// surprising. Whoever watches the line, and can have something put beside a secret, learns about it from lengths (as in
/// CRIME and BREACH). Masked vectors look random and do not become smaller anyway.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// As they are.
    #[default]
    None,
    /// With Zstandard (RFC 8878), where that makes them smaller.
    Zstd,
}

/// A name that no compression has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no compression: write `none` or `zstd`")]
pub struct UnknownCompression(String);

impl FromStr for Compression {
    type Err = UnknownCompression;

    fn from_str(text: &str) -> Result<Self, UnknownCompression> {
        match text {
            "none" => Ok(Self::None),
            "zstd" => Ok(Self::Zstd),
            other => Err(UnknownCompression(other.chars().take(64).collect())),
        }
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::None => "none",
            Self::Zstd => "zstd",
        })
    }
}

/// The fastest: a model hardly becomes smaller at the slower levels.
const LEVEL: i32 = 1;

/// A chunk on its way.
#[derive(Clone, Debug)]
pub(crate) enum Packed {
    Plain(Bytes),
    Zstd(Bytes),
}

impl Packed {
    /// The most bytes that cross for a chunk.
    pub(crate) const MAX_BYTES: usize = CHUNK_BYTES + 1;

    /// What goes before it.
    pub(crate) fn mark(&self) -> u8 {
        match self {
            Self::Plain(_) => 0,
            Self::Zstd(_) => 1,
        }
    }

    pub(crate) fn bytes(&self) -> &Bytes {
        match self {
            Self::Plain(bytes) | Self::Zstd(bytes) => bytes,
        }
    }

    /// What arrived behind this mark.
    pub(crate) fn arrived(mark: u8, bytes: Bytes) -> Result<Self, Refusal> {
        match mark {
            0 => Ok(Self::Plain(bytes)),
            1 => Ok(Self::Zstd(bytes)),
            other => Err(Refusal::Malformed(format!("a chunk that is marked {other}: 0 and 1 are known"))),
        }
    }

    /// The chunk. No more memory is taken than a chunk may have, whatever was sent. Works as long as a chunk is.
    fn open(self) -> Result<Bytes, Refusal> {
        let packed = match self {
            Self::Plain(bytes) => return Ok(bytes),
            Self::Zstd(packed) => packed,
        };
        let malformed = |why: &str| Refusal::Malformed(format!("a compressed chunk: {why}"));
        let claimed = zstd::zstd_safe::get_frame_content_size(&packed);
        let claimed = claimed.map_err(|error| malformed(&error.to_string()))?;
        let claimed = claimed.ok_or_else(|| malformed("it does not say how large it is"))?;
        let size = usize::try_from(claimed).ok().filter(|size| *size <= CHUNK_BYTES).ok_or_else(|| {
            Refusal::TooLarge(format!("a chunk that is {claimed} bytes unpacked: {CHUNK_BYTES} are a chunk"))
        })?;
        let chunk = zstd::bulk::decompress(&packed, size).map_err(|error| malformed(&error.to_string()))?;
        if chunk.len() != size {
            return Err(malformed("it is less than it says"));
        }
        Ok(chunk.into())
    }
}

/// A chunk and its address. No chunk, where there is no memory to keep it.
pub(crate) type Settled = Result<(ChunkHash, Option<Bytes>), Refusal>;

impl Packed {
    /// Opens a chunk that has arrived, finds its address and puts it where it can wait. Works as long as a chunk is.
    pub(crate) fn settle(self) -> Settled {
        let chunk = self.open()?;
        Ok((ChunkHash::of(&chunk), keep(&chunk)))
    }
}

impl Compression {
    /// How many chunks are packed at once for one peer.
    pub(crate) fn ahead(self) -> usize {
        match self {
            Self::None => 1,
            // One more than are on their way, so that the line does not wait.
            Self::Zstd => 3,
        }
    }

    /// A chunk for its way. Works as long as a chunk is, where it compresses.
    fn pack(self, chunk: Bytes) -> Packed {
        let smaller = match self {
            Self::None => None,
            // What cannot be compressed is sent as it is; so is what becomes so little smaller that opening it costs more.
            Self::Zstd => zstd::bulk::compress(&chunk, LEVEL)
                .ok()
                .filter(|packed| packed.len() <= chunk.len() - chunk.len() / 16),
        };
        smaller.map_or(Packed::Plain(chunk), |packed| Packed::Zstd(packed.into()))
    }
}

/// A chunk that may go out several times: it is packed once.
#[derive(Clone, Debug)]
pub(crate) struct Packing {
    chunk: Bytes,
    packed: Arc<OnceLock<Packed>>,
}

impl Packing {
    pub(crate) fn new(chunk: Bytes) -> Self {
        Self { chunk, packed: Arc::default() }
    }

    pub(crate) fn chunk(&self) -> &Bytes {
        &self.chunk
    }

    /// It, for its way: off the threads that drive connections, where there is work to do.
    pub(crate) async fn pack(self, compression: Compression) -> Packed {
        let Self { chunk, packed } = self;
        if compression == Compression::None {
            return Packed::Plain(chunk);
        }
        let own = chunk.clone();
        let packing =
            tokio::task::spawn_blocking(move || packed.get_or_init(|| compression.pack(own)).clone());
        // It does not run where the program ends.
        packing.await.unwrap_or(Packed::Plain(chunk))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn random(size: usize) -> Bytes {
        let mut state = 1_u64;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as u8
        };
        (0..size).map(|_| next()).collect()
    }

    #[test]
    fn a_chunk_is_the_same_when_it_is_opened() {
        for chunk in [Bytes::new(), vec![7; CHUNK_BYTES].into(), random(CHUNK_BYTES), random(10)] {
            for compression in [Compression::None, Compression::Zstd] {
                let packed = compression.pack(chunk.clone());
                assert!(packed.bytes().len() <= chunk.len());
                let arrived = Packed::arrived(packed.mark(), packed.bytes().clone()).unwrap();
                assert_eq!(arrived.open().unwrap(), chunk);
            }
        }
    }

    #[test]
    fn what_does_not_become_smaller_goes_as_it_is() {
        assert!(matches!(Compression::Zstd.pack(random(CHUNK_BYTES)), Packed::Plain(_)));
        let Packed::Zstd(small) = Compression::Zstd.pack(vec![7; CHUNK_BYTES].into()) else {
            panic!("plain")
        };
        assert!(small.len() < 1000, "{} bytes", small.len());
    }

    #[test]
    fn no_chunk_opens_to_more_than_a_chunk() {
        // 64 GiB of zeros would be a few MiB; here one byte too much says so in its first bytes.
        let bomb = zstd::bulk::compress(&vec![0; CHUNK_BYTES + 1], LEVEL).unwrap();
        let mut lie = bomb.clone();
        let taken = allocation_counter::measure(|| {
            let refused = Packed::Zstd(bomb.into()).open().unwrap_err();
            assert_eq!(refused.code(), "too-large");
            assert!(refused.to_string().contains("1048577 bytes unpacked"), "{refused}");
        });
        assert!(taken.bytes_max < 10_000, "{} bytes before it was refused", taken.bytes_max);
        // It says that it is 1000 bytes: four bytes behind the magic number and the flags.
        lie[5..9].copy_from_slice(&1000_u32.to_le_bytes());
        assert_eq!(Packed::Zstd(lie.into()).open().unwrap_err().code(), "malformed");
        // Two chunks, one behind the other, of which the first says its own size.
        let one = zstd::bulk::compress(&[0; 1000], LEVEL).unwrap();
        let refused = Packed::Zstd([one.as_slice(), &one].concat().into()).open().unwrap_err();
        assert_eq!(refused.code(), "malformed");
    }

    #[test]
    fn what_is_no_packed_chunk_is_refused() {
        let good = zstd::bulk::compress(&[7; 1000], LEVEL).unwrap();
        let mut streamed = zstd::stream::Encoder::new(Vec::new(), LEVEL).unwrap();
        std::io::copy(&mut [7_u8; 1000].as_slice(), &mut streamed).unwrap();
        let unsized_frame = streamed.finish().unwrap();
        for bytes in [Vec::new(), vec![0; 20], good[..good.len() - 1].to_vec(), unsized_frame] {
            assert_eq!(Packed::Zstd(bytes.into()).open().unwrap_err().code(), "malformed");
        }
        assert_eq!(Packed::arrived(2, Bytes::new()).unwrap_err().code(), "malformed");
    }

    #[test]
    fn a_name_is_one_of_two() {
        for compression in [Compression::None, Compression::Zstd] {
            assert_eq!(compression.to_string().parse(), Ok(compression));
        }
        let unknown = "gzip".parse::<Compression>().unwrap_err();
        assert!(unknown.to_string().contains("write `none` or `zstd`"));
    }
}
