//! Processes that outlast the command that started them.
//!
//! Each one's standard input is its own `.pid` file, on which the command took a lock before: the lock belongs to the open
//! file and so lasts exactly as long as the process, however it ends. Whoever wants to know whether it still runs tries
//! to take the lock, and whoever waits for its end waits for the lock. A number that another process got meanwhile is
//! never signalled.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use super::layout::Part;
use crate::serving::Ready;

/// Why a federation on this machine does not start or end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum FederationError {
    #[error("{}: {error}", path.display())]
    File { path: PathBuf, error: io::Error },
    #[error("a federation runs in {} already", root.display())]
    Runs { root: PathBuf },
    #[error("{} is not a folder that `federation up` made, so it is left alone", root.display())]
    NotOurs { root: PathBuf },
    #[error("no federation was started in {}", root.display())]
    None { root: PathBuf },
    #[error("{name} is no name for an envoy here: the federation's own parts are called so")]
    Name { name: String },
    #[error("{part} could not be started: {error}")]
    Spawn { part: String, error: io::Error },
    #[error("{part} ended before it was ready{}", tail(log))]
    Ended { part: String, log: PathBuf },
    #[error("{part} was not ready after {after:?}{}", tail(log))]
    NotReady { part: String, after: Duration, log: PathBuf },
    #[error("{part}'s process {pid} does not end")]
    Stays { part: String, pid: u32 },
    #[cfg(not(unix))]
    #[error(
        "a federation on one machine needs a Unix system: start `director start` and `envoy start` by hand"
    )]
    Unsupported,
}

impl FederationError {
    pub(crate) fn is_mistake(&self) -> bool {
        matches!(self, Self::Runs { .. } | Self::NotOurs { .. } | Self::None { .. } | Self::Name { .. })
    }

    pub(crate) fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Runs { .. } => Some("end it with `federation down`, or use another folder with --dir."),
            Self::None { .. } => Some(
                "start one with `federation up --envoys Bengaluru,Portland`, or name its folder with --dir.",
            ),
            Self::NotOurs { .. } => Some("name a folder that does not exist yet with --dir."),
            _ => None,
        }
    }
}

/// The end of a log, for an error.
fn tail(log: &Path) -> String {
    const LINES: usize = 10;
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<_> = text.lines().collect();
    let last = lines.get(lines.len().saturating_sub(LINES)..).unwrap_or_default();
    if last.is_empty() {
        return format!(" and said nothing in {}", log.display());
    }
    format!(", and said:\n  {}", last.join("\n  "))
}

/// A process that was started and waits to be left alone.
pub(super) struct Started {
    part: String,
    log: PathBuf,
    child: std::process::Child,
    lines: mpsc::Receiver<io::Result<String>>,
    keep: bool,
}

/// Starts this very program with these arguments as a part of the federation.
pub(super) fn start(part: &Part, arguments: &[&str]) -> Result<Started, FederationError> {
    let file = |path: &Path| {
        let path = path.to_owned();
        move |error| FederationError::File { path, error }
    };
    let spawning = |error| FederationError::Spawn { part: part.name.clone(), error };
    let log = File::create(&part.log).map_err(file(&part.log))?;
    let mut options = File::options();
    options.read(true).write(true).create(true).truncate(false);
    let mut pid = options.open(&part.pid).map_err(file(&part.pid))?;
    pid.lock().map_err(file(&part.pid))?;
    let mut command = Command::new(std::env::current_exe().map_err(spawning)?);
    command
        .args(arguments)
        .arg("--config")
        .arg(&part.config)
        .stdin(Stdio::from(pid.try_clone().map_err(spawning)?))
        .stdout(Stdio::piped())
        .stderr(log);
    #[cfg(unix)]
    {
        // In a group of its own, or the terminal's Ctrl-C would end it.
        use std::os::unix::process::CommandExt as _;
        command.process_group(0);
    }
    let mut child = command.spawn().map_err(spawning)?;
    let (sender, lines) = mpsc::channel();
    if let Some(out) = child.stdout.take() {
        thread::spawn(move || {
            let mut line = String::new();
            let read = BufReader::new(out).read_line(&mut line);
            // Nobody waits any more: then nobody needs it.
            let _ = sender.send(read.map(|_| line));
        });
    }
    let started = Started { part: part.name.clone(), log: part.log.clone(), child, lines, keep: false };
    let written = pid.set_len(0).and_then(|()| pid.rewind());
    let written =
        written.and_then(|()| writeln!(pid, "{}", started.child.id())).and_then(|()| pid.sync_all());
    written.map_err(file(&part.pid))?;
    Ok(started)
}

