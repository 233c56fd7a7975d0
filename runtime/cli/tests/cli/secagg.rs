//! `secagg plan` and `bench secagg`, which need no flow.

use serde_json::Value;
use veilflow_cli::Registry;

use crate::toy::{Outcome, veilflow_of};

fn run(arguments: &str) -> Outcome {
    veilflow_of(&Registry::new(), &arguments.split(' ').collect::<Vec<_>>())
}

fn json(arguments: &str) -> Value {
    let outcome = run(&format!("{arguments} --output json"));
    assert_eq!(outcome.code, 0, "{arguments}: {}", outcome.err);
    serde_json::from_str(&outcome.out).unwrap()
}

fn refused(arguments: &str, texts: &[&str]) {
    let outcome = run(arguments);
    assert_eq!((outcome.code, outcome.out.as_str()), (2, ""), "{arguments}: {}", outcome.err);
    for text in texts {
        assert!(outcome.err.contains(text), "{arguments} does not say {text:?}: {}", outcome.err);
    }
}

/// The values that SecAgg+ is checked against.
#[test]
fn plans_are_the_smallest_that_hold() {
    for (clients, adversaries, dropouts, server, k, t) in [
        (100, 0.05, 0.05, "curious", 12, 6),
        (1000, 0.05, 0.05, "curious", 30, 17),
        (500, 0.20, 0.10, "curious", 60, 39),
        (1000, 0.20, 0.10, "curious", 68, 44),
        (100, 0.05, 0.05, "semi-malicious", 16, 11),
        (500, 0.05, 0.05, "semi-malicious", 44, 31),
    ] {
        let plan = json(&format!(
            "secagg plan --clients {clients} --adversaries {adversaries} --dropouts {dropouts} --server {server} \
             --vector 1000"
        ));
        assert_eq!((&plan["neighbours"], &plan["threshold"]), (&k.into(), &t.into()), "{clients} {server}");
        assert_eq!(plan["complete_graph"], false);
        assert_eq!(plan["cost"]["client"]["units"]["mask_streams"], k + 1);
        for key in ["largest_max_weight", "largest_quantization_range", "longest_vector"] {
            assert!(plan[key].as_u64().unwrap() > 0, "{key}");
        }
        assert!(plan["bytes"]["upload"].as_u64() > plan["bytes"]["masked_input"].as_u64());
        for role in ["client", "server"] {
            assert!(plan["cost"][role]["cpu_s"].as_f64().unwrap() > 0.0, "{role}");
        }
    }
}

#[test]
fn small_cohorts_get_the_complete_graph_and_are_told() {
    let arguments =
        "secagg plan --clients 6 --adversaries 0.34 --dropouts 0.17 --server semi-malicious --vector 10";
    let plan = json(arguments);
    assert_eq!((&plan["neighbours"], &plan["complete_graph"]), (&5.into(), &true.into()));
    let table = run(arguments).out;
    assert!(table.contains("only the complete graph holds"), "{table}");
}

#[test]
fn parameters_given_by_hand_are_checked_and_told_what_would_do() {
    let base = "secagg plan --clients 1000 --adversaries 0.05 --dropouts 0.05 --server curious --vector 10";
    let plan = json(&format!("{base} --num-shares 40 --threshold 20"));
    assert_eq!((&plan["neighbours"], &plan["threshold"]), (&40.into(), &20.into()));
    refused(&format!("{base} --num-shares 4 --threshold 3"), &["4 neighbours are too few", "use 30", "17"]);
    refused(&format!("{base} --num-shares 30 --threshold 3"), &["a threshold of 3", "use 17 to"]);
    refused(&format!("{base} --num-shares 1.0"), &["at most 255", "num-shares"]);
    refused(&format!("{base} --quantization-range 8388608"), &["largest cohort that fits is 512"]);
    refused(&format!("{base} --max-weight 100000000"), &["largest cohort that fits is 42"]);
    refused(&format!("{base} --clipping-range 0"), &["clipping-range 0", "positive"]);
    refused(&base.replace("--dropouts 0.05", "--dropouts 0.99"), &["dropouts"]);
    refused(&base.replace("--dropouts 0.05", "--dropouts 1.5"), &["below 1"]);
}

