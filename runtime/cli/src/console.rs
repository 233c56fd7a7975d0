//! The one place that writes: results to standard output, everything else to standard error.

use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::sync::{Arc, Mutex, PoisonError};

use crate::error::CliError;

/// Where a command line writes.
pub struct Console {
    out: Log,
    log: Log,
    terminal: bool,
}

impl Console {
    /// The process's own standard output and standard error.
    pub fn standard() -> Self {
        // A terminal that cannot move its cursor gets plain lines.
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        Self {
            out: Log::new(io::stdout()),
            log: Log::new(io::stderr()),
            terminal: io::stderr().is_terminal() && !dumb,
        }
    }

    /// Other writers than the process's own, neither of which is a terminal.
    pub fn new(out: impl Write + Send + 'static, err: impl Write + Send + 'static) -> Self {
        Self { out: Log::new(out), log: Log::new(err), terminal: false }
    }

    /// Whether progress is drawn as bars.
    pub(crate) fn terminal(&self) -> bool {
        self.terminal
    }

    pub(crate) fn log(&self) -> &Log {
        &self.log
    }

    /// Standard output, for results that come a line at a time.
    pub(crate) fn out(&self) -> &Log {
        &self.out
    }

    /// Writes results. A reader that has gone away, as `head` does, wants no more: that is no error.
    pub(crate) fn print(&mut self, text: &str) -> Result<(), CliError> {
        match self.out.write(text) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            result => result.map_err(CliError::Output),
        }
    }
}

/// Standard error or standard output, for lines. Clones write to the same.
#[derive(Clone)]
pub(crate) struct Log(Arc<Mutex<Box<dyn Write + Send>>>);

impl Log {
    fn new(writer: impl Write + Send + 'static) -> Self {
        Self(Arc::new(Mutex::new(Box::new(writer))))
    }

    /// Writes a line. Where its reader is gone there is nobody left to tell.
    pub(crate) fn line(&self, line: impl fmt::Display) {
        let _ = self.write(&format!("{line}\n"));
    }

    fn write(&self, text: &str) -> io::Result<()> {
        let mut writer = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        writer.write_all(text.as_bytes()).and_then(|()| writer.flush())
    }
}
