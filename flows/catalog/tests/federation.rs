//! A federation of real processes on this machine: the shipped flows at sites, over mutual TLS.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a failed test panics")]

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

/// Small runs.
const SMALL: [&str; 6] = ["--train-limit", "320", "--test-limit", "80", "--output", "json"];

/// A federation that ends with its test.
struct Federation {
    folder: TempDir,
}

impl Federation {
    fn up(envoys: &str) -> Self {
        let federation = Self { folder: tempfile::tempdir().unwrap() };
        let up = federation.json(&["federation", "up", "--envoys", envoys, "--output", "json"]);
        assert_eq!(up["envoys"].as_array().unwrap().len(), envoys.split(',').count());
        federation
    }

    fn dir(&self) -> PathBuf {
        self.folder.path().join("federation")
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_veilflow"));
        command.args(args).env("VEILFLOW_FEDERATION", self.dir()).stdin(Stdio::null());
        command.env_remove("VEILFLOW_DIRECTOR").env_remove("VEILFLOW_IDENTITY");
        command
    }

    fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    fn text(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert!(output.status.success(), "{args:?}: {}{}", errors(&output), self.logs());
        String::from_utf8(output.stdout).unwrap()
    }

    fn json(&self, args: &[&str]) -> Value {
        serde_json::from_str(&self.text(args)).unwrap()
    }

    /// What the parts say, for a test that fails.
    fn logs(&self) -> String {
        let files = [self.dir(), self.dir().join("envoys")].into_iter();
        let entries = files.filter_map(|folder| std::fs::read_dir(folder).ok()).flatten().flatten();
        let logs =
            entries.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|e| e == "log"));
        logs.map(|path| format!("\n--- {}\n{}", path.display(), std::fs::read_to_string(&path).unwrap()))
            .collect()
    }
}

impl Drop for Federation {
    fn drop(&mut self) {
        let down = self.run(&["federation", "down"]);
        if !std::thread::panicking() && self.dir().exists() {
            assert!(down.status.success(), "{}", errors(&down));
        }
    }
}

fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// What has to be the same on both runtimes.
fn same(both: &Value) {
    let (local, federated) = (&both["local"], &both["federated"]);
    assert_eq!(local["model_sha256"].as_str().unwrap().len(), 64);
    for key in ["flow", "seed", "participants", "rows", "rounds", "model_sha256"] {
        assert_eq!(local[key], federated[key], "{key}");
    }
    assert!(!local["rows"].as_array().unwrap().is_empty());
    assert!(federated["wall_s"].as_f64().unwrap() > 0.0);
}

/// The files of `examples/federation`, as `config check` reads them.
#[test]
fn the_files_of_the_deployment_are_good() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/federation/");
    let check = |part: &str, file: &str, flags: &[&str]| {
        let file = format!("{folder}{file}");
        let args = [&[part, "config", "check", "--config", &file][..], flags].concat();
        Command::new(env!("CARGO_BIN_EXE_veilflow")).args(args).output().unwrap()
    };
    for (file, name) in [("bengaluru.toml", "Bengaluru"), ("portland.toml", "Portland")] {
        let output = check("envoy", file, &[]);
        assert!(output.status.success(), "{}", errors(&output));
        assert!(String::from_utf8_lossy(&output.stdout).contains(&format!("{name} runs secagg-mnist")));
    }
    // Its identity is made on the spot by who follows the README.
    let output = check("director", "director.toml", &["--insecure-loopback", "--listen", "127.0.0.1:0"]);
    assert!(output.status.success(), "{}", errors(&output));

    // What the units and the containers start is known to the command line.
    let files = ["systemd/veilflow-director.service", "systemd/veilflow-envoy.service", "compose.yaml"];
    let mut started = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(format!("{folder}{file}")).unwrap();
        let commands = text.lines().filter_map(|line| {
            let line = line.trim();
            line.strip_prefix("ExecStart=/usr/local/bin/veilflow ").or_else(|| line.strip_prefix("command: "))
        });
        for command in commands {
            let arguments = command.split(' ').chain(["--help"]);
            let output = Command::new(env!("CARGO_BIN_EXE_veilflow")).args(arguments).output().unwrap();
            assert!(output.status.success(), "{file}: {command}: {}", errors(&output));
            started.push(command.split(' ').next().unwrap().to_owned());
        }
    }
    assert_eq!(started, ["director", "envoy", "director", "envoy", "envoy"]);
}