#[test]
fn a_measured_session_is_exact_and_has_the_promised_keys() {
    for (arguments, entries) in [
        ("--clients 12 --params 500 --dropouts 0.1 --security semi-honest", 500),
        ("--clients 12 --params 70 --dropouts 0.1 --security malicious:0.1", 70),
        (
            "--clients 40 --params 100 --dropouts 0.1 --security semi-honest --num-shares auto --threads 2",
            100,
        ),
        ("--clients 40 --params 100 --num-shares 20 --threshold 18 --security malicious:0.05", 100),
        (
            "--clients 20 --params 100 --dropouts 0.2 --leaving any-round --threshold 10 --security semi-honest",
            100,
        ),
    ] {
        let report = json(&format!("bench secagg {arguments}"));
        assert_eq!(report["exact"], true, "{arguments}");
        for (role, key) in [
            ("client", "cpu_s"),
            ("client", "floor_s"),
            ("server", "cpu_s"),
            ("server", "floor_s"),
            ("server", "unmask_cpu_s"),
        ] {
            assert!(report[role][key].as_f64().unwrap() > 0.0, "{arguments}: {role}.{key}");
        }
        assert!(report["upload_bytes"].as_u64().unwrap() > entries * 2, "{arguments}");
        assert!(report["peak_rss_bytes"].is_u64() || !cfg!(unix), "{arguments}");
        assert_eq!(report["phases"].as_array().unwrap().len(), 6, "{arguments}");
    }
}

#[test]
fn the_table_has_the_phases_the_floor_and_the_ratio() {
    let outcome = run("bench secagg --clients 5 --params 10 --security semi-honest");
    assert_eq!(outcome.code, 0, "{}", outcome.err);
    for text in ["share keys", "masked input", "unmask", "floor", "ratio", "exact: yes"] {
        assert!(outcome.out.contains(text), "{text}: {}", outcome.out);
    }
    assert!(outcome.err.contains("advertise keys"), "{}", outcome.err);
    assert!(!outcome.out.contains("signatures"), "{}", outcome.out);
    let signed = run("bench secagg --clients 5 --params 10 --security malicious:0").out;
    assert!(signed.contains("signatures: 20 at the server"), "{signed}");
}

#[test]
fn what_a_run_would_refuse_is_measured_and_said() {
    let outcome =
        run("bench secagg --clients 100 --params 10 --num-shares 4 --threshold 3 --security semi-honest");
    assert_eq!(outcome.code, 0, "{}", outcome.err);
    assert!(outcome.err.contains("a run would refuse these parameters"), "{}", outcome.err);
    assert!(outcome.out.contains("exact: yes"), "{}", outcome.out);
    let outcome = run("bench secagg --clients 20 --params 10 --threshold 3");
    assert!(outcome.err.contains("a run would refuse these parameters"), "{}", outcome.err);
}

#[test]
fn what_cannot_be_held_is_an_error_with_what_would_do() {
    refused(
        "bench secagg --clients 10000 --params 10 --security semi-honest",
        &["largest cohort that fits is 1024"],
    );
    refused("bench secagg --clients 500 --params 10 --num-shares 1.0", &["at most 255", "num-shares"]);
    refused("bench secagg --clients 10 --params 10 --dropouts 1", &["below 1"]);
    refused("bench secagg --clients 10", &["--params"]);
    let outcome =
        run("bench secagg --clients 10 --params 10 --threshold 8 --dropouts 0.5 --security semi-honest");
    assert_eq!(outcome.code, 1);
    assert!(outcome.err.contains("5 of the 8 participants that the threshold needs"), "{}", outcome.err);
}
