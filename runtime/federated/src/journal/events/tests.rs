use std::fs;
use std::time::Duration;

use serde::Serialize;
use tempfile::{TempDir, tempdir};
use veilflow_engine::EventKind;

use super::*;

/// An event as the engine numbers it: only it can make one.
pub(in crate::journal) fn event(sequence: u64) -> Event {
    #[derive(Serialize)]
    struct Same {
        sequence: u64,
        elapsed: Duration,
        kind: EventKind,
    }
    let kind = EventKind::RunFailed { error: format!("event {sequence}") };
    let mut bytes = Vec::new();
    ciborium::into_writer(&Same { sequence, elapsed: Duration::from_millis(7), kind }, &mut bytes).unwrap();
    ciborium::from_reader(bytes.as_slice()).unwrap()
}

fn open(directory: &TempDir) -> Events {
    Events::open(&directory.path().join("events")).unwrap()
}

fn numbers(page: &Page) -> Vec<u64> {
    page.events.iter().map(|event| event.sequence).collect()
}

fn all(events: &Events) -> Vec<u64> {
    let page = events.read(0, usize::MAX, u64::MAX).unwrap();
    assert!(page.complete && page.events.iter().all(|event| *event == self::event(event.sequence)));
    numbers(&page)
}

#[test]
fn events_are_read_from_any_number_on_and_a_page_at_a_time() {
    let directory = tempdir().unwrap();
    let events = open(&directory);
    // Some numbers were not told to this stream.
    let told: Vec<u64> = (0..400).filter(|number| number % 7 != 3).collect();
    told.iter().for_each(|number| events.append(&event(*number)).unwrap());
    for events in [events, open(&directory)] {
        assert_eq!((events.next(), all(&events)), (400, told.clone()));
        for from in 0..=401 {
            let page = events.read(from, 3, u64::MAX).unwrap();
            let expected: Vec<u64> = told.iter().copied().filter(|number| *number >= from).take(3).collect();
            assert_eq!(numbers(&page), expected);
            assert_eq!(page.next, expected.last().map_or(from, |last| last + 1));
            assert_eq!(page.complete, page.next >= 400, "from {from}");
        }
        let page = events.read(10, usize::MAX, 1).unwrap();
        assert_eq!((numbers(&page), page.next, page.complete), (vec![11], 12, false), "one at least");
    }
}

#[test]
fn an_event_out_of_order_is_refused() {
    let directory = tempdir().unwrap();
    let events = open(&directory);
    events.append(&event(4)).unwrap();
    let error = events.append(&event(4)).unwrap_err();
    assert_eq!(error.to_string(), "event 4 comes after event 4");
    events.append(&event(5)).unwrap();
    assert_eq!(all(&events), [4, 5]);
}

#[test]
fn what_is_not_whole_is_told_again() {
    let directory = tempdir().unwrap();
    let events = open(&directory);
    (0..10).for_each(|number| events.append(&event(number)).unwrap());
    events.close().unwrap();
    drop(events);
    let file = directory.path().join("events");
    let whole = fs::read(&file).unwrap();
    let each = Frame::encode(&event(0)).unwrap().len() as usize;
    assert_eq!(whole.len(), 10 * each);
    for length in 0..=whole.len() {
        fs::write(&file, &whole[..length]).unwrap();
        let (events, kept) = (open(&directory), (length / each) as u64);
        assert_eq!(all(&events), (0..kept).collect::<Vec<_>>());
        events.truncate(5).unwrap();
        let from = kept.min(5);
        assert_eq!(events.next(), from);
        (from..7).for_each(|number| events.append(&event(number)).unwrap());
        assert_eq!(all(&events), (0..7).collect::<Vec<_>>());
        assert_eq!(all(&open(&directory)), (0..7).collect::<Vec<_>>());
    }
}

#[test]
fn a_cut_at_any_number_keeps_the_index_right() {
    let directory = tempdir().unwrap();
    let count = 2 * STRIDE + 5;
    for from in 0..=count + 1 {
        let events = open(&directory);
        events.truncate(0).unwrap();
        (0..count).for_each(|number| events.append(&event(number)).unwrap());
        events.truncate(from).unwrap();
        let kept = from.min(count);
        (kept..count + STRIDE).for_each(|number| events.append(&event(number)).unwrap());
        let index = events.state().index.clone();
        assert_eq!(index, open(&directory).state().index, "cut at {from}");
        assert_eq!(numbers(&events.read(from, 1, 1).unwrap()), [from]);
    }
}

#[test]
fn damage_while_it_is_read_is_an_error_and_not_an_end() {
    let directory = tempdir().unwrap();
    let events = open(&directory);
    (0..3).for_each(|number| events.append(&event(number)).unwrap());
    let file = directory.path().join("events");
    let mut bytes = fs::read(&file).unwrap();
    let middle = events.state().tail.end() as usize / 2;
    bytes[middle] ^= 1;
    fs::write(&file, bytes).unwrap();
    let error = events.read(0, 10, u64::MAX).unwrap_err();
    assert!(matches!(error, JournalError::Damaged { .. }), "{error}");
    assert_eq!(numbers(&events.read(0, 1, u64::MAX).unwrap()), [0]);
}
