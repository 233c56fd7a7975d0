//! Where the steps of the test's flows say where they are, and wait until they may go on.
//!
//! Steps run in other processes and dial the gate, so that a process that is killed inside of a step is seen to be gone.

use std::io::{BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

use veilflow_spec::{Context, Result, StepError};

use crate::wait::{PATIENCE, wait};

/// The variable that tells a process where the gate is.
pub(crate) const GATE: &str = "VEILFLOW_TEST_GATE";

/// A step's visit: who, which step, in which round.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Visit {
    pub(crate) who: String,
    pub(crate) step: String,
    pub(crate) round: u32,
}

/// The gate. It is open unless it was closed for a step.
#[derive(Debug)]
pub(crate) struct Gate {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    closed: Vec<Visit>,
    visits: Vec<Visit>,
}

/// A visit in text: `who step round`.
fn line(visit: &Visit) -> String {
    format!("{} {} {}", visit.who, visit.step, visit.round)
}

fn parse(line: &str) -> Visit {
    let mut words = line.split_whitespace();
    let mut next = || words.next().unwrap().to_owned();
    Visit { who: next(), step: next(), round: next().parse().unwrap() }
}

/// What a test's step does first: says where it is, and waits until it may go on, or is cancelled.
pub(crate) fn pass(step: &str, cx: &Context) -> Result<()> {
    let Ok(address) = std::env::var(GATE) else { return Ok(()) };
    let mut stream = TcpStream::connect(address)?;
    // How often it looks whether it is cancelled.
    stream.set_read_timeout(Some(Duration::from_millis(20)))?;
    let visit = Visit { who: cx.participant().to_string(), step: step.to_owned(), round: cx.round() };
    writeln!(stream, "{}", line(&visit))?;
    loop {
        cx.check_cancelled()?;
        match stream.read(&mut [0]) {
            Ok(0) => return Err(StepError::msg("the gate is gone")),
            Ok(_) => return Ok(()),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

impl Gate {
    /// An open gate.
    pub(crate) fn new() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared::default());
        let accepting = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&accepting);
                thread::spawn(move || shared.visit(stream));
            }
        });
        Self { address, shared }
    }

    /// For the environment of a process.
    pub(crate) fn address(&self) -> String {
        self.address.to_string()
    }

    /// Stops this step from here on, until it is opened.
    pub(crate) fn close(&self, who: &str, step: &str, round: u32) {
        self.shared.state().closed.push(Visit { who: who.to_owned(), step: step.to_owned(), round });
    }

    /// Lets all steps go.
    pub(crate) fn open(&self) {
        self.shared.state().closed.clear();
        self.shared.changed.notify_all();
    }

    /// Lets this step go.
    pub(crate) fn open_step(&self, who: &str, step: &str, round: u32) {
        let visit = Visit { who: who.to_owned(), step: step.to_owned(), round };
        self.shared.state().closed.retain(|closed| *closed != visit);
        self.shared.changed.notify_all();
    }

    /// Waits until this step was there so many times.
    pub(crate) fn visited(&self, who: &str, step: &str, round: u32, times: usize) {
        let visit = Visit { who: who.to_owned(), step: step.to_owned(), round };
        let what = format!("{} at the gate, {times} times", line(&visit));
        wait(&self.shared.changed, self.shared.state(), PATIENCE, &what, |state| {
            (state.visits.iter().filter(|seen| **seen == visit).count() >= times).then_some(())
        });
    }

    /// Waits until this step was there once more than at a [`mark`](Self::mark).
    pub(crate) fn visited_since(&self, mark: usize, who: &str, step: &str, round: u32) {
        let visit = Visit { who: who.to_owned(), step: step.to_owned(), round };
        let what = format!("{} at the gate", line(&visit));
        wait(&self.shared.changed, self.shared.state(), PATIENCE, &what, |state| {
            state.visits[mark..].contains(&visit).then_some(())
        });
    }

    /// To ask later what happened since.
    pub(crate) fn mark(&self) -> usize {
        self.shared.state().visits.len()
    }

    /// Who was at this step since then, in the order of their names; more than once who was there more than once.
    pub(crate) fn since(&self, mark: usize, step: &str, round: u32) -> Vec<String> {
        let state = self.shared.state();
        let here = state.visits[mark..].iter().filter(|visit| visit.step == step && visit.round == round);
        let mut who: Vec<_> = here.map(|visit| visit.who.clone()).collect();
        who.sort();
        who
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn visit(&self, mut stream: TcpStream) {
        let mut text = String::new();
        let read = BufReader::new(stream.try_clone().unwrap()).read_line(&mut text);
        if !matches!(read, Ok(1..)) {
            return;
        }
        let visit = parse(&text);
        let mut state = self.state();
        state.visits.push(visit.clone());
        self.changed.notify_all();
        while state.closed.contains(&visit) {
            state = self.changed.wait(state).unwrap();
        }
        drop(state);
        // The process may be gone by now.
        let _gone = writeln!(stream, "go");
    }
}
