//! Contents of any size over a connection that may be cut: what has arrived and was checked is never asked for again.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesOrdered;
use tokio::task::JoinHandle;
use veilflow_engine::remote::Pieces;

use super::dial::Connection;
use super::error::{Refusal, WireError};
use super::hash::{chunk, chunk_len, hash_chunks};
use super::messages::{ChunkHash, Content};
use super::packing::Settled;
use super::{CHUNK_BYTES, INLINE_BYTES};

/// How many chunks are hashed while others arrive.
const HASHING: usize = 4;

/// A content on its way here.
#[derive(Debug)]
pub struct Download {
    arrived: Pieces,
    size: u64,
    chunks: Vec<ChunkHash>,
    /// The chunks that have arrived.
    have: HashMap<ChunkHash, Bytes>,
    /// How many chunks have arrived.
    done: usize,
}

impl Download {
    /// A download of this content.
    ///
    /// # Errors
    /// [`WireError::TooLarge`] and [`WireError::ChunkCount`].
    pub fn new(content: Content, max_bytes: u64) -> Result<Self, WireError> {
        content.check(max_bytes)?;
        let size = content.bytes();
        if let Some((last, others)) = content.chunks().split_last()
            && !size.is_multiple_of(CHUNK_BYTES as u64)
            && others.contains(last)
        {
            // A short chunk cannot have the hash of a whole one.
            return Err(WireError::Corrupt(*last));
        }
        let (arrived, chunks) = match content {
            Content::Inline(bytes) if bytes.len() > INLINE_BYTES => {
                return Err(WireError::TooLarge { bytes: size, limit: INLINE_BYTES as u64 });
            }
            Content::Inline(bytes) => (bytes.into_vec().into(), Vec::new()),
            Content::Chunks { chunks, .. } => (Pieces::default(), chunks),
        };
        Ok(Self { arrived, size, chunks, have: HashMap::new(), done: 0 })
    }

    /// How many bytes have arrived.
    pub fn arrived(&self) -> u64 {
        self.arrived.len()
    }

    /// Fetches what is missing. After an error that is [transient](WireError::is_transient) it goes on where it stopped,
    /// over this connection or another.
    ///
    /// # Errors
    /// As every call, [`WireError::Corrupt`] and [`WireError::Memory`].
    pub async fn run(&mut self, connection: &Connection) -> Result<(), WireError> {
        if self.done == self.chunks.len() {
            return Ok(());
        }
        let mut wanted = Vec::new();
        let mut asked: HashSet<ChunkHash> = self.have.keys().copied().collect();
        for hash in self.chunks.iter().skip(self.done) {
            if asked.insert(*hash) {
                wanted.push(*hash);
            }
        }
        let mut arriving = connection.fetch(wanted).await?;
        let mut hashing: FuturesOrdered<JoinHandle<Settled>> = FuturesOrdered::new();
        let mut more = true;
        let mut cut = None;
        loop {
            self.repeat();
            tokio::select! {
                biased;
                Some(hashed) = hashing.next() => {
                    let (hash, bytes) =
                        hashed.map_err(|error| Refusal::Internal(format!("a chunk was not hashed: {error}")))??;
                    self.append(hash, bytes.ok_or(WireError::Memory(self.size))?)?;
                }
                chunk = arriving.message(), if more && hashing.len() < HASHING => match chunk {
                    Ok(Some(chunk)) => {
                        hashing.push_back(tokio::task::spawn_blocking(move || chunk.settle()));
                    }
                    Ok(None) => more = false,
                    // What has arrived whole counts.
                    Err(status) => (more, cut) = (false, Some(status)),
                },
                else => break,
            }
        }
        if self.done == self.chunks.len() {
            return Ok(());
        }
        if let Some(status) = cut {
            return Err(status.into());
        }
        Err(WireError::Lost("the director sent less than the whole content".to_owned()))
    }

    /// Adds a chunk that has arrived.
    fn append(&mut self, hash: ChunkHash, bytes: Bytes) -> Result<(), WireError> {
        let Some(&expected) = self.chunks.get(self.done) else {
            return Err(WireError::Corrupt(hash));
        };
        if hash != expected || bytes.len() != chunk_len(self.size, self.done) {
            return Err(WireError::Corrupt(expected));
        }
        self.arrived.push(bytes.clone());
        self.have.insert(hash, bytes);
        self.done += 1;
        Ok(())
    }