#[test]
fn both_runtimes_give_the_same_table_and_the_same_model() {
    let federation = Federation::up("Bengaluru,Portland");
    for flow in [
        &["secagg-mnist"][..],
        &["fedavg-mnist", "--rounds", "1"],
        &["fedavg-mnist", "--rounds", "1", "--secure", "secagg", "--seed", "7"],
    ] {
        same(&federation.json(&[&["run"], flow, &["--runtime", "both"], &SMALL].concat()));
    }
    let text = federation.text(&[
        "run",
        "secagg-mnist",
        "--rounds",
        "1",
        "--runtime",
        "both",
        "--train-limit",
        "320",
        "--test-limit",
        "80",
    ]);
    let (local, federated) = text.split_once("FederatedRuntime\n").unwrap();
    let table = |text: &str| {
        text.lines().filter(|line| line.starts_with(['|', '+'])).map(str::to_owned).collect::<Vec<_>>()
    };
    assert!(local.starts_with("LocalRuntime\n"), "{text}");
    assert_eq!(table(local), table(federated));
    assert!(text.ends_with("Both models are the same, bit for bit.\n"), "{text}");
}

#[test]
fn a_dropout_in_the_protocol_is_the_same_on_both_runtimes() {
    let federation = Federation::up("A,B,C,D");
    let drop = ["--collaborators", "A,B,C,D", "--threshold", "3", "--drop", "D@train", "--rounds", "1"];
    let both = federation.json(&[&["run", "secagg-mnist", "--runtime", "both"], &drop[..], &SMALL].concat());
    same(&both);
    assert_eq!(both["federated"]["rounds"][0]["dropped"], 1);
}

#[test]
fn an_experiment_is_submitted_followed_listed_and_read() {
    let federation = Federation::up("Bengaluru,Portland");
    let envoys = federation.json(&["envoys", "--output", "json"]);
    let names: Vec<_> =
        envoys.as_array().unwrap().iter().map(|envoy| (&envoy["name"], &envoy["online"])).collect();
    assert_eq!(names, [(&"Bengaluru".into(), &true.into()), (&"Portland".into(), &true.into())]);
    let table = federation.text(&["envoys"]);
    assert!(table.contains("Experiment Running") && table.contains("secagg-mnist"), "{table}");

    let small = &SMALL[..4];
    let submit = ["experiment", "submit", "secagg-mnist", "--rounds", "1", "--seed", "5"];
    let id = federation.text(&[&submit[..], small].concat());
    let id = id.trim();
    let log = federation.text(&["experiment", "logs", &id[..6], "--follow"]);
    for part in ["secagg-mnist 1 starts", "Rounds 0", "finished"] {
        assert!(log.contains(part), "{part:?}: {log}");
    }
    let lines = federation.text(&["experiment", "logs", id, "--output", "json"]);
    assert!(lines.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()), "{lines}");
    let shown = federation.json(&["experiment", "show", &id[..6], "--output", "json"]);
    assert_eq!((&shown["id"], &shown["state"]), (&id.into(), &"finished".into()));
    assert_eq!(federation.json(&["experiment", "list", "--output", "json"])[0]["id"], id);

    // The same as a run of its own.
    let model = federation.folder.path().join("model.safetensors");
    let results = ["experiment", "results", id, "--output", "json", "--save", model.to_str().unwrap()];
    let results = federation.json(&results);
    let local = ["run", "secagg-mnist", "--rounds", "1", "--seed", "5"];
    let local = federation.json(&[&local[..], &SMALL].concat());
    for key in ["rows", "rounds", "model_sha256", "participants", "seed"] {
        assert_eq!(results[key], local[key], "{key}");
    }
    assert!(model.metadata().unwrap().len() > 80_000);

    let unknown = federation.run(&["experiment", "show", "zz"]);
    assert_eq!(unknown.status.code(), Some(2), "{}", errors(&unknown));
    assert!(errors(&unknown).contains("experiment list"), "{}", errors(&unknown));
}

