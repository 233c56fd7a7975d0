use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use proptest::prelude::*;
use tempfile::tempdir;
use veilflow_secagg::{Layout, Parameters, Privacy};

use super::*;

fn cost(noise: f64) -> PrivacyCost {
    let plan = Parameters::new().with_privacy(Privacy::new(1.0, noise, 1e-5)).plan(10, Layout::new(0, 1000));
    plan.unwrap().privacy_cost(1).unwrap()
}

fn encoded(memory: &MemoryJournal) -> Vec<u8> {
    let mut bytes = Vec::new();
    ciborium::into_writer(memory, &mut bytes).unwrap();
    bytes
}

/// What a site does, with few names so that they meet again.
#[derive(Clone, Debug)]
enum Call {
    Begin(u8, u32),
    Record(u8, u8),
    Confirm(BTreeSet<String>),
    Charge(u8),
    Compact,
}

fn session(id: u8, attempt: u32) -> Session {
    Session::new([id; 32], 1).with_attempt(attempt)
}

fn calls() -> impl Strategy<Value = Vec<Call>> {
    let call = prop_oneof![
        4 => (0..3_u8, 0..3_u32).prop_map(|(id, attempt)| Call::Begin(id, attempt)),
        4 => (0..3_u8, 0..3_u8).prop_map(|(input, id)| Call::Record(input, id)),
        2 => prop::collection::btree_set("[a-d]", 1..4).prop_map(Call::Confirm),
        2 => (2..5_u8).prop_map(Call::Charge),
        1 => Just(Call::Compact),
    ];
    prop::collection::vec(call, 1..10)
}

/// Makes the call of both, and sees that they say the same.
fn call(call: &Call, journal: &mut FileInputJournal, model: &mut MemoryJournal) {
    match call {
        Call::Begin(id, attempt) => {
            let session = session(*id, *attempt);
            assert_eq!(journal.begin(&session).unwrap(), model.begin(&session).unwrap());
        }
        Call::Record(input, id) => {
            let (input, session) = (InputId::from_bytes([*input; 32]), session(*id, 0));
            assert_eq!(journal.record(&input, &session).unwrap(), model.record(&input, &session).unwrap());
        }
        Call::Confirm(members) => {
            let cohort = KnownCohort { session: session(0, 0), members: members.clone() };
            journal.confirm(&cohort).unwrap();
            model.confirm(&cohort).unwrap();
        }
        Call::Charge(noise) => {
            let (session, cost) = (session(0, 0), cost(f64::from(*noise)));
            journal.charge(&session, &cost).unwrap();
            model.charge(&session, &cost).unwrap();
        }
        Call::Compact => journal.compact().unwrap(),
    }
    assert_eq!(journal.rounds().unwrap(), model.rounds().unwrap());
    assert_eq!(journal.unfinished().unwrap(), model.unfinished().unwrap());
    assert_eq!(journal.cohorts().unwrap(), model.cohorts().unwrap());
    assert_eq!(journal.spent().unwrap(), model.spent().unwrap());
}

/// The one segment.
fn segment(directory: &Path) -> PathBuf {
    let mut files: Vec<_> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|ending| ending == "log"));
    assert_eq!(files.len(), 1, "{files:?}");
    files.remove(0)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 5, ..ProptestConfig::default() })]

    /// The process is stopped when so many bytes are written: what was known when they were is known again, no less.
    #[test]
    fn row_06_what_was_masked_is_known_wherever_the_writing_stopped(calls in calls(), rotate in any::<bool>()) {
        let directory = tempdir().unwrap();
        let mut journal = FileInputJournal::open(directory.path()).unwrap();
        if rotate {
            journal.log.segment_bytes = 0;
        }
        let mut model = MemoryJournal::new();
        // The file's length after each call since the last snapshot, and what was known then.
        let mut known = vec![(0, encoded(&model))];
        for made in &calls {
            call(made, &mut journal, &mut model);
            if rotate && matches!(made, Call::Compact) {
                known.clear();
            }
            known.push((journal.log.end() as usize, encoded(&model)));
        }
        let end = journal.log.end() as usize;
        drop(journal);
        let file = segment(directory.path());
        let whole = fs::read(&file).unwrap()[..end].to_vec();
        let empty = MemoryJournal::new();
        // Shorter than this it had no name yet.
        let first = if known[0].0 == 0 { 8 } else { known[0].0 };
        for length in first..=whole.len() {
            // The file ends there, or has room for more: then zeros are there already.
            let room = length % 2 == 0;
            let zeros = whole[length..].iter().take_while(|byte| room && **byte == 0).count();
            let mut bytes = whole[..length].to_vec();
            bytes.resize(length + if room { 1000 } else { 0 }, 0);
            fs::write(&file, bytes).unwrap();
            let journal = FileInputJournal::open(directory.path()).unwrap();
            let then = known.iter().rfind(|(at, _)| *at <= length + zeros).map_or(encoded(&empty), |then| then.1.clone());
            prop_assert_eq!(encoded(&journal.memory), then, "after {} of {} bytes", length, whole.len());
        }
    }
}

