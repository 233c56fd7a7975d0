//! What can be wrong with a journal.

use std::io;
use std::path::{Path, PathBuf};

use crate::experiment::ExperimentId;

/// Why a journal cannot be opened, read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JournalError {
    /// Another process has the directory.
    #[error(
        "{} is in use by {}: a state directory belongs to one process at a time; stop the other one, or give this one \
         a directory of its own", path.display(), holder(*process)
    )]
    Locked {
        /// The directory.
        path: PathBuf,
        /// The id of the process that has it, where it could be read.
        process: Option<u32>,
    },
    /// The storage failed.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was to be done: `read`, `write`.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// What the system reported.
        source: io::Error,
    },
    /// A file is not what was written.
    #[error("{} is damaged at byte {offset}: {what}; put it back from a copy, or move its directory away", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where, in bytes from its start.
        offset: u64,
        /// What is wrong there.
        what: String,
    },
    /// Something in a state directory that is not an experiment.
    #[error("{} is no experiment: nothing else belongs there; move it away", path.display())]
    Unknown {
        /// What is there.
        path: PathBuf,
    },
    /// An experiment of this id is there already.
    #[error("experiment {id} is in the journal already")]
    Exists {
        /// Which.
        id: ExperimentId,
    },
}

impl JournalError {
    /// A short name of the kind of error, for machines.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Locked { .. } => "journal-locked",
            Self::Io { .. } => "journal-unavailable",
            Self::Damaged { .. } => "journal-damaged",
            Self::Unknown { .. } => "journal-unknown",
            Self::Exists { .. } => "journal-exists",
        }
    }

    /// For `map_err`: what was to be done with which file.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }

    pub(super) fn damaged(path: &Path, offset: u64, what: impl ToString) -> Self {
        Self::Damaged { path: path.to_owned(), offset, what: what.to_string() }
    }
}

/// For callers whose own errors are the system's, as those of the engine's log.
impl From<JournalError> for io::Error {
    fn from(error: JournalError) -> Self {
        let kind = match &error {
            JournalError::Io { source, .. } => source.kind(),
            JournalError::Locked { .. } => io::ErrorKind::ResourceBusy,
            JournalError::Damaged { .. } | JournalError::Unknown { .. } => io::ErrorKind::InvalidData,
            JournalError::Exists { .. } => io::ErrorKind::AlreadyExists,
        };
        Self::new(kind, error)
    }
}

fn holder(process: Option<u32>) -> String {
    process.map_or_else(|| "another process".to_owned(), |id| format!("process {id}"))
}
