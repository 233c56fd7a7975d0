//! `data fetch NAME`.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use clap::ArgMatches;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::console::{Console, Log};
use crate::dataset::{Fetch, Watcher, cache_dir};
use crate::error::CliError;
use crate::interrupt::{self, Interruptible};
use crate::registry::Registry;

pub(super) fn fetch(
    registry: &Registry,
    matches: &ArgMatches,
    console: &mut Console,
) -> Result<(), CliError> {
    let name = matches.get_one::<String>("name").map_or("", String::as_str);
    let Some(dataset) = registry.datasets.iter().find(|dataset| dataset.name == name) else {
        let known = registry.datasets.iter().map(|dataset| dataset.name.to_owned()).collect();
        return Err(CliError::Unknown { what: "data set", name: name.to_owned(), known });
    };
    let dir = matches.get_one::<PathBuf>("data-dir").cloned().unwrap_or_else(|| cache_dir(dataset.name));
    let download = Arc::new(Download {
        log: console.log().clone(),
        quiet: matches.get_flag("quiet"),
        terminal: console.terminal(),
        cancelled: AtomicBool::new(false),
        current: Mutex::new(None),
    });
    let guard = interrupt::while_running(Arc::clone(&download) as Arc<dyn Interruptible>);
    let fetched = (dataset.fetch)(&Fetch::new(dir.clone(), &*download));
    download.clear();
    drop(guard);
    fetched.map_err(|error| CliError::Fetch { name: dataset.name, error })?;
    console.print(&format!("{}\n", dir.display()))
}

/// A download as a bar on a terminal, as a line per file elsewhere.
struct Download {
    log: Log,
    quiet: bool,
    terminal: bool,
    cancelled: AtomicBool,
    current: Mutex<Option<File>>,
}

struct File {
    name: String,
    bar: Option<ProgressBar>,
    complete: bool,
}

impl Download {
    fn current(&self) -> MutexGuard<'_, Option<File>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn clear(&self) {
        if let Some(bar) = self.current().take().and_then(|file| file.bar) {
            bar.finish_and_clear();
        }
    }

    fn line(&self, file: Option<&File>, line: &str) {
        match file.and_then(|file| file.bar.as_ref()) {
            Some(bar) => bar.suspend(|| self.log.line(line)),
            None => self.log.line(line),
        }
    }

    fn open(&self, name: &str, total: Option<u64>) -> File {
        let bar = self.terminal.then(|| {
            let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::stderr());
            let template = "{prefix}\n  [{bar:32}] {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left";
            // A constant, so it is known to be well formed.
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style.progress_chars("=> "));
            }
            bar.set_prefix(name.to_owned());
            bar
        });
        File { name: name.to_owned(), bar, complete: false }
    }
}

impl Watcher for Download {
    fn progress(&self, file: &str, done: u64, total: Option<u64>) {
        if self.quiet {
            return;
        }
        let mut current = self.current();
        if current.as_ref().is_none_or(|current| current.name != file) {
            if let Some(bar) = current.take().and_then(|file| file.bar) {
                bar.finish_and_clear();
            }
            *current = Some(self.open(file, total));
        }
        let Some(current) = current.as_mut() else { return };
        if let Some(bar) = &current.bar {
            bar.set_position(done);
        }
        if total == Some(done) && !current.complete {
            current.complete = true;
            self.line(Some(current), &format!("{file}: {done} bytes"));
        }
    }

    fn note(&self, text: &str) {
        if !self.quiet {
            self.line(self.current().as_ref(), text);
        }
    }

    fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::SeqCst)
    }
}

impl Interruptible for Download {
    fn cancel(&self) {
        self.cancelled.store(true, Ordering::SeqCst);
        self.line(self.current().as_ref(), "cancelling; press Ctrl-C again to stop at once");
    }

    fn abandon(&self) {
        self.clear();
    }
}
