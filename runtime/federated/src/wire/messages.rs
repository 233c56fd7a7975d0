//! What crosses between director, envoys and clients, in CBOR. Everything here may come from an attacker: a decoder
//! bounds it before it allocates.

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;
use veilflow_engine::remote::TaskKey;
use veilflow_engine::{Event, EventKind};
use veilflow_spec::{Cause, Fingerprint, Name};

use crate::experiment::{ExperimentId, Outcome, Summary, Terms};

/// The version of this protocol. Both sides say theirs first; a difference is refused with both numbers.
pub const PROTOCOL: u32 = 2;

/// SHA-256 of a chunk: its address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ChunkHash(#[serde(with = "serde_bytes")] pub [u8; 32]);

/// Bytes of any size: in the message itself where they are few, else as the chunks that they are made of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Content {
    /// At most [`INLINE_BYTES`](super::INLINE_BYTES).
    Inline(ByteBuf),
    /// Their number and the hash of each chunk, in order; all but the last have [`CHUNK_BYTES`](super::CHUNK_BYTES).
    Chunks {
        /// How many bytes in all.
        bytes: u64,
        /// The chunks.
        chunks: Vec<ChunkHash>,
    },
}

/// A flow that an envoy has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OfferedFlow {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: u32,
    /// Its fingerprint with the default options and collaborators; none where it cannot be made without options.
    pub fingerprint: Option<Fingerprint>,
}

/// Something of each list that the authority signs for everybody.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lists<T> {
    /// Who belongs to the federation, with which key.
    pub roster: T,
    /// Whose certificates no longer count.
    pub revocations: T,
}

/// From an envoy, over its one long-lived stream.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum FromEnvoy {
    /// First.
    Hello {
        /// [`PROTOCOL`].
        protocol: u32,
        /// Random for each start of the envoy's process: another one means that it lost its tasks.
        incarnation: [u8; 16],
        /// The flows that are compiled into it and that its configuration allows.
        flows: Vec<OfferedFlow>,
        /// The versions of the authority's lists that it has.
        lists: Lists<u64>,
    },
    /// A task ended. Repeated after a reconnection until it is acknowledged.
    Done {
        /// Of which experiment.
        experiment: ExperimentId,
        /// Which.
        task: TaskKey,
        /// The answer, or why there is none. Its chunks were stored before.
        outcome: Result<Content, Cause>,
    },
    /// What happened inside tasks and may cross. Repeated after a reconnection until it is [heard](ToEnvoy::Heard).
    Events {
        /// Of which experiment.
        experiment: ExperimentId,
        /// The number of the first: each process of the envoy counts an experiment's events from 0.
        first: u64,
        /// In order.
        events: Vec<EventKind>,
    },
    /// It drains: it takes no new tasks, and goes when the running ones are done.
    Leaving,
    /// Still there.
    Alive,
}

/// To an envoy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(clippy::large_enum_variant, reason = "few are alive at once, and tasks are most of them")]
pub enum ToEnvoy {
    /// First: it is registered.
    Welcome {
        /// [`PROTOCOL`].
        protocol: u32,
        /// Random for each start of the director's process: another one means that it does not know which events it heard.
        incarnation: [u8; 16],
        /// The authority's lists, where the envoy's are older.
        lists: Lists<Option<ByteBuf>>,
        /// Experiments that it may still hold state of. It drops all others.
        experiments: Vec<ExperimentId>,
    },
    /// Newer lists of the authority.
    Lists(Lists<Option<ByteBuf>>),
    /// A task. The same one may come again after a reconnection; it is done once.
    Task {
        /// Of which experiment.
        experiment: ExperimentId,
        /// What its flow is built from.
        terms: Terms,
        /// What its fingerprint has to be.
        fingerprint: Fingerprint,
        /// Which.
        task: TaskKey,
        /// In a secure join, what its setup has for the site.
        setup: Option<Content>,
        /// The message of the fan-out.
        message: Content,
    },
    /// Nobody waits for this task any more.
    Cancel {
        /// Of which experiment.
        experiment: ExperimentId,
        /// Which.
        task: TaskKey,
    },
    /// The answer is safe here: the envoy need not repeat it. It keeps it until the next task of the experiment.
    Acknowledged {
        /// Of which experiment.
        experiment: ExperimentId,
        /// Which.
        task: TaskKey,
    },
    /// The experiment's events before this number are safe here: the envoy need not repeat them.
    Heard {
        /// Of which experiment.
        experiment: ExperimentId,
        /// The number.
        next: u64,
    },
    /// The session of the secure join at this path is over: its secrets are dropped.
    Close {
        /// Of which experiment.
        experiment: ExperimentId,
        /// The path.
        join: String,
    },
    /// The experiment is over: all that was kept for it is dropped.
    End {
        /// Which.
        experiment: ExperimentId,
    },
    /// Still there.
    Alive,
}

/// An experiment to be run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Submit {
    /// [`PROTOCOL`].
    pub protocol: u32,
    /// Chosen by the client at random: the same one again is the same experiment.
    pub id: ExperimentId,
    /// What the flow is built from.
    pub terms: Terms,
    /// What the client's build of the flow has for a fingerprint.
    pub fingerprint: Fingerprint,
    /// The flow's parameters in CBOR; those that the director's build of it starts from, where there are none.
    pub params: Option<Content>,
}

/// What a client asks for by id.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ask {
    /// Which experiment.
    pub id: ExperimentId,
}

/// The events of an experiment, from a number on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Follow {
    /// Which experiment.
    pub id: ExperimentId,
    /// The number of the first event to tell.
    pub from: u64,
    /// Whether to go on until it is over, or to end with what there is.
    pub follow: bool,
}

/// One of an experiment's events, or how it ended: the last.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Told {
    /// Its state changed. The first of each stream says what it is.
    State(Summary),
    /// Something happened in its run.
    Event(Event),
    /// It is over.
    Over(Outcome),
}

/// What an experiment left.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Results {
    /// About it.
    pub summary: Summary,
    /// How it ended; none while it runs.
    pub outcome: Option<Outcome>,
    /// Its report in CBOR, where it finished.
    pub report: Option<Content>,
}

/// An envoy as the director knows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EnvoyStatus {
    /// Its name.
    pub name: Name,
    /// Whether it is connected.
    pub online: bool,
    /// Milliseconds since 1970 at which it was last heard of.
    pub updated_ms: u64,
    /// The experiment that it works on.
    pub running: Option<ExperimentId>,
    /// The flow of that experiment.
    pub flow: Option<String>,
    /// The flows that it offers.
    pub flows: Vec<OfferedFlow>,
}
