//! Progress on standard error: bars on a terminal, plain lines elsewhere.

mod view;

use std::fmt::Display;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use veilflow_engine::{Event, EventKind};
use veilflow_spec::{Placement, Signal};

use self::view::{Change, View};
use crate::console::{Console, Log};

/// How much is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verbosity {
    Quiet,
    Normal,
    Verbose,
}

/// The progress of one run. Clones show the same.
#[derive(Clone)]
pub(crate) struct Progress(Arc<Shared>);

struct Shared {
    log: Log,
    verbosity: Verbosity,
    terminal: bool,
    state: Mutex<State>,
}

struct State {
    view: View,
    bar: Option<ProgressBar>,
    /// When the bar's text was last made.
    drawn: Option<Duration>,
}

/// The bar's text is made so often at most: making it costs more than counting.
const REDRAW: Duration = Duration::from_millis(100);

impl Progress {
    pub(crate) fn new(console: &Console, verbosity: Verbosity, confidential: bool) -> Self {
        let state = State { view: View::new(confidential), bar: None, drawn: None };
        Self(Arc::new(Shared {
            log: console.log().clone(),
            verbosity,
            terminal: console.terminal(),
            state: Mutex::new(state),
        }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Prints a line above the bar.
    pub(crate) fn line(&self, line: impl Display) {
        if self.0.verbosity != Verbosity::Quiet {
            self.say(&self.state(), line);
        }
    }

    fn say(&self, state: &State, line: impl Display) {
        match &state.bar {
            Some(bar) => bar.suspend(|| self.0.log.line(line)),
            None => self.0.log.line(line),
        }
    }

    /// Takes the bar away.
    pub(crate) fn clear(&self) {
        if let Some(bar) = self.state().bar.take() {
            bar.finish_and_clear();
        }
    }

    /// Takes an event of the run.
    pub(crate) fn run_event(&self, event: &Event) {
        if self.0.verbosity == Verbosity::Quiet {
            return;
        }
        let mut state = self.state();
        if self.0.verbosity == Verbosity::Verbose
            && let Some(line) = verbose(event)
        {
            self.say(&state, line);
        }
        if let EventKind::Signal { origin, signal: Signal::Note(text) } = &event.kind {
            match origin.placement {
                Placement::Aggregator => self.say(&state, text),
                Placement::Collaborator => self.say(&state, format_args!("{}: {text}", origin.participant)),
            }
        }
        if let EventKind::Restarted { join, attempt, error, .. } = &event.kind {
            let attempts = attempt.saturating_add(1);
            self.say(
                &state,
                format_args!("the session of `{join}` starts again, attempt {attempts}: {error}"),
            );
        }
        for change in state.view.run_event(&event.kind, event.elapsed) {
            self.show(&mut state, change);
        }
        self.redraw(&mut state, event.elapsed);
    }

    /// Takes an event of a site: how far its work has come, and nothing else.
    pub(crate) fn site_event(&self, event: &Event) {
        let progress = matches!(&event.kind, EventKind::Signal { signal: Signal::Progress { .. }, .. });
        if self.0.verbosity == Verbosity::Quiet || !progress {
            return;
        }
        let mut state = self.state();
        state.view.site_event(&event.kind);
        self.redraw(&mut state, event.elapsed);
    }

    fn show(&self, state: &mut State, change: Change) {
        match change {
            Change::Started(line) if self.0.terminal => {
                let bar = ProgressBar::with_draw_target(Some(view::STEPS), ProgressDrawTarget::stderr());
                // A constant, so it is known to be well formed.
                if let Ok(style) = ProgressStyle::with_template("{prefix}\n  [{bar:32}] {msg}") {
                    bar.set_style(style.progress_chars("=> "));
                }
                bar.set_prefix(line);
                state.bar = Some(bar);
                state.drawn = None;
            }
            Change::Finished(line) if self.0.terminal => {
                if let Some(bar) = state.bar.take() {
                    bar.finish_and_clear();
                }
                self.0.log.line(line);
            }
            Change::Started(line) | Change::Finished(line) => self.0.log.line(line),
        }
    }

    fn redraw(&self, state: &mut State, now: Duration) {
        let due = state.drawn.is_none_or(|drawn| now.saturating_sub(drawn) >= REDRAW);
        if let Some(bar) = &state.bar
            && due
            && let Some(phase) = state.view.phase(now)
        {
            bar.set_position(phase.position);
            bar.set_message(phase.message);
            state.drawn = Some(now);
        }
    }
}

impl Drop for State {
    /// However the run ends, the terminal is left clean.
    fn drop(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

/// An event as a line of a log, notes and rows included.
pub(crate) fn line(event: &Event) -> Option<String> {
    let at = format!("[{:>8.3}]", event.elapsed.as_secs_f64());
    match &event.kind {
        EventKind::Signal { origin, signal: Signal::Note(text) } => {
            Some(format!("{at} {}: {text}", origin.participant))
        }
        EventKind::Signal { signal: Signal::Row(row), .. } => {
            let cells: Vec<_> = row.0.iter().map(|(title, cell)| format!("{title} {cell}")).collect();
            Some(format!("{at} {}", cells.join(", ")))
        }
        EventKind::Resumed { from } => {
            Some(format!("{at} the director went on from event {from}; later ones are told again"))
        }
        EventKind::Restarted { join, attempt, error, .. } => {
            let attempts = attempt.saturating_add(1);
            Some(format!("{at} the session of `{join}` starts again, attempt {attempts}: {error}"))
        }
        EventKind::RunFailed { error } => Some(format!("{at} failed: {error}")),
        _ => verbose(event),
    }
}

/// An event as a line of `-v`.
fn verbose(event: &Event) -> Option<String> {
    let at = format!("[{:>8.3}]", event.elapsed.as_secs_f64());
    let text = match &event.kind {
        EventKind::RunStarted { flow, version, fingerprint, seed, collaborators } => format!(
            "{flow} {version} starts: {} collaborators, seed {seed}, fingerprint {fingerprint}",
            collaborators.len()
        ),
        EventKind::StepStarted { origin } => {
            format!("{} starts {} (round {})", origin.participant, origin.step, origin.round())
        }
        EventKind::StepFinished { origin, took } => {
            format!("{} ends {} after {took:.1?} (round {})", origin.participant, origin.step, origin.round())
        }
        EventKind::Sent { fan, to, needed } => {
            format!("sent to {} for {}, {needed} must come back", to.len(), fan.steps)
        }
        EventKind::Received { fan, from } => format!("received from {from}: {}", fan.steps),
        EventKind::Dropped { missing, .. } => format!("dropped {missing}"),
        EventKind::Signal { origin, signal: Signal::Metric { name, value } } => {
            format!("{} reports {name} = {value}", origin.participant)
        }
        EventKind::RunFinished => "finished".to_owned(),
        _ => return None,
    };
    Some(format!("{at} {text}"))
}