#[test]
fn what_a_site_does_not_allow_and_who_is_not_there_are_told() {
    let federation = Federation::up("Bengaluru,Portland");
    // Nobody waits for it: it stays pending and says for whom.
    let submit = ["experiment", "submit", "secagg-mnist", "--collaborators", "Bengaluru,Recife"];
    let id = federation.text(&submit);
    let shown = federation.json(&["experiment", "show", id.trim(), "--output", "json"]);
    assert_eq!(shown["state"], "pending");
    assert!(shown["reason"].as_str().unwrap().contains("Recife"), "{shown}");
    let results = federation.run(&["experiment", "results", id.trim()]);
    assert_eq!(results.status.code(), Some(1));
    assert!(errors(&results).contains("pending"), "{}", errors(&results));
    let cancelled = federation.json(&["experiment", "cancel", id.trim(), "--output", "json"]);
    assert_eq!(cancelled["state"], "cancelled");
    // The director checks the options before anything is queued.
    let wrong = ["experiment", "submit", "fedavg-mnist", "--threshold", "2"];
    let wrong = federation.run(&wrong);
    assert!(errors(&wrong).contains("--secure secagg"), "{}", errors(&wrong));
}

#[test]
fn ctrl_c_cancels_the_experiment_at_the_director() {
    use nix::sys::signal::{Signal, kill};
    use nix::unistd::Pid;

    let federation = Federation::up("Bengaluru,Portland");
    let run = ["run", "secagg-mnist", "--runtime", "federated", "--rounds", "1000"];
    let mut child = federation.command(&run).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    assert!(lines.by_ref().any(|line| line.unwrap().contains("train")), "the run never came to training");
    kill(Pid::from_raw(child.id().try_into().unwrap()), Signal::SIGINT).unwrap();
    let rest: Vec<String> = lines.map(Result::unwrap).collect();
    assert_eq!(child.wait().unwrap().code(), Some(130), "{rest:?}");
    let listed = federation.json(&["experiment", "list", "--output", "json"]);
    assert_eq!(listed[0]["state"], "cancelled", "{listed}");
}

#[test]
fn down_ends_what_runs_and_only_that() {
    use nix::sys::signal::{Signal, kill};
    use nix::unistd::Pid;

    let federation = Federation::up("Bengaluru,Portland");
    let again = federation.run(&["federation", "up"]);
    assert_eq!(again.status.code(), Some(2), "{}", errors(&again));
    assert!(errors(&again).contains("federation down"), "{}", errors(&again));
    let file = |part: &str| std::fs::File::open(federation.dir().join(part)).unwrap();
    // The lock of a part's file is held as long as its process lives.
    let (director, envoy) = (file("director.pid"), file("envoys/Bengaluru.pid"));
    assert!(director.try_lock().is_err() && envoy.try_lock().is_err());
    let pid = std::fs::read_to_string(federation.dir().join("director.pid")).unwrap();
    let pid = Pid::from_raw(pid.trim().parse().unwrap());
    // One that was killed is not signalled again: its number may be another process's by now.
    kill(pid, Signal::SIGKILL).unwrap();
    director.lock().unwrap();
    drop(director);
    let down = federation.json(&["federation", "down", "--keep", "--output", "json"]);
    assert_eq!(down["ended"], serde_json::json!(["Bengaluru", "Portland"]));
    assert_eq!(down["killed"], serde_json::json!([]));
    envoy.try_lock().unwrap();
    drop(envoy);
    let gone = federation.run(&["envoys"]);
    assert_eq!(gone.status.code(), Some(2), "its connection file is gone: {}", errors(&gone));
    // Started anew in the same folder.
    federation.json(&["federation", "up", "--output", "json"]);
    assert_eq!(federation.json(&["envoys", "--output", "json"]).as_array().unwrap().len(), 2);
}
