//! What a run reported, gathered from its events.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use veilflow_engine::{Event, EventKind, FanOrigin};
use veilflow_spec::{Cell, Name, Placement, Row, Signal};

/// Gathers results from the run's own events, never from the sites'.
#[derive(Default)]
pub(crate) struct Recorder(Mutex<Results>);

/// The rows and the counts of a run.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Results {
    /// The rows, in the order in which they were reported.
    pub(crate) rows: Vec<Row>,
    /// What is known of each turn of the outermost loop.
    pub(crate) counts: BTreeMap<u32, Counts>,
}

/// What is known of a round.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Counts {
    metrics: BTreeMap<String, f64>,
    /// Who did not come back from a fan-out of this round.
    missing: BTreeSet<Name>,
}

/// How many took which part in a round; `None` where the flow did not say.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub(crate) struct Round {
    /// The turn of the outermost loop, from 0.
    pub(crate) round: u32,
    /// How many masked inputs arrived.
    pub(crate) masked: Option<i64>,
    /// How many collaborators were lost: the flow's own count, or that of the runtime.
    pub(crate) dropped: Option<i64>,
    /// How many collaborators answered when the sum was unmasked.
    pub(crate) unmasked: Option<i64>,
    /// How many values of all inputs in the sum were outside the clipping range.
    pub(crate) clipped: Option<i64>,
    /// What the round cost each collaborator in differential privacy: ε.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) epsilon: Option<f64>,
    /// What all rounds cost until here, as one ε.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) epsilon_total: Option<f64>,
}

impl Recorder {
    pub(crate) fn event(&self, event: &Event) {
        let mut results = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let turn = |fan: &FanOrigin| fan.loops.first().copied().unwrap_or(0);
        match &event.kind {
            EventKind::Sent { fan, .. } => {
                results.counts.entry(turn(fan)).or_default();
            }
            EventKind::Dropped { fan, missing } => {
                let counts = results.counts.entry(turn(fan)).or_default();
                counts.missing.insert(missing.participant.clone());
            }
            EventKind::Signal { signal: Signal::Row(row), .. } => results.rows.push(row.clone()),
            EventKind::Signal { origin, signal: Signal::Metric { name, value } }
                if origin.placement == Placement::Aggregator =>
            {
                let counts = results.counts.entry(origin.round()).or_default();
                counts.metrics.insert(name.clone(), *value);
            }
            _ => {}
        }
    }

    pub(crate) fn results(&self) -> Results {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Gathers results from events that may be told again: an experiment goes on from its last checkpoint when its director
/// was restarted.
#[derive(Default)]
pub(crate) struct Timeline(Vec<Event>);

impl Timeline {
    /// Takes an event. Those from its number on are of a part that is told again.
    pub(crate) fn event(&mut self, event: &Event) {
        while self.0.pop_if(|last| last.sequence >= event.sequence).is_some() {}
        let counts = matches!(
            event.kind,
            EventKind::Sent { .. } | EventKind::Dropped { .. } | EventKind::Signal { .. }
        );
        if counts {
            self.0.push(event.clone());
        }
    }

    pub(crate) fn results(&self) -> Results {
        let recorder = Recorder::default();
        self.0.iter().for_each(|event| recorder.event(event));
        recorder.results()
    }
}

impl Results {
    /// The titles of all rows, in the order in which they first came.
    pub(crate) fn titles(&self) -> Vec<&str> {
        let mut titles = Vec::new();
        for (title, _) in self.rows.iter().flat_map(|row| &row.0) {
            if !titles.contains(&title.as_str()) {
                titles.push(title);
            }
        }
        titles
    }

    /// The cell of a row under a title.
    pub(crate) fn cell<'a>(row: &'a Row, title: &str) -> Option<&'a Cell> {
        row.0.iter().find(|(own, _)| own == title).map(|(_, cell)| cell)
    }

    /// Who took which part in each round.
    pub(crate) fn rounds(&self) -> Vec<Round> {
        let of = |(round, counts): (&u32, &Counts)| {
            // A count is a small whole number; what is none is left out.
            let count = |name| counts.metrics.get(name).map(|value| *value as i64);
            Round {
                round: *round,
                masked: count("masked"),
                dropped: count("dropped").or_else(|| i64::try_from(counts.missing.len()).ok()),
                unmasked: count("unmasked"),
                clipped: count("clipped"),
                epsilon: counts.metrics.get("epsilon").copied(),
                epsilon_total: counts.metrics.get("epsilon_total").copied(),
            }
        };
        self.counts.iter().map(of).collect()
    }

    /// The titles as keys, `Local Train loss` as `local_train_loss`, each once.
    pub(crate) fn keys(titles: &[&str]) -> Vec<String> {
        let mut keys: Vec<String> = Vec::new();
        for title in titles {
            let plain = snake_case(title);
            let mut key = plain.clone();
            let mut number = 2;
            while keys.contains(&key) {
                key = format!("{plain}_{number}");
                number += 1;
            }
            keys.push(key);
        }
        keys
    }
}

fn snake_case(title: &str) -> String {
    let words = title.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    let key = words.map(str::to_lowercase).collect::<Vec<_>>().join("_");
    if key.is_empty() { "column".to_owned() } else { key }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn titles_become_keys_that_differ() {
        let titles = ["Rounds", "Agg Model Validation Score", "loss (%)", "Loss %", "—"];
        let keys = ["rounds", "agg_model_validation_score", "loss", "loss_2", "column"];
        assert_eq!(Results::keys(&titles), keys);
    }
}
