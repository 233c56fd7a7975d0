use std::thread;

use tempfile::{TempDir, tempdir};

use super::*;

const LIMIT: u64 = 1024 * 1024;

fn frame(record: &str) -> Frame {
    Frame::encode(&record).unwrap()
}

fn checkpoint(record: &str) -> Frame {
    Frame::checkpoint(&record).unwrap()
}

/// What is in a file before the room for more.
fn written(file: &Path) -> Vec<u8> {
    let mut bytes = fs::read(file).unwrap();
    bytes.truncate(bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1);
    bytes
}

fn open(directory: &TempDir) -> (Segments, Vec<String>) {
    let Opened { segments, records } = Segments::open(directory.path(), LIMIT).unwrap();
    (segments, records.iter().map(|record| ciborium::from_reader(record.as_slice()).unwrap()).collect())
}

fn records(directory: &TempDir) -> Vec<String> {
    open(directory).1
}

fn names(directory: &TempDir) -> Vec<String> {
    let entries = fs::read_dir(directory.path()).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn records_that_are_given_together_follow_each_other() {
    let directory = tempdir().unwrap();
    let (log, _) = open(&directory);
    log.append(frame("a")).unwrap();
    log.append_all(vec![frame("b"), frame("c")]).unwrap();
    log.append_all(Vec::new()).unwrap();
    assert_eq!(records(&directory), ["a", "b", "c"]);
    log.append_all(vec![frame("d"), checkpoint("E"), frame("f")]).unwrap();
    drop(log);
    assert_eq!(records(&directory), ["E", "f"]);
}

#[test]
fn a_log_is_its_last_checkpoint_and_what_followed() {
    let directory = tempdir().unwrap();
    let (log, before) = open(&directory);
    assert!(before.is_empty());
    log.append(frame("a")).unwrap();
    log.append(frame("b")).unwrap();
    drop(log);
    let (mut log, before) = open(&directory);
    assert_eq!(before, ["a", "b"]);
    // In the same segment, and in one of its own.
    log.append(checkpoint("C")).unwrap();
    log.append(frame("d")).unwrap();
    assert_eq!(names(&directory), ["00000000000000000001.log"]);
    assert_eq!(records(&directory), ["C", "d"]);
    log.segment_bytes = 0;
    log.append(checkpoint("E")).unwrap();
    log.append(frame("f")).unwrap();
    assert_eq!(names(&directory), ["00000000000000000002.log"]);
    drop(log);
    assert_eq!(records(&directory), ["E", "f"]);
}

#[test]
fn a_process_that_stopped_between_two_segments_goes_on_with_the_newer_one() {
    let directory = tempdir().unwrap();
    let (mut log, _) = open(&directory);
    log.segment_bytes = 0;
    log.append(frame("a")).unwrap();
    let older = fs::read(path(directory.path(), 1)).unwrap();
    log.append(checkpoint("B")).unwrap();
    log.append(frame("c")).unwrap();
    drop(log);
    fs::write(path(directory.path(), 1), older).unwrap();
    fs::write(directory.path().join(".new-half"), b"VLOG").unwrap();
    assert_eq!(records(&directory), ["B", "c"]);
    assert_eq!(names(&directory), ["00000000000000000002.log"]);
}

#[test]
fn a_torn_tail_is_cut_and_the_rest_is_kept() {
    let directory = tempdir().unwrap();
    let (log, _) = open(&directory);
    for record in ["a", "b", "c"] {
        log.append(frame(record)).unwrap();
    }
    drop(log);
    let file = path(directory.path(), 1);
    let whole = written(&file);
    let (first, each) = (MAGIC.len(), frame("a").len() as usize);
    // The file ends there, or has room for more.
    for (length, room) in (first..whole.len()).flat_map(|length| [(length, 0), (length, 1000)]) {
        let mut bytes = whole[..length].to_vec();
        bytes.resize(length + room, 0);
        fs::write(&file, bytes).unwrap();
        let (log, before) = open(&directory);
        assert_eq!(before, ["a", "b", "c"][..(length - first) / each]);
        log.append(frame("z")).unwrap();
        drop(log);
        let after = records(&directory);
        assert_eq!((after.len(), after.last().unwrap().as_str()), (before.len() + 1, "z"));
    }
}

#[test]
fn damage_is_refused_and_left_as_it_is() {
    let directory = tempdir().unwrap();
    let (mut log, _) = open(&directory);
    log.segment_bytes = 0;
    log.append(checkpoint("A")).unwrap();
    log.append(frame("b")).unwrap();
    drop(log);
    let file = path(directory.path(), 2);
    let whole = written(&file);
    let refused = |bytes: &[u8]| {
        fs::write(&file, bytes).unwrap();
        let error = Segments::open(directory.path(), LIMIT).unwrap_err();
        assert!(matches!(&error, JournalError::Damaged { .. }), "{error}");
        assert_eq!(fs::read(&file).unwrap(), bytes);
        error.to_string()
    };
    let end_of_first = MAGIC.len() + frame("A").len() as usize;
    for at in 0..end_of_first {
        let mut changed = whole.clone();
        changed[at] ^= 1;
        refused(&changed);
        // A segment has its name only when its checkpoint is whole.
        refused(&whole[..at]);
    }
    assert!(refused(&whole[..end_of_first - 1]).contains("its checkpoint is cut off"));
    fs::write(&file, &whole).unwrap();
    let long = Segments::open(directory.path(), 1).unwrap_err().to_string();
    assert!(long.contains("longer than any"), "{long}");
    assert_eq!(records(&directory), ["A", "b"]);
}

#[test]
fn threads_that_write_at_the_same_time_lose_nothing() {
    const THREADS: usize = 8;
    const EACH: usize = 20;
    let directory = tempdir().unwrap();
    let (log, _) = open(&directory);
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let log = &log;
            scope.spawn(move || {
                (0..EACH).for_each(|record| log.append(frame(&format!("{thread} {record:02}"))).unwrap());
            });
        }
    });
    drop(log);
    let all = records(&directory);
    assert_eq!(all.len(), THREADS * EACH);
    for thread in 0..THREADS {
        let own: Vec<_> = all.iter().filter(|record| record.starts_with(&format!("{thread} "))).collect();
        assert!(own.is_sorted() && own.len() == EACH, "{own:?}");
    }
}