impl Started {
    /// Waits until it says that it is ready, and returns what it says beside.
    pub(super) fn ready(&self, after: Duration) -> Result<String, FederationError> {
        let (part, log) = (self.part.clone(), self.log.clone());
        match self.lines.recv_timeout(after) {
            Ok(Ok(line)) => match Ready::of(&line) {
                Some(text) => Ok(text.to_owned()),
                None => Err(FederationError::Ended { part, log }),
            },
            Ok(Err(_)) | Err(mpsc::RecvTimeoutError::Disconnected) => {
                Err(FederationError::Ended { part, log })
            }
            Err(mpsc::RecvTimeoutError::Timeout) => Err(FederationError::NotReady { part, after, log }),
        }
    }

    /// Lets it run on by itself.
    pub(super) fn keep(mut self) {
        self.keep = true;
    }
}

impl Drop for Started {
    /// A federation that did not come up whole leaves no part behind.
    fn drop(&mut self) {
        if !self.keep {
            // Fails where it has ended by itself, which is as well.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// A process of a federation that runs.
pub(super) struct Running {
    part: String,
    lock: File,
    path: PathBuf,
    pid: u32,
}

/// The process of a part, if it runs.
pub(super) fn running(part: &Part) -> Result<Option<Running>, FederationError> {
    let file = |error| FederationError::File { path: part.pid.clone(), error };
    let mut lock = match File::open(&part.pid) {
        Ok(lock) => lock,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(file(error)),
    };
    match lock.try_lock() {
        Ok(()) => return Ok(None),
        Err(std::fs::TryLockError::WouldBlock) => {}
        Err(std::fs::TryLockError::Error(error)) => return Err(file(error)),
    }
    let mut text = String::new();
    lock.read_to_string(&mut text).map_err(file)?;
    let number = text.trim().parse();
    let pid = number.map_err(|_| file(io::Error::new(io::ErrorKind::InvalidData, "it holds no number")))?;
    Ok(Some(Running { part: part.name.clone(), lock, path: part.pid.clone(), pid }))
}

impl Running {
    /// Asks it to end.
    pub(super) fn terminate(&self) -> Result<(), FederationError> {
        self.signal(Signal::Terminate)
    }

    /// Waits for its end, and ends it where that takes too long. Says whether it ended by itself.
    pub(super) fn wait(self, patience: Duration) -> Result<bool, FederationError> {
        if self.ended(patience)? {
            return Ok(true);
        }
        self.signal(Signal::Kill)?;
        if self.ended(patience)? {
            return Ok(false);
        }
        Err(FederationError::Stays { part: self.part, pid: self.pid })
    }

    /// Whether it ends within this time.
    fn ended(&self, patience: Duration) -> Result<bool, FederationError> {
        let file = |error| FederationError::File { path: self.path.clone(), error };
        let lock = self.lock.try_clone().map_err(file)?;
        let (sender, ended) = mpsc::channel();
        thread::spawn(move || {
            let locked = lock.lock();
            let _ = sender.send(locked);
        });
        match ended.recv_timeout(patience) {
            Ok(locked) => locked.map(|()| true).map_err(file),
            Err(_) => Ok(false),
        }
    }

    #[cfg(unix)]
    fn signal(&self, signal: Signal) -> Result<(), FederationError> {
        use nix::sys::signal::{self, kill};
        use nix::unistd::Pid;

        let signal = match signal {
            Signal::Terminate => signal::Signal::SIGTERM,
            Signal::Kill => signal::Signal::SIGKILL,
        };
        let wrong = |error: io::Error| FederationError::File { path: self.path.clone(), error };
        // 0 and below would be groups of processes.
        let pid = i32::try_from(self.pid).ok().filter(|pid| *pid > 1);
        let pid =
            pid.ok_or_else(|| wrong(io::Error::new(io::ErrorKind::InvalidData, "it holds no process")))?;
        match kill(Pid::from_raw(pid), signal) {
            // It has just ended.
            Ok(()) | Err(nix::errno::Errno::ESRCH) => Ok(()),
            Err(error) => Err(wrong(error.into())),
        }
    }

    #[cfg(not(unix))]
    fn signal(&self, _: Signal) -> Result<(), FederationError> {
        Err(FederationError::Unsupported)
    }
}

#[derive(Clone, Copy)]
enum Signal {
    Terminate,
    Kill,
}
