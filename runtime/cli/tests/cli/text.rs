//! Texts that are pinned: help and lists. `VEILFLOW_BLESS=1 cargo test` writes them anew.

use std::path::Path;

use crate::toy::{registry, veilflow, veilflow_of};

fn pinned(file: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(file);
    if std::env::var_os("VEILFLOW_BLESS").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(text, expected, "{} differs; VEILFLOW_BLESS=1 accepts it", path.display());
}

#[test]
fn help_is_as_pinned() {
    for (file, arguments) in [
        ("help.txt", &["--help"][..]),
        ("help-run.txt", &["run", "--help"]),
        ("help-run-toy.txt", &["run", "toy", "--help"]),
        ("help-graph-toy.txt", &["graph", "toy", "--help"]),
        ("help-data-fetch.txt", &["data", "fetch", "--help"]),
        ("help-secagg-plan.txt", &["secagg", "plan", "--help"]),
        ("help-experiment.txt", &["experiment", "--help"]),
        ("help-experiment-submit-toy.txt", &["experiment", "submit", "toy", "--help"]),
        ("help-experiment-logs.txt", &["experiment", "logs", "--help"]),
        ("help-experiment-results.txt", &["experiment", "results", "--help"]),
        ("help-envoys.txt", &["envoys", "--help"]),
        ("help-director-start.txt", &["director", "start", "--help"]),
        ("help-envoy-start.txt", &["envoy", "start", "--help"]),
        ("help-envoy-enroll.txt", &["envoy", "enroll", "--help"]),
        ("help-federation-up.txt", &["federation", "up", "--help"]),
        ("help-bench-secagg.txt", &["bench", "secagg", "--help"]),
        ("help-pki.txt", &["pki", "--help"]),
    ] {
        let outcome = veilflow(arguments);
        assert_eq!((outcome.code, outcome.err.as_str()), (0, ""));
        pinned(file, &outcome.out);
        assert!(outcome.out.contains("Example"), "{file} has no example");
    }
}

#[test]
fn flows_are_listed_with_what_tells_them_apart() {
    let outcome = veilflow(&["flows"]);
    assert_eq!(outcome.code, 0);
    pinned("flows.txt", &outcome.out);
}

#[test]
fn a_flow_is_drawn_in_every_format() {
    for (format, start) in [("text", "flow toy"), ("mermaid", "---"), ("dot", "digraph"), ("svg", "<svg")] {
        let outcome = veilflow(&["graph", "toy", "--format", format]);
        assert_eq!((outcome.code, outcome.err.as_str()), (0, ""), "{format}");
        assert!(outcome.out.starts_with(start), "{format}: {}", outcome.out);
        assert!(outcome.out.contains("train"), "{format}");
        assert!(outcome.out.ends_with('\n'), "{format}");
    }
    let outcome = veilflow(&["graph", "toy", "--format", "pdf"]);
    assert_eq!(outcome.code, 2);
    assert!(outcome.err.contains("mermaid"), "{}", outcome.err);
}

#[test]
fn each_shell_gets_completions_of_the_flows() {
    for shell in ["bash", "zsh", "fish"] {
        let outcome = veilflow(&["completions", shell]);
        assert_eq!(outcome.code, 0, "{shell}");
        assert!(outcome.out.contains("toy") && outcome.out.contains("learning-rate"), "{shell}");
    }
}

#[test]
fn the_version_is_the_programs() {
    assert_eq!(veilflow(&["--version"]).out, "veilflow 1.2.3\n");
    let other = veilflow_of(&registry().version("9.0.0"), &["--version"]);
    assert_eq!(other.out, "veilflow 9.0.0\n");
}
