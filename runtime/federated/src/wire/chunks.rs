//! The chunks that a director has in memory: those that it serves, and those that peers stored with it.
//!
//! What is served is addressed: a peer gets the chunks of the contents that are meant for it, as long as a [`Served`]
//! holds them, and no others, whatever hashes it guesses. What is stored belongs to who stored it, within a budget, until
//! it is [taken](Chunks::take).

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use veilflow_engine::remote::{Parcel, Pieces};
use veilflow_spec::Name;

use super::error::{Refusal, WireError};
use super::hash::{chunk, chunk_len, hash_chunks};
use super::messages::{ChunkHash, Content};
use super::packing::Packing;
use super::{CHUNK_BYTES, INLINE_BYTES};
use crate::pki::{Peer, Role};

/// Whose chunks they are: a name and what it acts as.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Party {
    /// What it acts as.
    pub role: Role,
    /// Its name.
    pub name: Name,
}

impl Party {
    /// The envoy of this name.
    pub fn envoy(name: Name) -> Self {
        Self { role: Role::Envoy, name }
    }
}

impl From<&Peer> for Party {
    fn from(peer: &Peer) -> Self {
        Self { role: peer.role, name: peer.name.clone() }
    }
}

impl fmt::Display for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.role, self.name)
    }
}

/// How much memory the chunks of others may take, in bytes. What a peer stored counts in whole chunks, however small.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    /// All that peers stored together.
    pub total: u64,
    /// What one peer stored and nobody took yet. Its oldest chunks give way to its newest.
    pub per_peer: u64,
    /// The largest content.
    pub content: u64,
}

impl Default for Budget {
    fn default() -> Self {
        const GIB: u64 = 1024 * 1024 * 1024;
        Self { total: 16 * GIB, per_peer: 4 * GIB, content: 4 * GIB }
    }
}

/// How much there is, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Distinct chunks that are served. They are the memory of whoever made the content.
    pub served: u64,
    /// Chunks that peers stored: [`CHUNK_BYTES`] for each.
    pub stored: u64,
}

/// The chunks that a director has in memory. A clone is the same store.
#[derive(Clone)]
pub struct Chunks(Arc<Inner>);

struct Inner {
    budget: Budget,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    served: HashMap<ChunkHash, ServedChunk>,
    stored: HashMap<Party, Stored>,
    usage: Usage,
    /// Counts the chunks that were stored, so that the oldest is known.
    clock: u64,
}

struct ServedChunk {
    packing: Packing,
    /// How often each reader's contents hold it.
    readers: HashMap<Arc<Party>, u32>,
}

#[derive(Default)]
struct Stored {
    chunks: HashMap<ChunkHash, (u64, Bytes)>,
    oldest_first: BTreeMap<u64, ChunkHash>,
}

/// What a stored chunk counts, however small.
const COUNTED: u64 = CHUNK_BYTES as u64;

impl Stored {
    fn remove(&mut self, hash: &ChunkHash) -> Option<Bytes> {
        let (age, bytes) = self.chunks.remove(hash)?;
        self.oldest_first.remove(&age);
        Some(bytes)
    }

    fn counted(&self) -> u64 {
        self.chunks.len() as u64 * COUNTED
    }
}

/// Keeps a content for its reader. Dropped, its chunks are no longer to be had, unless another holds them.
#[must_use = "the content is served only as long as this lives"]
pub struct Served {
    chunks: Option<Chunks>,
    reader: Arc<Party>,
    hashes: Vec<ChunkHash>,
}

impl Drop for Served {
    fn drop(&mut self) {
        if let Some(chunks) = &self.chunks {
            chunks.release(&self.reader, &self.hashes);
        }
    }
}

impl fmt::Debug for Served {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Served({} chunks to {})", self.hashes.len(), self.reader)
    }
}

impl Chunks {
    /// An empty store.
    pub fn new(budget: Budget) -> Self {
        Self(Arc::new(Inner { budget, state: Mutex::default() }))
    }

    /// What it may hold.
    pub fn budget(&self) -> Budget {
        self.0.budget
    }

    /// What it holds.
    pub fn usage(&self) -> Usage {
        self.lock().usage
    }

