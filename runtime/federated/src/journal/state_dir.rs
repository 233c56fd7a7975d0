//! The director's state directory.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::error::JournalError;
use super::experiment::ExperimentJournal;
use super::files::{create_directory, is_left_over};
use super::lock::DirectoryLock;
use crate::experiment::{ExperimentId, Summary};
use crate::wire::messages::Submit;

/// A director's state: its experiments. One process has it at a time, for as long as this or one of its journals lives.
#[derive(Debug)]
pub struct StateDir {
    path: PathBuf,
    lock: Arc<DirectoryLock>,
}

/// What a state directory holds.
#[derive(Debug)]
pub struct Experiments {
    /// The experiments, the one that was submitted first at the head.
    pub journals: Vec<ExperimentJournal>,
    /// What could not be opened. It was left as it is.
    pub problems: Vec<JournalError>,
}

impl StateDir {
    /// Takes the directory, which is made where there is none.
    ///
    /// # Errors
    /// [`JournalError::Locked`] where another process has it; what the storage reports.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, JournalError> {
        let path = path.into();
        create_directory(&path)?;
        let lock = Arc::new(DirectoryLock::take(&path)?);
        create_directory(&experiments(&path))?;
        Ok(Self { path, lock })
    }

    /// Opens all experiments. One that is damaged does not keep the others away.
    ///
    /// # Errors
    /// A directory that cannot be read.
    pub fn experiments(&self) -> Result<Experiments, JournalError> {
        let path = experiments(&self.path);
        let failed = |error| JournalError::io("read", &path)(error);
        let (mut journals, mut problems) = (Vec::new(), Vec::new());
        for entry in fs::read_dir(&path).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let (name, path) = (entry.file_name().to_string_lossy().into_owned(), entry.path());
            if is_left_over(&name) {
                // Nobody was told that it was accepted.
                fs::remove_dir_all(&path).map_err(JournalError::io("remove", &path))?;
            } else if name.parse::<ExperimentId>().is_err() {
                problems.push(JournalError::Unknown { path });
            } else {
                match ExperimentJournal::open(path, Arc::clone(&self.lock)) {
                    Ok(journal) => journals.push(journal),
                    Err(problem) => problems.push(problem),
                }
            }
        }
        journals.sort_by_cached_key(|journal| (journal.summary().submitted_ms, journal.id()));
        Ok(Experiments { journals, problems })
    }

    /// Writes down a new experiment with the bytes of its parameters, where the client sent some. It outlasts a crash
    /// when this returns.
    ///
    /// # Errors
    /// [`JournalError::Exists`] where there is one with its id; what the storage reports.
    pub fn create(
        &self,
        submit: Submit,
        summary: Summary,
        params: Option<&[u8]>,
    ) -> Result<ExperimentJournal, JournalError> {
        ExperimentJournal::create(&experiments(&self.path), submit, summary, params, Arc::clone(&self.lock))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

fn experiments(path: &Path) -> PathBuf {
    path.join("experiments")
}
