//! The command line as a process: started, listened to, stopped, killed.

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::wait::{PATIENCE, wait};

/// Set where the test's binary is to be the command line.
pub(crate) const AS_PROGRAM: &str = "VEILFLOW_TEST_AS_PROGRAM";

/// A process. It is killed when this is dropped.
pub(crate) struct Process {
    name: String,
    child: Child,
    output: Arc<Output>,
}

#[derive(Default)]
struct Output {
    state: Mutex<Lines>,
    changed: Condvar,
}

#[derive(Default)]
struct Lines {
    /// What it wrote to standard output, and to standard error.
    all: Vec<(Stream, String)>,
    /// Up to where [`Process::line`] has looked.
    looked: usize,
    /// How many of the two streams have ended.
    ended: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stream {
    Out,
    Err,
}

/// What a process that ended wrote.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Process {
    /// Starts `veilflow` with these arguments.
    pub(crate) fn start<A: AsRef<OsStr>>(
        name: &str,
        arguments: &[A],
        environment: &[(&str, String)],
    ) -> Self {
        Self::of(
            name,
            Command::new(std::env::current_exe().unwrap()).args(arguments).env(AS_PROGRAM, "1"),
            environment,
        )
    }

    /// Starts this binary as what the environment makes of it.
    pub(crate) fn own(name: &str, environment: &[(&str, String)]) -> Self {
        Self::of(name, &mut Command::new(std::env::current_exe().unwrap()), environment)
    }

    fn of(name: &str, command: &mut Command, environment: &[(&str, String)]) -> Self {
        command.stdin(Stdio::null());
        command.envs(environment.iter().map(|(key, value)| (key, value)));
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let output = Arc::new(Output::default());
        output.listen(Stream::Out, child.stdout.take().unwrap());
        output.listen(Stream::Err, child.stderr.take().unwrap());
        Self { name: name.to_owned(), child, output }
    }

    /// Waits for a line, on either stream, that was not looked at before and of which `look` makes something.
    pub(crate) fn line<T>(&self, what: &str, mut look: impl FnMut(&str) -> Option<T>) -> T {
        let name = &self.name;
        wait(&self.output.changed, self.output.lines(), PATIENCE, &format!("{name}: {what}"), |lines| {
            while let Some((_, line)) = lines.all.get(lines.looked) {
                lines.looked += 1;
                if let Some(found) = look(line) {
                    return Some(found);
                }
            }
            assert!(lines.ended < 2, "{name} ended before {what}:\n{}", lines.text());
            None
        })
    }

    /// Waits for a line with this text.
    pub(crate) fn says(&self, text: &str) -> String {
        self.line(text, |line| line.contains(text).then(|| line.to_owned()))
    }

    /// All that it wrote so far.
    pub(crate) fn text(&self) -> String {
        self.output.lines().text()
    }

    /// Ends it as a crash would: SIGKILL.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Asks it to stop: SIGTERM.
    pub(crate) fn terminate(&self) {
        kill(Pid::from_raw(self.child.id().try_into().unwrap()), Signal::SIGTERM).unwrap();
    }

    /// Waits until it ended by itself.
    pub(crate) fn ended(mut self, patience: Duration) -> Ended {
        let what = format!("the end of {}", self.name);
        wait(&self.output.changed, self.output.lines(), patience, &what, |lines| {
            (lines.ended == 2).then_some(())
        });
        let status = self.child.wait().unwrap();
        let lines = self.output.lines();
        Ended { status, out: lines.of(Stream::Out), err: lines.of(Stream::Err) }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // What a test that fails leaves behind is what its reader needs.
        if thread::panicking() {
            let text = format!("--- {}\n{}\n", self.name, self.text());
            let _closed = std::io::Write::write_all(&mut std::io::stderr(), text.as_bytes());
        }
        let _ended = self.child.kill();
        let _status = self.child.wait();
    }
}

impl Output {
    fn lines(&self) -> MutexGuard<'_, Lines> {
        // A wait that fails panics while it holds them, and its reader needs them all the same.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn listen(self: &Arc<Self>, stream: Stream, from: impl Read + Send + 'static) {
        let output = Arc::clone(self);
        thread::spawn(move || {
            let mut from = BufReader::new(from);
            let mut line = Vec::new();
            while matches!(from.read_until(b'\n', &mut line), Ok(1..)) {
                let text = String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n']).to_owned();
                line.clear();
                output.lines().all.push((stream, text));
                output.changed.notify_all();
            }
            output.lines().ended += 1;
            output.changed.notify_all();
        });
    }
}

impl Lines {
    fn text(&self) -> String {
        self.all.iter().map(|(_, line)| line.as_str()).collect::<Vec<_>>().join("\n")
    }

    fn of(&self, stream: Stream) -> String {
        let lines = self.all.iter().filter(|(of, _)| *of == stream);
        lines.map(|(_, line)| format!("{line}\n")).collect()
    }
}