#[test]
fn a_long_log_becomes_a_snapshot() {
    let directory = tempdir().unwrap();
    let mut journal = FileInputJournal::open(directory.path()).unwrap();
    (journal.due, journal.log.segment_bytes) = (2000, 0);
    let mut model = MemoryJournal::new();
    for turn in 0..30 {
        call(&Call::Begin(1, turn), &mut journal, &mut model);
    }
    assert!(segment(directory.path()).ends_with("00000000000000000002.log"));
    assert_eq!(journal.due, COMPACT_BYTES);
    drop(journal);
    let journal = FileInputJournal::open(directory.path()).unwrap();
    assert_eq!(encoded(&journal.memory), encoded(&model));
}

#[test]
fn row_06_a_damaged_journal_masks_nothing() {
    let directory = tempdir().unwrap();
    let mut journal = FileInputJournal::open(directory.path()).unwrap();
    for id in 0..3 {
        journal.record(&InputId::from_bytes([id; 32]), &session(id, 0)).unwrap();
    }
    drop(journal);
    let file = segment(directory.path());
    let mut bytes = fs::read(&file).unwrap();
    bytes[40] ^= 1;
    fs::write(&file, bytes).unwrap();
    let error = FileInputJournal::open(directory.path()).unwrap_err();
    assert_eq!(error.code(), "journal-damaged");
}

#[test]
fn row_06_a_journal_that_cannot_be_written_masks_nothing() {
    let directory = tempdir().unwrap();
    let mut journal = FileInputJournal::open(directory.path()).unwrap();
    journal.log.segment_bytes = 0;
    fs::remove_dir_all(directory.path()).unwrap();
    assert!(journal.compact().is_err());
    let input = InputId::from_bytes([1; 32]);
    assert!(journal.record(&input, &session(1, 0)).is_err());
    assert!(journal.memory.masked(&input).is_empty(), "what is not on disk is not known");
}

const DIRECTORY: &str = "VEILFLOW_TEST_JOURNAL";

/// Not a test: what the two tests below start as a process of its own.
#[test]
#[ignore = "started by other tests"]
fn another_process() {
    let Some(directory) = std::env::var_os(DIRECTORY) else { return };
    let mut out = std::io::stdout();
    match FileInputJournal::open(Path::new(&directory)) {
        Err(error) => writeln!(out, "\nrefused {} {error}", error.code()).unwrap(),
        Ok(mut journal) => {
            (journal.due, journal.log.segment_bytes) = (3000, 0);
            for number in 0_u64.. {
                let mut id = [0; 32];
                id[..8].copy_from_slice(&number.to_le_bytes());
                journal.record(&InputId::from_bytes(id), &Session::new(id, number)).unwrap();
                writeln!(out, "\nmasked {number}").unwrap();
            }
        }
    }
}

fn start_another(directory: &Path) -> (Child, impl Iterator<Item = String>) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--ignored", "--exact", "--nocapture", "journal::inputs::tests::another_process"]);
    command.env(DIRECTORY, directory).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let out = BufReader::new(child.stdout.take().unwrap());
    (child, out.lines().map_while(Result::ok))
}

#[test]
fn a_second_process_cannot_open_it() {
    let directory = tempdir().unwrap();
    let journal = FileInputJournal::open(directory.path()).unwrap();
    let (mut child, mut lines) = start_another(directory.path());
    let refused = lines.find(|line| line.starts_with("refused")).unwrap();
    assert!(refused.starts_with("refused journal-locked "), "{refused}");
    assert!(refused.contains(&format!("process {}", std::process::id())), "{refused}");
    child.wait().unwrap();
    drop(journal);
}

#[test]
fn row_06_what_a_killed_process_masked_is_known_to_the_next_one() {
    let directory = tempdir().unwrap();
    let (mut child, lines) = start_another(directory.path());
    let mut masked = lines.filter_map(|line| line.strip_prefix("masked ")?.parse::<u64>().ok());
    let seen = masked.by_ref().take(100).last().unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    let seen = masked.last().unwrap_or(seen);
    let mut journal = FileInputJournal::open(directory.path()).unwrap();
    let rounds = journal.rounds().unwrap();
    // The one after the last line may have been written already.
    assert!((seen + 1..=seen + 2).contains(&rounds), "{seen} seen, {rounds} known");
    assert!(
        !segment(directory.path()).ends_with("00000000000000000001.log"),
        "it was made shorter meanwhile"
    );
}
