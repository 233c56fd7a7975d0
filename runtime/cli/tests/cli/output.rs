//! What a run prints, and where.

use std::io::{self, Write};

use serde_json::{Value, json};
use veilflow_cli::{Console, run_from};

use crate::toy::{Shared, registry, veilflow};

#[test]
fn the_table_has_the_rows_the_counts_and_a_summary() {
    let outcome = veilflow(&["run", "toy", "--collaborators", "a,b,c", "--drop", "c@train"]);
    assert_eq!(outcome.code, 0, "{}", outcome.err);
    let expected = "\
+--------+------------------+--------+
| Rounds | Local Train loss | Note   |
+========+==================+========+
|      0 |           0.5714 | a, \"b\" |
|      1 |           0.4706 | a, \"b\" |
+--------+------------------+--------+
+--------+--------+---------+----------+
| Rounds | Masked | Dropped | Unmasked |
+========+========+=========+==========+
|      0 |      3 |       1 |        2 |
|      1 |      3 |       1 |        2 |
+--------+--------+---------+----------+
toy: 3 collaborators, seed 42, ";
    assert!(outcome.out.starts_with(expected), "{}", outcome.out);
    assert!(outcome.out.contains(", model "), "{}", outcome.out);
}

#[test]
fn progress_and_notes_go_to_standard_error_as_plain_lines() {
    let outcome = veilflow(&["run", "toy", "--rounds", "1"]);
    let lines: Vec<_> = outcome.err.lines().collect();
    assert_eq!(lines[..2], ["two collaborators know each other's update", "round 0: train"]);
    assert!(lines[2].starts_with("round 0: train: 2 of 2 in "), "{lines:?}");
    assert_eq!(lines.len(), 3);

    assert_eq!(veilflow(&["run", "toy", "-q"]).err, "");
    let verbose = veilflow(&["run", "toy", "-v"]).err;
    for text in ["toy 1 starts: 2 collaborators", "Portland starts train (round 1)", "masked = 2"] {
        assert!(verbose.contains(text), "{verbose}");
    }
}

#[test]
fn json_is_one_object_with_the_keys_that_are_promised() {
    let outcome = veilflow(&["run", "toy", "--output", "json", "--collaborators", "b,a"]);
    assert_eq!(outcome.code, 0, "{}", outcome.err);
    let mut value: Value = serde_json::from_str(&outcome.out).unwrap();
    for (key, fits) in [
        ("wall_s", (|value| value.is_f64()) as fn(&Value) -> bool),
        ("cpu_s", |value| value.is_f64() || cfg!(not(unix))),
        ("peak_rss_bytes", |value| value.is_u64() || cfg!(not(unix))),
    ] {
        let measured = value.as_object_mut().unwrap().remove(key).expect(key);
        assert!(fits(&measured), "{key}: {measured}");
    }
    let expected = json!({
        "flow": "toy",
        "seed": 42,
        "participants": ["b", "a"],
        "rows": [
            { "rounds": 0, "local_train_loss": 0.5714285969734192, "note": "a, \"b\"" },
            { "rounds": 1, "local_train_loss": 0.47058823704719543, "note": "a, \"b\"" },
        ],
        "rounds": [
            { "round": 0, "masked": 2, "dropped": 0, "unmasked": 2, "clipped": null },
            { "round": 1, "masked": 2, "dropped": 0, "unmasked": 2, "clipped": null },
        ],
        // SHA-256 of the little-endian bytes of 1.125 and 1.0.
        "model_sha256": "7650574b62c2b0ac69c22254bb6e1daaba97ae9fa6a1a0cecab6b09f100a4fbd",
    });
    assert_eq!(value, expected);
    let keys = ["\"flow\"", "\"seed\"", "\"participants\"", "\"rows\"", "\"rounds\": [", "\"model_sha256\""];
    assert!(keys.map(|key| outcome.out.find(key).expect(key)).is_sorted(), "{}", outcome.out);
}

#[test]
fn json_of_a_flow_without_rows_and_model_says_so() {
    let outcome = veilflow(&["run", "plain", "--output", "json"]);
    let value: Value = serde_json::from_str(&outcome.out).unwrap();
    assert_eq!(value["rows"], json!([]));
    assert_eq!(value["model_sha256"], Value::Null);
}

#[test]
fn csv_has_every_digit_and_quotes_where_it_must() {
    let outcome = veilflow(&["run", "toy", "--output", "csv"]);
    let expected = "rounds,local_train_loss,note\n\
                    0,0.5714285969734192,\"a, \"\"b\"\"\"\n\
                    1,0.47058823704719543,\"a, \"\"b\"\"\"\n";
    assert_eq!(outcome.out, expected);
}

#[test]
fn a_failed_run_is_told_once_with_step_round_participants_and_causes() {
    // One thread: the run ends with the first failure that puts the quorum out of reach, which is then Bengaluru's.
    let outcome = veilflow(&["run", "toy", "--fail", "train", "--threads", "1", "--output", "json"]);
    assert_eq!((outcome.code, outcome.out.as_str()), (1, ""));
    for text in ["round 0", "`train`", "Bengaluru: step `train` failed: no data left", "next: "] {
        assert_eq!(outcome.err.matches(text).count().min(1), 1, "{text:?}: {}", outcome.err);
    }
    assert_eq!(outcome.err.matches("error: ").count(), 1, "{}", outcome.err);

    let panicked = veilflow(&["run", "toy", "--fail", "panic"]);
    assert_eq!(panicked.code, 1);
    assert!(panicked.err.contains("step `train` panicked: out of cheese"), "{}", panicked.err);

    let joined = veilflow(&["run", "toy", "--fail", "join"]);
    assert_eq!(joined.code, 1);
    let text = "round 0: the aggregator's step `join` failed: the sum does not add up";
    assert!(joined.err.contains(text), "{}", joined.err);
}

#[test]
fn rows_that_were_there_before_the_run_failed_are_not_lost() {
    let outcome = veilflow(&["run", "toy", "--fail", "end", "-q"]);
    assert_eq!((outcome.code, outcome.out.as_str()), (1, ""));
    assert!(outcome.err.contains("Results until then:") && outcome.err.contains("0.4706"), "{}", outcome.err);
}

/// A reader that has gone away.
struct Closed;

impl Write for Closed {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    for arguments in [&["veilflow", "run", "toy", "-q"][..], &["veilflow", "--help"], &["veilflow", "flows"]]
    {
        let err = Shared::default();
        assert_eq!(run_from(&registry(), arguments, Console::new(Closed, err.clone())), 0);
        assert_eq!(err.text(), "");
    }
    // Nor is one of standard error.
    assert_eq!(run_from(&registry(), ["veilflow", "run", "toy"], Console::new(Shared::default(), Closed)), 0);
}
