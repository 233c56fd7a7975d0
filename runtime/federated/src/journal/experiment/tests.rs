use tempfile::{TempDir, tempdir};
use veilflow_engine::remote::{Pieces, TaskKey};
use veilflow_spec::{Cause, Fingerprint, Name};

use super::super::events::tests::event;
use super::super::state_dir::{Experiments, StateDir};
use super::*;
use crate::experiment::{State, Terms};

fn submit(id: ExperimentId) -> Submit {
    let terms = Terms {
        flow: "fedavg".to_owned(),
        options: vec!["--rounds=2".to_owned()],
        participants: vec![Name::from("Bengaluru"), Name::from("Portland")],
        seed: 1,
        drop: Vec::new(),
        dropouts: 0.0,
    };
    Submit { protocol: 1, id, terms, fingerprint: Fingerprint::from([7; 32]), params: None }
}

fn summary(submit: &Submit, submitted_ms: u64) -> Summary {
    Summary {
        id: submit.id,
        terms: submit.terms.clone(),
        fingerprint: submit.fingerprint,
        owner: Name::from("alice"),
        state: State::Pending,
        reason: "submitted".to_owned(),
        submitted_ms,
        started_ms: None,
        ended_ms: None,
    }
}

fn create(state: &StateDir, submitted_ms: u64, params: Option<&[u8]>) -> ExperimentJournal {
    let submit = submit(ExperimentId::generate().unwrap());
    let summary = summary(&submit, submitted_ms);
    state.create(submit, summary, params).unwrap()
}

/// What a process finds that starts in this directory.
fn restarted(directory: &TempDir) -> (StateDir, Vec<ExperimentJournal>) {
    let state = StateDir::open(directory.path()).unwrap();
    let Experiments { journals, problems } = state.experiments().unwrap();
    assert!(problems.is_empty(), "{problems:?}");
    (state, journals)
}

fn checkpoint(events: u64) -> Record {
    let bytes = || Pieces::from(vec![1, 2, 3]);
    Record::Checkpoint { position: bytes(), aggregator: bytes(), hidden: bytes(), value: bytes(), events }
}

fn answer(from: &str) -> Record {
    let task = TaskKey { path: "repeat/0".into(), loops: [1].into(), attempt: 0 };
    let outcome = if from == "Portland" {
        Err(Cause::Busy)
    } else {
        Ok([vec![9; 1000], vec![8; 10]].into_iter().map(Bytes::from).collect())
    };
    Record::Answer { task, from: Name::from(from), outcome }
}

fn finished() -> Outcome {
    Outcome {
        state: State::Finished,
        code: String::new(),
        error: String::new(),
        missing: Vec::new(),
        culprits: Vec::new(),
    }
}

#[test]
fn an_experiment_is_there_again_in_the_next_process() {
    let directory = tempdir().unwrap();
    let state = StateDir::open(directory.path()).unwrap();
    let (second, first) = (create(&state, 20, Some(&[1, 2, 3])), create(&state, 10, None));
    second
        .update(|summary| {
            summary.state = State::Running;
            summary.started_ms = Some(30);
        })
        .unwrap();
    let expected: Vec<_> = [&first, &second].map(|journal| (journal.submit(), journal.summary())).into();
    let sessions = (first.sessions(), second.sessions());
    assert_ne!(sessions.0, sessions.1);
    drop((state, first, second));

    let (_state, journals) = restarted(&directory);
    let found: Vec<_> = journals.iter().map(|journal| (journal.submit(), journal.summary())).collect();
    assert_eq!(found, expected, "in the order in which they were submitted");
    assert_eq!((journals[0].sessions(), journals[1].sessions()), sessions);
    assert_eq!((journals[0].params().unwrap(), journals[1].params().unwrap()), (None, Some(vec![1, 2, 3])));
    assert_eq!((journals[1].outcome(), journals[1].report().unwrap()), (None, None));
}

#[test]
fn an_id_is_taken_once() {
    let directory = tempdir().unwrap();
    let state = StateDir::open(directory.path()).unwrap();
    let first = create(&state, 10, None);
    let error = state.create(first.submit(), first.summary(), Some(&[1])).unwrap_err();
    assert!(matches!(error, JournalError::Exists { id } if id == first.id()), "{error}");
    assert_eq!(first.params().unwrap(), None);
}

#[test]
fn a_large_answer_is_written_from_where_it_lies() {
    let directory = tempdir().unwrap();
    let state = StateDir::open(directory.path()).unwrap();
    let journal = create(&state, 10, None);
    journal.resume().unwrap();
    let task = TaskKey { path: "repeat/0".into(), loops: [1].into(), attempt: 0 };
    let pieces = (0..8).map(|number| Bytes::from(vec![number; 1 << 20])).collect();
    let answer = Record::Answer { task, from: Name::from("Bengaluru"), outcome: Ok(pieces) };
    let taken = allocation_counter::measure(|| journal.append(&answer).unwrap());
    assert!(taken.bytes_max < 64 * 1024, "{} bytes for 8 MiB", taken.bytes_max);
    drop((state, journal));
    let (_state, journals) = restarted(&directory);
    assert_eq!(journals[0].resume().unwrap(), [answer]);
}

