//! Data that `data fetch` gets.

use std::path::{Path, PathBuf};

use veilflow_spec::{Result, StepError};

/// A data set that `veilflow data fetch NAME` can get.
#[derive(Clone, Copy, Debug)]
pub struct Dataset {
    /// Its name on the command line.
    pub name: &'static str,
    /// One line about it: what, how large, from where, under which licence.
    pub about: &'static str,
    /// Gets it into [`Fetch::dir`], which may not exist yet. It calls [`Fetch::progress`] as it goes, and
    /// leaves behind only whole files and what it can resume from.
    pub fetch: fn(&Fetch<'_>) -> Result<()>,
}

/// One call of `data fetch`.
pub struct Fetch<'a> {
    dir: PathBuf,
    watcher: &'a dyn Watcher,
}

/// Where a fetch reports to.
pub(crate) trait Watcher {
    fn progress(&self, file: &str, done: u64, total: Option<u64>);
    fn note(&self, text: &str);
    fn is_cancelled(&self) -> bool;
}

impl<'a> Fetch<'a> {
    pub(crate) fn new(dir: PathBuf, watcher: &'a dyn Watcher) -> Self {
        Self { dir, watcher }
    }

    /// Where the files go: `--data-dir`, or the user's [cache](cache_dir).
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Says how many bytes of `file` are there; call it for every block. A file is complete at
    /// `done == total`.
    ///
    /// # Errors
    /// When the user pressed Ctrl-C: leave with `?`.
    pub fn progress(&self, file: &str, done: u64, total: Option<u64>) -> Result<()> {
        if self.watcher.is_cancelled() {
            return Err(StepError::with_code(StepError::CANCELLED_CODE, "the download was cancelled"));
        }
        self.watcher.progress(file, done, total);
        Ok(())
    }

    /// Prints a line.
    pub fn note(&self, text: &str) {
        self.watcher.note(text);
    }
}

/// Where a data set lies unless `--data-dir` says otherwise: `veilflow/NAME` in the user's cache folder
/// (`$XDG_CACHE_HOME`, `~/.cache`, `%LOCALAPPDATA%`), or in `data` beneath the working folder where there is none.
pub fn cache_dir(name: &str) -> PathBuf {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = variable("XDG_CACHE_HOME")
        .filter(|path| path.is_absolute())
        .or_else(|| variable("HOME").map(|home| home.join(".cache")))
        .or_else(|| variable("LOCALAPPDATA"))
        .unwrap_or_else(|| PathBuf::from("data"));
    cache.join("veilflow").join(name)
}
