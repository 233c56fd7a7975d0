//! Experiments: what all parts know of one.

use std::fmt;
use std::str::FromStr;

use rand::TryRng as _;
use rand::rngs::SysRng;
use serde::{Deserialize, Serialize};
use veilflow_spec::{Fingerprint, Missing, Name};

/// What an experiment is called: 16 random bytes, written as 32 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct ExperimentId([u8; 16]);

/// A text that is no experiment's id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no experiment's id: 32 hexadecimal digits, as `experiment list` shows them")]
pub struct InvalidExperimentId(pub String);

impl ExperimentId {
    /// A new one, from the operating system's generator.
    ///
    /// # Errors
    /// What the operating system reports.
    pub fn generate() -> std::io::Result<Self> {
        let mut bytes = [0; 16];
        SysRng.try_fill_bytes(&mut bytes).map_err(std::io::Error::other)?;
        Ok(Self(bytes))
    }

    /// The 16 bytes.
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for ExperimentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text: String = self.0.iter().map(|byte| format!("{byte:02x}")).collect();
        f.pad(&text)
    }
}

impl fmt::Debug for ExperimentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ExperimentId({self})")
    }
}

impl From<ExperimentId> for String {
    fn from(id: ExperimentId) -> Self {
        id.to_string()
    }
}

impl TryFrom<String> for ExperimentId {
    type Error = InvalidExperimentId;

    fn try_from(text: String) -> Result<Self, InvalidExperimentId> {
        text.parse()
    }
}

impl FromStr for ExperimentId {
    type Err = InvalidExperimentId;

    fn from_str(text: &str) -> Result<Self, InvalidExperimentId> {
        let invalid = || InvalidExperimentId(text.chars().take(64).collect());
        let digits = text.as_bytes();
        if digits.len() != 32 || !digits.iter().all(u8::is_ascii_hexdigit) {
            return Err(invalid());
        }
        let mut bytes = [0; 16];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks(2)) {
            let pair = std::str::from_utf8(pair).map_err(|_| invalid())?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| invalid())?;
        }
        Ok(Self(bytes))
    }
}

/// What a flow is built from, the same at the client, the director and every envoy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Terms {
    /// The flow's name.
    pub flow: String,
    /// The flow's own options, as on the command line: `--rounds=2`.
    pub options: Vec<String>,
    /// Who takes part, in the order in which the client named them.
    pub participants: Vec<Name>,
    /// The seed of the run.
    pub seed: u64,
    /// Simulated dropouts at a step.
    pub drop: Vec<(Name, String)>,
    /// The probability of simulated dropouts at random.
    pub dropouts: f64,
}

/// Where an experiment is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Queued: it waits for its turn, or for its participants.
    Pending,
    /// Running.
    Running,
    /// Over, with its report.
    Finished,
    /// Over, with an error.
    Failed,
    /// Over: somebody cancelled it.
    Cancelled,
}

impl State {
    /// Whether it is over.
    pub fn is_over(self) -> bool {
        !matches!(self, State::Pending | State::Running)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            State::Pending => "pending",
            State::Running => "running",
            State::Finished => "finished",
            State::Failed => "failed",
            State::Cancelled => "cancelled",
        })
    }
}

/// What is told of an experiment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Its id.
    pub id: ExperimentId,
    /// What its flow is built from.
    pub terms: Terms,
    /// The fingerprint that all parts agree on.
    pub fingerprint: Fingerprint,
    /// Who submitted it.
    pub owner: Name,
    /// Where it is in its life.
    pub state: State,
    /// Why it is there.
    pub reason: String,
    /// Milliseconds since 1970 at which it was submitted.
    pub submitted_ms: u64,
    /// The same, at which it first ran.
    pub started_ms: Option<u64>,
    /// The same, at which it was over.
    pub ended_ms: Option<u64>,
}

/// How an experiment that is over ended, beside its report.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// Finished, failed or cancelled.
    pub state: State,
    /// The error's code, as `RunError::code` gives it; empty where it finished.
    pub code: String,
    /// The error's text.
    pub error: String,
    /// Who was missing when it failed.
    pub missing: Vec<Missing>,
    /// Who provably did not follow a protocol.
    pub culprits: Vec<Name>,
}