#[test]
fn a_run_goes_on_from_its_last_checkpoint_and_tells_its_events_again() {
    let directory = tempdir().unwrap();
    let state = StateDir::open(directory.path()).unwrap();
    let journal = create(&state, 10, None);
    assert!(journal.append(&checkpoint(0)).is_err(), "not begun");
    assert_eq!(journal.resume().unwrap(), []);
    (0..3).for_each(|number| journal.events().append(&event(number)).unwrap());
    journal.append(&answer("Bengaluru")).unwrap();
    drop((state, journal));

    let (state, mut journals) = restarted(&directory);
    let journal = journals.remove(0);
    assert_eq!(journal.resume().unwrap(), [answer("Bengaluru")]);
    assert_eq!(journal.events().next(), 0, "no checkpoint: all are told again");
    (0..5).for_each(|number| journal.events().append(&event(number)).unwrap());
    journal.append(&checkpoint(4)).unwrap();
    journal.append(&answer("Portland")).unwrap();
    journal
        .append(&Record::Closed { task: TaskKey { path: "a".into(), loops: [].into(), attempt: 2 } })
        .unwrap();
    drop((state, journal, journals));

    let (_state, mut journals) = restarted(&directory);
    let journal = journals.remove(0);
    assert_eq!(journal.events().next(), 5, "nothing is dropped before the run goes on");
    let history = journal.resume().unwrap();
    assert_eq!(history.len(), 3);
    assert_eq!(history[..2], [checkpoint(4), answer("Portland")]);
    assert_eq!(journal.events().next(), 4);
}

#[test]
fn an_experiment_that_is_over_keeps_its_report_and_events_only() {
    let directory = tempdir().unwrap();
    let state = StateDir::open(directory.path()).unwrap();
    let journal = create(&state, 10, None);
    journal.resume().unwrap();
    (0..5).for_each(|number| journal.events().append(&event(number)).unwrap());
    journal.append(&checkpoint(2)).unwrap();
    let summary = journal.finish(finished(), Some(b"report"), |summary| summary.ended_ms = Some(40)).unwrap();
    assert_eq!((summary.state, summary.ended_ms), (State::Finished, Some(40)));
    assert!(journal.append(&checkpoint(5)).is_err());
    let log = journal.directory.join(LOG);
    assert!(!log.exists());
    drop((state, journal));

    let (_state, journals) = restarted(&directory);
    assert_eq!(journals[0].summary(), summary);
    assert_eq!(journals[0].outcome(), Some(finished()));
    assert_eq!(journals[0].report().unwrap().unwrap(), b"report");
    assert_eq!(journals[0].events().read(0, 100, u64::MAX).unwrap().events.len(), 5);
}

#[test]
fn a_report_counts_when_the_experiment_is_over() {
    let directory = tempdir().unwrap();
    let state = StateDir::open(directory.path()).unwrap();
    let journal = create(&state, 10, None);
    // As of a process that was stopped in between.
    fs::write(journal.directory.join(REPORT), b"report").unwrap();
    assert_eq!(journal.report().unwrap(), None);
}

#[test]
fn what_cannot_be_opened_is_reported_and_keeps_nothing_else_away() {
    let directory = tempdir().unwrap();
    let state = StateDir::open(directory.path()).unwrap();
    let [good, cut, changed, moved, empty] = [10, 20, 30, 40, 50].map(|at| create(&state, at, None));
    let experiments = directory.path().join("experiments");
    let meta = |journal: &ExperimentJournal| experiments.join(journal.id().to_string()).join(META);
    let bytes = fs::read(meta(&cut)).unwrap();
    fs::write(meta(&cut), &bytes[..bytes.len() - 1]).unwrap();
    let mut bytes = fs::read(meta(&changed)).unwrap();
    bytes[40] ^= 1;
    fs::write(meta(&changed), bytes).unwrap();
    fs::copy(meta(&good), meta(&moved)).unwrap();
    fs::remove_file(meta(&empty)).unwrap();
    fs::write(experiments.join("notes.txt"), "not ours").unwrap();
    fs::create_dir(experiments.join(unfinished("0123"))).unwrap();
    let id = good.id();
    drop((state, good, cut, changed, moved, empty));

    let state = StateDir::open(directory.path()).unwrap();
    let Experiments { journals, problems } = state.experiments().unwrap();
    assert_eq!(journals.iter().map(ExperimentJournal::id).collect::<Vec<_>>(), [id]);
    let mut codes: Vec<_> = problems.iter().map(JournalError::code).collect();
    codes.sort_unstable();
    let (damaged, unknown) = ("journal-damaged", "journal-unknown");
    assert_eq!(codes, [damaged, damaged, damaged, unknown, unknown]);
    assert!(experiments.join("notes.txt").exists());
    assert!(!experiments.join(unfinished("0123")).exists(), "nobody was told that it was accepted");
}

#[test]
fn a_state_directory_belongs_to_one_at_a_time() {
    let directory = tempdir().unwrap();
    let state = StateDir::open(directory.path()).unwrap();
    let journal = create(&state, 10, None);
    drop(state);
    let error = StateDir::open(directory.path()).unwrap_err();
    assert!(matches!(error, JournalError::Locked { process, .. } if process == Some(std::process::id())));
    assert!(error.to_string().contains(&format!("in use by process {}", std::process::id())), "{error}");
    drop(journal);
    StateDir::open(directory.path()).unwrap();
}