    /// Serves a parcel to a reader and says what to write in the message to it. The chunks are hashed once for all
    /// readers, on a thread of their own, and are the parcel's own memory.
    ///
    /// # Errors
    /// [`Refusal::TooLarge`] above [`Budget::content`].
    pub async fn serve(&self, parcel: &Arc<Parcel>, reader: Party) -> Result<(Content, Served), Refusal> {
        if parcel.bytes().len() <= INLINE_BYTES {
            let served = Served { chunks: None, reader: Arc::new(reader), hashes: Vec::new() };
            return Ok((Content::new(parcel.bytes(), &[]), served));
        }
        check_size(parcel.bytes().len() as u64, self.0.budget.content)?;
        let (chunks, parcel) = (self.clone(), Arc::clone(parcel));
        let done = tokio::task::spawn_blocking(move || {
            let content = Content::new(parcel.bytes(), parcel.memo(|bytes| hash_chunks(bytes)));
            let served = chunks.hold(parcel.bytes(), content.chunks(), reader);
            (content, served)
        });
        done.await.map_err(|error| Refusal::Internal(format!("a content could not be served: {error}")))
    }

    fn hold(&self, bytes: &Bytes, hashes: &[ChunkHash], reader: Party) -> Served {
        let reader = Arc::new(reader);
        let mut state = self.lock();
        let State { served, usage, .. } = &mut *state;
        for (number, hash) in hashes.iter().enumerate() {
            let entry = served.entry(*hash).or_insert_with(|| {
                let bytes = chunk(bytes, number);
                usage.served += bytes.len() as u64;
                ServedChunk { packing: Packing::new(bytes), readers: HashMap::new() }
            });
            *entry.readers.entry(Arc::clone(&reader)).or_insert(0) += 1;
        }
        Served { chunks: Some(self.clone()), reader, hashes: hashes.to_vec() }
    }

    fn release(&self, reader: &Party, hashes: &[ChunkHash]) {
        let mut state = self.lock();
        let State { served, usage, .. } = &mut *state;
        for hash in hashes {
            let Some(entry) = served.get_mut(hash) else { continue };
            if let Some(count) = entry.readers.get_mut(reader) {
                *count -= 1;
                if *count == 0 {
                    entry.readers.remove(reader);
                }
            }
            if entry.readers.is_empty() {
                usage.served -= entry.packing.chunk().len() as u64;
                served.remove(hash);
            }
        }
    }

    /// A chunk for its way, where it is served to this reader.
    pub(crate) fn get(&self, reader: &Party, hash: &ChunkHash) -> Option<Packing> {
        self.lock().served_to(reader, hash).cloned()
    }

    /// Which of these chunks the peer has to store before it can name them in a content.
    pub fn missing(&self, peer: &Party, hashes: &[ChunkHash]) -> Vec<ChunkHash> {
        let state = self.lock();
        let mut missing = hashes.to_vec();
        missing.sort_unstable();
        missing.dedup();
        missing.retain(|hash| !state.has(peer, hash));
        missing
    }

    /// Takes a chunk of this peer's, whose hash was computed of it here.
    ///
    /// # Errors
    /// [`Refusal::TooLarge`] for more than a chunk, [`Refusal::Busy`] where all peers together hold too much.
    pub fn put(&self, peer: &Party, hash: ChunkHash, bytes: Bytes) -> Result<(), Refusal> {
        let Budget { total, per_peer, .. } = self.0.budget;
        if bytes.len() > CHUNK_BYTES || per_peer < COUNTED {
            return Err(Refusal::TooLarge(format!(
                "a chunk of {} bytes: {CHUNK_BYTES} are a chunk, and {per_peer} are a peer's share",
                bytes.len()
            )));
        }
        let mut state = self.lock();
        if state.has(peer, &hash) {
            return Ok(());
        }
        state.clock += 1;
        let State { stored, usage, clock, .. } = &mut *state;
        let own = stored.entry(peer.clone()).or_default();
        while own.counted() + COUNTED > per_peer
            && let Some(oldest) = own.oldest_first.first_key_value().map(|(_, hash)| *hash)
            && own.remove(&oldest).is_some()
        {
            usage.stored -= COUNTED;
        }
        if usage.stored + COUNTED > total {
            if own.chunks.is_empty() {
                stored.remove(peer);
            }
            return Err(Refusal::Busy(format!(
                "the peers' contents fill the {total} bytes of memory meant for them: try again later"
            )));
        }
        usage.stored += COUNTED;
        own.oldest_first.insert(*clock, hash);
        own.chunks.insert(hash, (*clock, bytes));
        Ok(())
    }

