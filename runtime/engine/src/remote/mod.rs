//! Runs whose collaborators are elsewhere: the same interpreter, with tasks and answers as bytes.
//!
//! The director's half is a [`HostedRun`]: it walks the graph, sends [`Delivery`]s through a [`Courier`] and writes each
//! transition to a [`RunLog`], from which a later process resumes it. A site's half is [`SiteTasks`]: it runs whole tasks,
//! addressed by their place in the graph. Neither knows what carries the bytes.

mod courier;
mod hosted;
mod keeper;
mod pieces;
mod port;
mod record;
mod resume;
mod site;

pub use self::courier::{Courier, Delivery, Parcel, SiteEvents, TaskKey};
pub use self::hosted::{hosted, hosted_cbor};
pub use self::pieces::Pieces;
pub use self::record::{Record, RunLog};
pub use self::site::site_tasks;

use std::sync::Arc;

use veilflow_secagg::Identities;
use veilflow_spec::{Cancellation, Cause, Device, Fingerprint, Name, Provided, Result};

use crate::cancel::Canceller;
use crate::error::RunError;
use crate::event::Observer;

/// A flow that is ready to be hosted, whatever its types are.
pub trait HostedRun: Send {
    /// The flow's fingerprint.
    fn fingerprint(&self) -> Fingerprint;

    /// Whether what happens inside the sites' tasks stays there.
    fn confidential(&self) -> bool;

    /// Runs the flow to its report, in CBOR. Blocks the thread that calls.
    ///
    /// # Errors
    /// As [`LocalRuntime::run`](crate::LocalRuntime::run), and a log that cannot be written or does not fit the flow.
    fn run(self: Box<Self>, hosting: Hosting) -> Result<Vec<u8>, RunError>;
}

/// What a hosted run needs beside the flow.
pub struct Hosting {
    /// Who takes part.
    pub participants: Vec<Name>,
    /// How they are reached.
    pub courier: Arc<dyn Courier>,
    /// Where each transition is written before it has consequences.
    pub log: Arc<dyn RunLog>,
    /// What an earlier process wrote there: its last checkpoint and what came after. Empty for a new run.
    pub history: Vec<Record>,
    /// The seed of the run.
    pub seed: u64,
    /// The device of the aggregator's steps.
    pub device: Device,
    /// Whose keys the aggregator knows. Asked for where a session is signed.
    pub identities: Arc<dyn Fn() -> Result<Arc<Identities>> + Send + Sync>,
    /// What the ids of this run's secure sessions are derived from: random, and the same after a restart.
    pub sessions: [u8; 32],
    /// Who looks at the run's events.
    pub observers: Vec<Arc<dyn Observer>>,
    /// Where the events of the sites' tasks come in.
    pub site_events: SiteEvents,
    /// Cancels the run.
    pub canceller: Canceller,
}

/// One site's half of a flow, whatever its types are. It owns the site's participant.
pub trait SiteTasks: Send + Sync {
    /// The flow's fingerprint.
    fn fingerprint(&self) -> Fingerprint;

    /// Whether what happens inside the tasks stays at the site.
    fn confidential(&self) -> bool;

    /// Runs the whole task of the fan-out at this place and returns its answer in CBOR. Blocks the thread that calls;
    /// a second call meanwhile is [`Cause::Busy`].
    ///
    /// # Errors
    /// Why there is no answer, as it may be told to the director: without texts in a confidential flow.
    fn perform(
        &self,
        task: &TaskKey,
        setup: Option<Pieces>,
        message: Pieces,
        cancellation: &Cancellation,
    ) -> Result<Vec<u8>, Cause>;

    /// Drops the secrets of the secure join at this path: its session is over. At once, or when the task that works
    /// returns.
    fn close(&self, join: &str);
}

/// What a site's half needs beside the flow.
pub struct SiteSettings {
    /// Who the site is.
    pub name: Name,
    /// Who takes part.
    pub participants: Vec<Name>,
    /// The seed of the run.
    pub seed: u64,
    /// Processors for a step.
    pub cpus: usize,
    /// The device for a step.
    pub device: Device,
    /// What the site provides, such as a [`SecureSite`](crate::SecureSite).
    pub provided: Provided,
    /// Simulated dropouts: at a step, and at random.
    pub drop: Vec<(Name, String)>,
    /// The probability of the random ones.
    pub dropouts: f64,
    /// Who looks at all that happens at the site.
    pub observer: Arc<dyn Observer>,
    /// Who looks at what may cross: nothing in a confidential flow, never progress.
    pub crossing: Arc<dyn Observer>,
}
