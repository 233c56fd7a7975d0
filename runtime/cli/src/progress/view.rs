//! The state of the fan-out that runs, added up over its collaborators.
//!
//! One site's numbers are its own: what is shown is the sum over all of them, and in a confidential flow
//! only once there are at least two to add up.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use veilflow_engine::{EventKind, FanOrigin};
use veilflow_spec::{Name, Origin, Placement, Signal};

/// The length of the bar.
pub(super) const STEPS: u64 = 1000;

/// Something to show beside the bar's movement.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Change {
    /// A phase started.
    Started(String),
    /// A phase ended.
    Finished(String),
}

/// Where the bar of the phase stands.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Shown {
    pub(super) position: u64,
    pub(super) message: String,
}

pub(super) struct View {
    confidential: bool,
    phase: Option<Phase>,
    /// How much work each step turned out to be for one collaborator, from this round or an earlier one.
    work: BTreeMap<Arc<str>, u64>,
}

/// A fan-out that runs.
struct Phase {
    fan: FanOrigin,
    started: Duration,
    addressed: usize,
    arrived: usize,
    missing: Vec<String>,
    unit: Option<String>,
    /// How much each collaborator has done of each step.
    done: BTreeMap<(Name, Arc<str>), u64>,
    back: BTreeSet<Name>,
}

impl View {
    pub(super) fn new(confidential: bool) -> Self {
        Self { confidential, phase: None, work: BTreeMap::new() }
    }

    /// Takes an event of the run.
    pub(super) fn run_event(&mut self, event: &EventKind, now: Duration) -> Vec<Change> {
        let mut changes = Vec::new();
        match event {
            EventKind::Sent { fan, to, .. } => {
                changes.extend(self.finish(now));
                let phase = Phase {
                    fan: fan.clone(),
                    started: now,
                    addressed: to.len(),
                    arrived: 0,
                    missing: Vec::new(),
                    unit: None,
                    done: BTreeMap::new(),
                    back: BTreeSet::new(),
                };
                changes.push(Change::Started(phase.title()));
                self.phase = Some(phase);
            }
            EventKind::Received { fan, from } => {
                if let Some(phase) = self.phase.as_mut().filter(|phase| phase.fan == *fan) {
                    phase.arrived += 1;
                    phase.back.insert(from.clone());
                }
            }
            EventKind::Dropped { fan, missing } => {
                if let Some(phase) = self.phase.as_mut().filter(|phase| phase.fan == *fan) {
                    phase.missing.push(missing.to_string());
                    phase.back.insert(missing.participant.clone());
                }
            }
            EventKind::StepStarted { origin } if origin.placement == Placement::Aggregator => {
                changes.extend(self.finish(now));
            }
            EventKind::RunFinished | EventKind::RunFailed { .. } => self.phase = None,
            _ => {}
        }
        changes
    }

    /// Takes an event of a site.
    pub(super) fn site_event(&mut self, event: &EventKind) {
        let EventKind::Signal { origin, signal: Signal::Progress { done, total, unit } } = event else {
            return;
        };
        let Some(phase) = self.phase.as_mut().filter(|phase| phase.holds(origin)) else { return };
        phase.unit = Some(unit.to_string());
        phase.done.insert((origin.participant.clone(), Arc::clone(&origin.path)), *done);
        let work = self.work.entry(Arc::clone(&origin.path)).or_default();
        *work = (*work).max(*total);
    }

    fn finish(&mut self, now: Duration) -> Option<Change> {
        let phase = self.phase.take()?;
        let took = now.saturating_sub(phase.started);
        let mut line = format!("{}: {} of {} in {took:.1?}", phase.title(), phase.arrived, phase.addressed);
        if let Some(rate) = phase.rate(took, self.confidential) {
            let _ = write!(line, ", {rate}");
        }
        for missing in phase.missing.iter().take(LISTED) {
            let _ = write!(line, "\n  missing {missing}");
        }
        if phase.missing.len() > LISTED {
            let _ = write!(line, "\n  missing: {} more", phase.missing.len() - LISTED);
        }
        Some(Change::Finished(line))
    }

    /// What the bar shows.
    pub(super) fn phase(&self, now: Duration) -> Option<Shown> {
        let phase = self.phase.as_ref()?;
        let took = now.saturating_sub(phase.started);
        let back = phase.back.len();
        let mut message = format!("{back}/{} collaborators", phase.addressed);
        let by_count = back as f64 / phase.addressed.max(1) as f64;
        let mut fraction = by_count;
        if let Some(rate) = phase.rate(took, self.confidential) {
            let _ = write!(message, ", {rate}");
            fraction = self.fraction(phase).max(by_count);
        }
        if fraction > 0.01 && fraction < 1.0 {
            let left = took.as_secs_f64() * (1.0 - fraction) / fraction;
            let _ = write!(message, ", {} left", clock(left));
        }
        Some(Shown { position: (fraction.clamp(0.0, 1.0) * STEPS as f64) as u64, message })
    }

    /// The part of the phase's work that is done, as far as its amount is known.
    fn fraction(&self, phase: &Phase) -> f64 {
        let each: u64 = phase.fan.paths.iter().filter_map(|path| self.work.get(path)).sum();
        let all = each * phase.addressed as u64;
        // Those who are back may have had less to do than the one who had most.
        let working = phase.done.iter().filter(|((who, _), _)| !phase.back.contains(who));
        let working: u64 = working.map(|(_, done)| done).sum();
        let done = working + each * phase.back.len() as u64;
        if all == 0 { 0.0 } else { done as f64 / all as f64 }
    }
}

/// The most who are listed by name in a line about a phase.
const LISTED: usize = 10;

impl Phase {
    fn title(&self) -> String {
        let counters: Vec<_> = self.fan.loops.iter().map(ToString::to_string).collect();
        match counters.as_slice() {
            [] => self.fan.steps.to_string(),
            counters => format!("round {}: {}", counters.join("."), self.fan.steps),
        }
    }

    /// Whether a collaborator's step belongs to this turn of this fan-out.
    fn holds(&self, origin: &Origin) -> bool {
        self.fan.paths.contains(&origin.path) && origin.loops == self.fan.loops
    }

    /// Units per second over all collaborators.
    fn rate(&self, took: Duration, confidential: bool) -> Option<String> {
        let unit = self.unit.as_ref()?;
        let names: BTreeSet<_> = self.done.keys().map(|(name, _)| name).collect();
        let seconds = took.as_secs_f64();
        if seconds <= 0.0 || (confidential && names.len() < 2) {
            return None;
        }
        let rate = self.done.values().sum::<u64>() as f64 / seconds;
        Some(format!("{} {unit}/s", thousands(rate.round() as u64)))
    }
}

/// Seconds for a person: `8 s`, `2 min 5 s`, `1 h 3 min`.
fn clock(seconds: f64) -> String {
    let seconds = seconds.ceil() as u64;
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, seconds) => format!("{seconds} s"),
        (0, minutes, seconds) => format!("{minutes} min {seconds} s"),
        (hours, minutes, _) => format!("{hours} h {minutes} min"),
    }
}

/// A number with its thousands apart: `12,345`.
fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
#[path = "view_tests.rs"]
mod tests;