    /// Takes a content out of what the peer stored: the chunks themselves, without a copy.
    ///
    /// # Errors
    /// [`Refusal::TooLarge`] above [`Budget::content`], [`Refusal::Invalid`] where the chunks cannot be those of such a
    /// content, [`Refusal::Unknown`] where the peer stored not all of them: it asks what is missing, and stores it again.
    pub fn take(&self, peer: &Party, content: Content) -> Result<Pieces, Refusal> {
        let chunks = match content {
            Content::Inline(bytes) if bytes.len() <= INLINE_BYTES => return Ok(bytes.into_vec().into()),
            Content::Inline(bytes) => {
                return Err(Refusal::Invalid(format!(
                    "{} bytes inside a message: above {INLINE_BYTES} they go as chunks",
                    bytes.len()
                )));
            }
            content @ Content::Chunks { .. } => content,
        };
        let Budget { content, per_peer, .. } = self.0.budget;
        // More than its share the peer could never store at once.
        check_size(chunks.bytes(), content.min(per_peer - per_peer % COUNTED))?;
        chunks.check(content).map_err(|error| Refusal::Invalid(error.to_string()))?;
        self.collect(peer, &chunks)
    }

    /// The chunks of a content, all or none, and no longer in the store.
    fn collect(&self, peer: &Party, content: &Content) -> Result<Pieces, Refusal> {
        let mut state = self.lock();
        let find = |state: &State, hash: &ChunkHash| {
            let own = state.stored.get(peer).and_then(|own| own.chunks.get(hash));
            own.map(|(_, bytes)| bytes.clone())
                .or_else(|| state.served_to(peer, hash).map(|served| served.chunk().clone()))
        };
        let mut parts = Pieces::default();
        for (number, hash) in content.chunks().iter().enumerate() {
            let bytes = find(&state, hash).ok_or_else(|| {
                Refusal::Unknown(format!(
                    "the chunk {hash} of a content: store what is missing, and say it again"
                ))
            })?;
            if bytes.len() != chunk_len(content.bytes(), number) {
                return Err(Refusal::Invalid(format!(
                    "the chunk {hash} has {} bytes where the content has {}",
                    bytes.len(),
                    chunk_len(content.bytes(), number)
                )));
            }
            parts.push(bytes);
        }
        let State { stored, usage, .. } = &mut *state;
        if let Some(own) = stored.get_mut(peer) {
            let gone = content.chunks().iter().filter_map(|hash| own.remove(hash)).count() as u64;
            usage.stored -= gone * COUNTED;
            if own.chunks.is_empty() {
                stored.remove(peer);
            }
        }
        Ok(parts)
    }

    /// Drops all that the peer stored and nobody took.
    pub fn forget(&self, peer: &Party) {
        let mut state = self.lock();
        if let Some(own) = state.stored.remove(peer) {
            state.usage.stored -= own.counted();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing in here panics between two writes that belong together.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn check_size(bytes: u64, limit: u64) -> Result<(), Refusal> {
    if bytes <= limit {
        Ok(())
    } else {
        Err(Refusal::TooLarge(WireError::TooLarge { bytes, limit }.to_string()))
    }
}

impl State {
    fn served_to(&self, reader: &Party, hash: &ChunkHash) -> Option<&Packing> {
        let chunk = self.served.get(hash)?;
        chunk.readers.contains_key(reader).then_some(&chunk.packing)
    }

    fn has(&self, peer: &Party, hash: &ChunkHash) -> bool {
        self.stored.get(peer).is_some_and(|own| own.chunks.contains_key(hash))
            || self.served.get(hash).is_some_and(|chunk| chunk.readers.contains_key(peer))
    }
}

impl fmt::Debug for Chunks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chunks").field("budget", &self.0.budget).field("usage", &self.usage()).finish()
    }
}