/// What a thread appends after the checkpoint returned is behind it; what it appended before may be dropped.
#[test]
fn a_checkpoint_among_other_writers_drops_nothing_that_came_later() {
    let directory = tempdir().unwrap();
    let (mut log, _) = open(&directory);
    log.segment_bytes = 200;
    thread::scope(|scope| {
        for thread in 0..4 {
            let log = &log;
            scope.spawn(move || {
                for turn in 0..5 {
                    log.append(frame(&format!("{thread} before {turn}"))).unwrap();
                    log.append(checkpoint(&format!("{thread} at {turn}"))).unwrap();
                }
                log.append(frame(&format!("{thread} after"))).unwrap();
            });
        }
    });
    drop(log);
    let all = records(&directory);
    assert!(all[0].contains(" at "), "{all:?}");
    assert!(all[1..].iter().all(|record| !record.contains(" at ")), "{all:?}");
    // The thread whose checkpoint came last appended its last record after it.
    let last = format!("{} after", all[0].split(' ').next().unwrap());
    assert!(all.contains(&last), "{all:?}");
    assert_eq!(names(&directory).len(), 1);
}

#[test]
fn after_a_write_that_failed_nothing_more_is_taken() {
    let directory = tempdir().unwrap();
    let (mut log, _) = open(&directory);
    log.segment_bytes = 0;
    log.append(frame("a")).unwrap();
    let file = path(directory.path(), 1);
    let bytes = fs::read(&file).unwrap();
    fs::remove_dir_all(directory.path()).unwrap();
    let error = log.append(checkpoint("B")).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::NotFound, "{error}");
    assert!(error.to_string().contains("00000000000000000002.log"), "{error}");
    fs::create_dir(directory.path()).unwrap();
    fs::write(&file, bytes).unwrap();
    assert_eq!(log.append(frame("c")).unwrap_err().kind(), io::ErrorKind::NotFound);
    drop(log);
    assert_eq!(records(&directory), ["a"]);
}
