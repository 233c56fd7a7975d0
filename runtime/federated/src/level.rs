//! How much a line of a log matters.

use std::time::Duration;

use serde::{Serialize, Serializer};

/// How much a line of a director's or an envoy's log matters to its operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// What happens inside tasks.
    Debug,
    /// What is as it should be.
    Info,
    /// What may mend itself, or is somebody else's mistake.
    Warn,
    /// Somebody has to look at it.
    Error,
}

/// A duration in seconds, as logs have it.
pub(crate) fn seconds<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(duration.as_secs_f64())
}
