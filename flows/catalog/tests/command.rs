//! The `veilflow` command as a user runs it, with the shipped flows.
#![allow(clippy::unwrap_used, reason = "a failed test panics")]

use std::process::{Command, Output};

use serde_json::Value;

fn veilflow(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_veilflow")).args(args).output().unwrap()
}

/// A run on a small part of the sample.
fn run(flow: &str, args: &[&str]) -> Output {
    let small = ["run", flow, "--train-limit", "320", "--test-limit", "80"];
    veilflow(&[&small[..], args].concat())
}

fn json(output: &Output) -> Value {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_run_prints_one_object_that_programs_can_read() {
    let object = json(&run("secagg-mnist", &["--output", "json"]));
    assert_eq!(object["flow"], "secagg-mnist");
    assert_eq!(object["seed"], 42);
    assert_eq!(object["participants"], serde_json::json!(["Bengaluru", "Portland"]));
    let rows = object["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 2);
    for (round, row) in rows.iter().enumerate() {
        assert_eq!(row["rounds"], round);
        for score in ["agg_model_validation_score", "local_model_validation_score"] {
            assert!((0.0..=1.0).contains(&row[score].as_f64().unwrap()), "{row}");
        }
        assert!(row["local_train_loss"].as_f64().unwrap() > 0.0);
        assert_eq!(object["rounds"][round]["masked"], 2);
        assert_eq!(object["rounds"][round]["dropped"], 0);
        assert_eq!(object["rounds"][round]["unmasked"], 2);
    }
    assert_eq!(object["model_sha256"].as_str().unwrap().len(), 64);
    assert!(object["wall_s"].as_f64().unwrap() > 0.0);
    assert!(object.get("cpu_s").is_some() && object.get("peak_rss_bytes").is_some());
}

#[test]
fn a_seed_fixes_the_model_and_another_seed_changes_it() {
    let model = |args: &[&str]| {
        json(&run("secagg-mnist", &[args, &["--output", "json"]].concat()))["model_sha256"].clone()
    };
    let first = model(&["--rounds", "1", "--threads", "1"]);
    assert_eq!(first, model(&["--rounds", "1", "--threads", "2"]));
    assert_ne!(first, model(&["--rounds", "1", "--seed", "7"]));
}

#[test]
fn the_number_of_threads_changes_no_bit_of_a_report() {
    for (flow, sites) in [("fedavg-mnist", "1"), ("secagg-mnist", "2")] {
        let report = |threads| {
            let args =
                ["--collaborators", sites, "--threads", threads, "--batch-size", "70", "--output", "json"];
            let mut object = json(&run(flow, &args));
            for measured in ["wall_s", "cpu_s", "peak_rss_bytes"] {
                object.as_object_mut().unwrap().remove(measured).unwrap();
            }
            object
        };
        let one = report("1");
        assert_eq!(one, report("2"), "{flow}");
        assert_eq!(one, report("4"), "{flow}");
    }
}

#[test]
#[cfg(not(feature = "cuda"))]
fn a_device_that_is_not_built_in_is_refused_before_anything_runs() {
    for flow in ["secagg-mnist", "fedavg-mnist"] {
        let output = run(flow, &["--device", "cuda:0"]);
        assert_eq!(output.status.code(), Some(2));
        let text = errors(&output);
        assert!(
            text.contains("built without CUDA") && text.contains("cargo build --release --features cuda"),
            "{text}"
        );
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn both_flows_report_the_same_scores() {
    let rows = |flow| json(&run(flow, &["--output", "json", "--rounds", "1"]))["rows"][0].clone();
    let (secure, plain) = (rows("secagg-mnist"), rows("fedavg-mnist"));
    for key in ["agg_model_validation_score", "local_train_loss", "local_model_validation_score"] {
        let difference = secure[key].as_f64().unwrap() - plain[key].as_f64().unwrap();
        assert!(difference.abs() < 1e-4, "{key}: {secure} {plain}");
    }
}

#[test]
fn the_flow_written_out_and_the_secure_join_give_one_model_against_either_server() {
    let model = |flow, args: &[&str]| {
        let common = ["--rounds", "1", "--collaborators", "4", "--output", "json"];
        json(&run(flow, &[&common[..], args].concat()))["model_sha256"].clone()
    };
    let written_out = model("secagg-mnist", &[]);
    assert_eq!(written_out, model("fedavg-mnist", &["--secure", "secagg"]));
    assert_eq!(written_out, model("secagg-mnist", &["--security", "semi-honest"]));
    assert_eq!(written_out, model("fedavg-mnist", &["--secure", "secagg", "--security", "malicious:0.1"]));
    assert_ne!(written_out, model("secagg-mnist", &["--clipping-range", "0.5"]), "it is rounded finer");
}

#[test]
fn a_sparse_graph_gives_the_same_model_and_few_sites_share_with_all() {
    let run_of = |sites, secure, more: &[&str]| {
        let args = ["--rounds", "1", "--secure", secure, "--output", "json", "--collaborators", sites];
        run("fedavg-mnist", &[&args[..], more].concat())
    };
    let few = run_of("5", "secagg+", &[]);
    assert!(errors(&few).contains("5 sites are too few for a sparse graph"), "{}", errors(&few));
    assert_eq!(json(&few)["model_sha256"], json(&run_of("5", "secagg", &[]))["model_sha256"]);
    let many = run_of("80", "secagg+", &["--security", "semi-honest"]);
    assert!(errors(&many).contains("others in a random graph"), "{}", errors(&many));
    let complete = run_of("80", "secagg", &["--security", "semi-honest"]);
    assert_eq!(json(&many)["model_sha256"], json(&complete)["model_sha256"]);
    let by_hand = run_of("80", "secagg", &["--security", "semi-honest", "--num-shares", "auto"]);
    assert_eq!(json(&many)["model_sha256"], json(&by_hand)["model_sha256"]);
    let too_sparse = run_of("80", "secagg+", &["--security", "semi-honest", "--num-shares", "4"]);
    assert_eq!(too_sparse.status.code(), Some(2));
    assert!(errors(&too_sparse).contains("too few"), "{}", errors(&too_sparse));
}

#[test]
fn a_private_run_tells_its_cost_in_each_round_and_in_all() {
    for (flow, secure) in [("secagg-mnist", &[][..]), ("fedavg-mnist", &["--secure", "secagg"][..])] {
        let privacy = ["--dp-norm", "3", "--dp-noise", "2", "--collaborators", "4", "--output", "json"];
        let output = run(flow, &[&privacy[..], secure].concat());
        assert!(
            errors(&output).contains("differential privacy of each site: ε = 2.1657 at δ = 1e-5"),
            "{}",
            errors(&output)
        );
        let object = json(&output);
        let of = |round: usize, key: &str| object["rounds"][round][key].as_f64().unwrap();
        // ρ is 1/8 a round; the two in the first round are one number by two ways.
        assert!(
            (of(0, "epsilon") - 2.1657).abs() < 1e-3 && of(0, "epsilon") == of(0, "epsilon_total"),
            "{object}"
        );
        assert!(of(1, "epsilon_total") > of(0, "epsilon") && of(1, "epsilon_total") < 2.0 * of(0, "epsilon"));
        assert_eq!(object["rounds"][0]["clipped"], Value::Null);
        let budget = |max| run(flow, &[&privacy[..], &["--max-epsilon", max], secure].concat());
        for (max, advice) in [("3", "up to 1 fit"), ("2", "not even one fits"), ("0", "a number above 0")] {
            let refused = budget(max);
            assert!(!refused.status.success() && errors(&refused).contains(advice), "{}", errors(&refused));
        }
        assert!(json(&budget("4"))["model_sha256"].is_string());
        let alone = run(flow, &[&["--dp-norm", "3"][..], secure].concat());
        assert!(!alone.status.success() && errors(&alone).contains("--dp-noise"), "{}", errors(&alone));
        let none = run(flow, &[&["--dp-norm", "3", "--dp-noise", "-1"][..], secure].concat());
        assert!(errors(&none).contains("noise-multiplier of -1"), "{}", errors(&none));
    }
}

#[test]
fn what_was_clipped_is_counted_for_all_sites_together() {
    for (flow, secure) in [("secagg-mnist", &[][..]), ("fedavg-mnist", &["--secure", "secagg"][..])] {
        let clipped = |range| {
            let args = ["--rounds", "1", "--output", "json", "--clipping-range", range];
            json(&run(flow, &[&args[..], secure].concat()))["rounds"][0]["clipped"].as_u64().unwrap()
        };
        assert_eq!(clipped("8.0"), 0, "{flow}");
        assert!(clipped("0.0001") > 100, "{flow}");
    }
}

#[test]
fn dropouts_at_random_are_survived_down_to_the_threshold_and_a_seed_repeats_them() {
    let random =
        ["--collaborators", "12", "--dropouts", "0.2", "--rounds", "2", "--security", "malicious:0.05"];
    let object = |flow, more: &[&str]| {
        let more = [&["--output", "json", "--threshold", "7"], more].concat();
        json(&run(flow, &[&random[..], &more].concat()))
    };
    let once = object("secagg-mnist", &["--threads", "1"]);
    let again = object("secagg-mnist", &["--threads", "4"]);
    assert_eq!((&once["model_sha256"], &once["rounds"]), (&again["model_sha256"], &again["rounds"]));
    let dropped: Vec<_> = (0..2).map(|round| once["rounds"][round]["dropped"].as_u64().unwrap()).collect();
    assert!(dropped.iter().any(|dropped| *dropped > 0), "{once}");
    for round in once["rounds"].as_array().unwrap() {
        assert_eq!(round["masked"].as_u64().unwrap() + round["dropped"].as_u64().unwrap(), 12, "{round}");
        assert!(round["unmasked"].as_u64().unwrap() >= 7, "{round}");
    }
    let joined = object("fedavg-mnist", &["--secure", "secagg"]);
    for round in joined["rounds"].as_array().unwrap() {
        assert_eq!(round["masked"].as_u64().unwrap() + round["dropped"].as_u64().unwrap(), 12, "{round}");
    }
    let all = run("secagg-mnist", &[&random[..4], &["--threshold", "11"]].concat());
    assert_eq!(all.status.code(), Some(1));
    let told = errors(&all);
    assert!(told.contains("too few came back") && told.contains("(simulated)"), "{told}");
}

#[test]
fn two_sites_are_told_what_they_know_of_each_other_and_more_sites_are_not() {
    let two = errors(&run("secagg-mnist", &["--rounds", "1"]));
    assert_eq!(two.matches("min-cohort 2").count(), 1, "{two}");
    let three = errors(&run("secagg-mnist", &["--rounds", "1", "--collaborators", "3"]));
    assert!(!three.contains("min-cohort"), "{three}");
    for told in [&two, &three] {
        assert!(told.contains("a mean is exact to"), "{told}");
    }
}

#[test]
fn a_dropout_is_survived_down_to_the_threshold() {
    let four = ["--collaborators", "A,B,C,D", "--threshold", "3", "--rounds", "1"];
    let one = [&four[..], &["--drop", "D@train", "--output", "json"]].concat();
    assert_eq!(json(&run("secagg-mnist", &one))["rounds"][0]["dropped"], 1);
    let two = run("secagg-mnist", &[&four[..], &["--drop", "D@train", "--drop", "B@generate_keys"]].concat());
    assert_eq!(two.status.code(), Some(1));
    let told = errors(&two);
    for part in ["round 0", "too few came back", "D: dropped out before step `train`"] {
        assert!(told.contains(part), "{part:?} in {told}");
    }
}

#[test]
fn what_is_unknown_is_answered_with_what_is_known() {
    for (args, known) in [
        (&["run", "secagg"][..], "secagg-mnist"),
        (&["run", "secagg-mnist", "--drop", "Berlin@train"], "Portland"),
        (&["run", "secagg-mnist", "--drop", "Portland@trian"], "local_model_validation"),
        (&["graph", "secagg-mnist", "--format", "png"], "mermaid"),
        (&["run", "secagg-mnist", "--threshold", "lots"], "such as 3"),
        (&["run", "secagg-mnist", "--security", "paranoid"], "semi-honest, malicious"),
        (&["run", "secagg-mnist", "--num-shares", "2.5"], "no number of shares"),
        (&["run", "secagg-mnist", "--clipping-range", "-1"], "positive number"),
        (&["run", "secagg-mnist", "--dropouts", "7"], "from 0 to 1"),
        (&["run", "secagg-mnist", "--collaborators", "9", "--threshold", "5"], "use 7 to 9"),
        (&["run", "fedavg-mnist", "--security", "malicious"], "--secure secagg"),
        (&["run", "secagg-mnist", "--data-dir", "/nowhere"], "data fetch mnist"),
        (&["run", "secagg-mnist", "--train-limit", "0"], "8000"),
        (&["run", "secagg-mnist", "--collaborators", "A"], "2"),
        (&["run", "secagg-mnist", "--learning-rate", "-1"], "learning rate"),
    ] {
        let output = veilflow(args);
        assert!(!output.status.success(), "{args:?}");
        let told = errors(&output);
        assert!(told.contains(known), "{args:?}: {known:?} is not in {told}");
        assert!(!told.contains("panicked"), "{told}");
    }
}

#[test]
fn the_flows_are_listed_and_drawn() {
    let flows = veilflow(&["flows"]);
    let table = String::from_utf8_lossy(&flows.stdout).into_owned();
    assert!(table.contains("secagg-mnist") && table.contains("fedavg-mnist"), "{table}");
    for (format, start) in
        [("text", "flow secagg-mnist"), ("mermaid", "---"), ("dot", "digraph"), ("svg", "<svg")]
    {
        let drawing = veilflow(&["graph", "secagg-mnist", "--format", format]);
        let drawing = String::from_utf8_lossy(&drawing.stdout).into_owned();
        assert!(drawing.starts_with(start) && drawing.contains("reveal_shares"), "{format}: {drawing}");
    }
}

#[test]
fn a_model_is_saved_under_pytorchs_names() {
    let folder = tempfile::tempdir().unwrap();
    let (model, curves) = (folder.path().join("model.safetensors"), folder.path().join("curves.svg"));
    let (save, plot) = (model.to_str().unwrap(), curves.to_str().unwrap());
    let output = run("fedavg-mnist", &["--rounds", "1", "--save", save, "--plot", plot, "-q"]);
    assert!(output.status.success(), "{}", errors(&output));
    let bytes = std::fs::read(&model).unwrap();
    let header = String::from_utf8_lossy(&bytes[..2000.min(bytes.len())]).into_owned();
    for name in ["conv1.weight", "fc2.bias"] {
        assert!(header.contains(name), "{header}");
    }
    assert!(bytes.len() > 21_840 * 4);
    assert!(std::fs::read_to_string(&curves).unwrap().contains("<svg"));
}