    /// Adds the chunks that are due and equal one that is here.
    fn repeat(&mut self) {
        while let Some(bytes) = self.chunks.get(self.done).and_then(|hash| self.have.get(hash)) {
            self.arrived.push(bytes.clone());
            self.done += 1;
        }
    }

    /// The whole content.
    ///
    /// # Errors
    /// [`WireError::Lost`] where not all of it has arrived.
    pub fn finish(self) -> Result<Pieces, WireError> {
        if self.done < self.chunks.len() {
            return Err(WireError::Lost(format!("{} of {} bytes have arrived", self.arrived(), self.size)));
        }
        Ok(self.arrived)
    }
}

impl Connection {
    /// Fetches a content of at most so many bytes. Where the connection may be cut, a [`Download`] outlives it.
    ///
    /// # Errors
    /// As [`Download`].
    pub async fn fetch_content(&self, content: Content, max_bytes: u64) -> Result<Pieces, WireError> {
        let mut download = Download::new(content, max_bytes)?;
        download.run(self).await?;
        download.finish()
    }

    /// Stores what the director does not have of these bytes, and returns what to write in the message. Called again, over
    /// this connection or another, it goes on where it stopped.
    ///
    /// # Errors
    /// As every call.
    pub async fn store_content(&self, bytes: &Bytes) -> Result<Content, WireError> {
        if bytes.len() <= INLINE_BYTES {
            return Ok(Content::new(bytes, &[]));
        }
        let whole = bytes.clone();
        let hashed = tokio::task::spawn_blocking(move || hash_chunks(&whole)).await;
        let hashes =
            hashed.map_err(|error| Refusal::Internal(format!("a content was not hashed: {error}")))?;
        let content = Content::new(bytes, &hashes);
        let missing = self.missing(content.chunks().to_vec()).await?;
        if !missing.is_empty() {
            let numbers: HashMap<ChunkHash, usize> =
                content.chunks().iter().enumerate().map(|(number, hash)| (*hash, number)).collect();
            let bytes = bytes.clone();
            let chunks =
                missing.into_iter().filter_map(move |hash| Some(chunk(&bytes, *numbers.get(&hash)?)));
            self.store(tokio_stream::iter(chunks)).await?;
        }
        Ok(content)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrives(download: &mut Download, bytes: &[u8]) -> Result<(), WireError> {
        download.append(ChunkHash::of(bytes), Bytes::copy_from_slice(bytes))?;
        download.repeat();
        Ok(())
    }

    #[test]
    fn a_director_that_sends_other_bytes_is_found_out() {
        let bytes: Vec<u8> = (0..2 * CHUNK_BYTES + 5).map(|at| (at / 1000) as u8).collect();
        let content = Content::new(&bytes, &hash_chunks(&bytes));
        let parts: Vec<&[u8]> = bytes.chunks(CHUNK_BYTES).collect();
        let mut download = Download::new(content, u64::MAX).unwrap();
        arrives(&mut download, parts[0]).unwrap();
        for other in [parts[0], parts[2], &parts[1][1..], b""] {
            assert!(matches!(arrives(&mut download, other), Err(WireError::Corrupt(_))));
        }
        arrives(&mut download, parts[1]).unwrap();
        assert_eq!(download.arrived(), 2 * CHUNK_BYTES as u64);
        arrives(&mut download, parts[2]).unwrap();
        assert!(matches!(arrives(&mut download, parts[2]), Err(WireError::Corrupt(_))));
        assert_eq!(download.finish().unwrap().into_bytes(), bytes);
    }

    #[test]
    fn equal_chunks_arrive_once() {
        let bytes = vec![3; 4 * CHUNK_BYTES];
        let mut download = Download::new(Content::new(&bytes, &hash_chunks(&bytes)), u64::MAX).unwrap();
        arrives(&mut download, &bytes[..CHUNK_BYTES]).unwrap();
        assert_eq!(download.finish().unwrap().into_bytes(), bytes);
    }

    #[test]
    fn what_is_not_whole_is_not_given() {
        let bytes = vec![3; INLINE_BYTES + 1];
        let download = Download::new(Content::new(&bytes, &hash_chunks(&bytes)), u64::MAX).unwrap();
        assert!(download.finish().unwrap_err().is_transient());
    }
}
