//! Bytes in pieces.

use std::collections::VecDeque;
use std::fmt;
use std::io::{self, Read};

use bytes::{Buf as _, Bytes, BytesMut};

/// Bytes that lie in pieces. Whoever reads them gives each piece back as soon as it is read, so that a large value is never
/// in memory twice: once as what arrived and once as what it is. Clones share the pieces.
#[derive(Clone, Default)]
pub struct Pieces(VecDeque<Bytes>);

impl Pieces {
    /// Adds a piece behind the last one.
    pub fn push(&mut self, piece: Bytes) {
        self.0.push_back(piece);
    }

    /// The pieces, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Bytes> {
        self.0.iter()
    }

    /// How many bytes there are.
    pub fn len(&self) -> u64 {
        self.0.iter().map(|piece| piece.len() as u64).sum()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(Bytes::is_empty)
    }

    /// All bytes as one piece. They are copied where there are several.
    pub fn into_bytes(mut self) -> Bytes {
        if self.0.len() <= 1 {
            return self.0.pop_front().unwrap_or_default();
        }
        let mut bytes = BytesMut::with_capacity(self.0.iter().map(Bytes::len).sum());
        while let Some(piece) = self.0.pop_front() {
            bytes.extend_from_slice(&piece);
        }
        bytes.freeze()
    }
}

impl From<Bytes> for Pieces {
    fn from(bytes: Bytes) -> Self {
        Self(VecDeque::from([bytes]))
    }
}

impl From<Vec<u8>> for Pieces {
    fn from(bytes: Vec<u8>) -> Self {
        Bytes::from(bytes).into()
    }
}

impl FromIterator<Bytes> for Pieces {
    fn from_iter<I: IntoIterator<Item = Bytes>>(pieces: I) -> Self {
        Self(pieces.into_iter().collect())
    }
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.0.front().is_some_and(Bytes::is_empty) {
            self.0.pop_front();
        }
        let Some(first) = self.0.front_mut() else { return Ok(0) };
        let read = first.as_ref().read(buffer)?;
        first.advance(read);
        if first.is_empty() {
            self.0.pop_front();
        }
        Ok(read)
    }
}

/// Where they are divided makes no difference.
impl PartialEq for Pieces {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.0.iter().flatten().eq(other.0.iter().flatten())
    }
}

impl Eq for Pieces {}

impl fmt::Debug for Pieces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pieces({} bytes)", self.len())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn what_is_read_is_given_back_piece_by_piece() {
        struct Piece {
            bytes: Vec<u8>,
            _alive: Arc<()>,
        }
        impl AsRef<[u8]> for Piece {
            fn as_ref(&self) -> &[u8] {
                &self.bytes
            }
        }
        let alive = Arc::new(());
        let piece =
            |bytes: &[u8]| Bytes::from_owner(Piece { bytes: bytes.to_vec(), _alive: Arc::clone(&alive) });
        let mut pieces: Pieces = [&b"abc"[..], b"", b"de", b"f"].map(piece).into_iter().collect();
        assert_eq!((pieces.len(), pieces.clone().into_bytes()), (6, Bytes::from_static(b"abcdef")));
        assert_eq!(pieces, Pieces::from(b"abcdef".to_vec()));
        assert_ne!(pieces, Pieces::from(b"abcdeg".to_vec()));
        for (next, left) in [(b"ab", 4), (b"cd", 2), (b"ef", 0)] {
            let mut buffer = [0; 2];
            pieces.read_exact(&mut buffer).unwrap();
            assert_eq!((&buffer, Arc::strong_count(&alive) - 1), (next, left));
        }
        assert!(pieces.is_empty() && pieces.read(&mut [0]).unwrap() == 0);
    }
}
