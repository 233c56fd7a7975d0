//! Experiments for people.

use veilflow_federated::{Outcome, Summary};

use crate::{clock, table};

/// How much of an id is enough to tell experiments apart by eye.
const PREFIX: usize = 8;

/// What `experiment show` prints for programs.
#[derive(serde::Serialize)]
pub(super) struct Shown<'a> {
    #[serde(flatten)]
    pub(super) summary: &'a Summary,
    pub(super) outcome: Option<&'a Outcome>,
}

/// A line for each.
pub(super) fn table(experiments: &[Summary]) -> String {
    let titles = ["Id", "Flow", "State", "Participants", "Owner", "Submitted", "Reason"];
    let rows = experiments.iter().map(|summary| {
        vec![
            summary.id.to_string().chars().take(PREFIX).collect(),
            summary.terms.flow.clone(),
            summary.state.to_string(),
            participants(summary),
            summary.owner.to_string(),
            clock::utc(summary.submitted_ms),
            shortened(&summary.reason),
        ]
    });
    table::outline(titles.map(str::to_owned).to_vec(), rows, |_| false)
}

/// The most characters of a reason in a list.
const REASON: usize = 60;

/// As much of a reason as a list has room for; `show` has all of it.
fn shortened(reason: &str) -> String {
    let line = reason.lines().next().unwrap_or_default();
    let mut start: String = line.chars().take(REASON).collect();
    if start.len() < reason.len() {
        start.push('…');
    }
    start
}

/// The most participants that are named.
const NAMED: usize = 4;

fn participants(summary: &Summary) -> String {
    let names = &summary.terms.participants;
    let named: Vec<_> = names.iter().take(NAMED).map(ToString::to_string).collect();
    match names.len().checked_sub(NAMED) {
        None | Some(0) => named.join(", "),
        Some(more) => format!("{} and {more} more", named.join(", ")),
    }
}

/// All that is known of one.
pub(super) fn one(summary: &Summary, ended: Option<&Outcome>) -> String {
    let names: Vec<_> = summary.terms.participants.iter().map(ToString::to_string).collect();
    let time = |ms: Option<u64>| ms.map_or_else(|| "—".to_owned(), clock::utc);
    let options = summary.terms.options.join(" ");
    let lines = [
        ("Id", summary.id.to_string()),
        ("Flow", summary.terms.flow.clone()),
        ("State", format!("{}: {}", summary.state, summary.reason)),
        ("Options", if options.is_empty() { "—".to_owned() } else { options }),
        ("Participants", names.join(", ")),
        ("Seed", summary.terms.seed.to_string()),
        ("Fingerprint", summary.fingerprint.to_string()),
        ("Owner", summary.owner.to_string()),
        ("Submitted", clock::utc(summary.submitted_ms)),
        ("Started", time(summary.started_ms)),
        ("Ended", time(summary.ended_ms)),
    ];
    let mut text: String = lines.iter().map(|(title, value)| format!("{title:<14}{value}\n")).collect();
    if let Some(ended) = ended.filter(|ended| !ended.error.is_empty()) {
        text.push_str(&outcome(ended));
    }
    text
}

/// How one ended.
pub(super) fn outcome(outcome: &Outcome) -> String {
    if outcome.error.is_empty() {
        return format!("{}\n", outcome.state);
    }
    let state = outcome.state.to_string();
    let code = if outcome.code == state { String::new() } else { format!(" ({})", outcome.code) };
    let mut text = format!("{state}{code}: {}\n", outcome.error);
    // The error's own text may have them already.
    let missing = outcome.missing.iter().map(ToString::to_string);
    let culprits = outcome.culprits.iter().map(|name| format!("{name} provably did not follow the protocol"));
    for line in missing.chain(culprits).filter(|line| !outcome.error.contains(line.as_str())) {
        text.push_str(&format!("  {line}\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use veilflow_federated::{State, Terms};
    use veilflow_spec::{Cause, Missing};

    use super::*;

    fn summary(names: usize) -> Summary {
        let participants = (0..names).map(|number| format!("site-{number}").into()).collect();
        Summary {
            id: "0123456789abcdef0123456789abcdef".parse().unwrap(),
            terms: Terms {
                flow: "toy".to_owned(),
                options: vec!["--rounds=3".to_owned()],
                participants,
                seed: 7,
                drop: vec![],
                dropouts: 0.0,
            },
            fingerprint: [7; 32].into(),
            owner: "alice".into(),
            state: State::Pending,
            reason: "waits for site-1".to_owned(),
            submitted_ms: 0,
            started_ms: None,
            ended_ms: None,
        }
    }

    #[test]
    fn a_list_has_the_start_of_each_id_and_names_a_few() {
        let long = format!("{}\n  - site-1: is offline", "x".repeat(REASON));
        let text = table(&[summary(2), summary(6), Summary { reason: long, ..summary(1) }]);
        assert!(text.contains("x…") && !text.contains("offline") && !text.contains("1…"), "{text}");
        for part in
            ["| 01234567 | toy  | pending |", "site-0, site-1 ", "site-3 and 2 more", "waits for site-1"]
        {
            assert!(text.contains(part), "{part:?}: {text}");
        }
    }

    #[test]
    fn one_is_shown_in_full_with_how_it_ended() {
        let missing = Missing { participant: "site-1".into(), cause: Cause::Offline };
        let ended = Outcome {
            state: State::Failed,
            code: "below-quorum".to_owned(),
            error: "too few came back".to_owned(),
            missing: vec![missing.clone()],
            culprits: vec!["site-0".into()],
        };
        let text = one(&summary(6), Some(&ended));
        let missing = missing.to_string();
        for part in [
            "0123456789abcdef0123456789abcdef",
            "site-5",
            "--rounds=3",
            "1970-01-01 00:00:00",
            "failed (below-quorum): too few came back",
            missing.as_str(),
            "site-0 provably",
        ] {
            assert!(text.contains(part), "{part:?}: {text}");
        }
    }
}
