//! `--config`.

use std::path::PathBuf;

use tempfile::TempDir;
use veilflow_cli::{App, Cohort, FlowOf, Registry, Setup, clap};
use veilflow_spec::Result;

use crate::toy::{Outcome, Plain, veilflow, veilflow_of};

struct Config {
    folder: TempDir,
}

impl Config {
    fn new(text: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("run.toml"), text).unwrap();
        Self { folder }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("run.toml")
    }

    fn run(&self, arguments: &[&str]) -> Outcome {
        let path = self.path();
        let all = [&["run", "toy", "--config", path.to_str().unwrap()], arguments].concat();
        veilflow(&all)
    }
}

/// The rows, the seed and the participants of a run with JSON.
fn summary(outcome: &Outcome) -> (usize, u64, Vec<String>) {
    let json: serde_json::Value = serde_json::from_str(&outcome.out).expect(&outcome.err);
    let names = json["participants"].as_array().unwrap().iter();
    let names = names.map(|name| name.as_str().unwrap().to_owned()).collect();
    (json["rows"].as_array().unwrap().len(), json["seed"].as_u64().unwrap(), names)
}

#[test]
fn a_file_gives_flags_and_the_command_line_replaces_them() {
    let text = "rounds = 4\nseed = 7\ncollaborators = [\"a\", \"b\", \"c\"]\noutput = \"json\"\nlearning_rate = 1\n\
                drop = [\"c@train\"]\nquiet = true\ndevice = \"cpu\"\n";
    let config = Config::new(text);
    let outcome = config.run(&[]);
    assert_eq!(outcome.err, "");
    let names = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(summary(&outcome), (4, 7, names(&["a", "b", "c"])));
    assert_eq!(summary(&config.run(&["--rounds", "1"])), (1, 7, names(&["a", "b", "c"])));
    // A list is replaced as a whole, not added to.
    let replaced = config.run(&["--collaborators", "x,y,z", "--drop=z@train", "--seed=8"]);
    assert_eq!(summary(&replaced), (4, 8, names(&["x", "y", "z"])));
}

#[test]
fn collaborators_may_be_a_number_or_a_text() {
    let run = |text: &str| summary(&Config::new(text).run(&["--output", "json"])).2;
    assert_eq!(run("collaborators = 3").len(), 3);
    assert_eq!(run("collaborators = \"a,b\""), ["a", "b"]);
}

fn mistake(text: &str, says: &[&str]) {
    let outcome = Config::new(text).run(&[]);
    assert_eq!((outcome.code, outcome.out.as_str()), (2, ""), "{text}: {}", outcome.err);
    for part in says.iter().chain(&["run.toml"]) {
        assert!(outcome.err.contains(part), "{text:?} does not say {part:?}: {}", outcome.err);
    }
}

#[test]
fn mistakes_in_the_file_name_the_file_and_the_key() {
    mistake("round = 2", &["no key `round`", "did you mean `rounds`", "learning-rate"]);
    mistake("config = \"x\"", &["no key `config`"]);
    mistake("rounds = \"2\"", &["key `rounds`: expected an integer, found a text"]);
    mistake("rounds = 2.5", &["key `rounds`: expected an integer, found a number"]);
    mistake("learning-rate = true", &["key `learning-rate`: expected a number, found true or false"]);
    mistake("rounds = [1]", &["key `rounds`: expected an integer, found a list"]);
    mistake("quiet = 1", &["key `quiet`: expected true or false, found an integer"]);
    mistake("plot = 1", &["key `plot`: expected a text, found an integer"]);
    mistake("rounds = -2", &["key `rounds`: invalid value '-2'"]);
    mistake("output = \"xml\"", &["key `output`", "table, json, csv"]);
    mistake("drop = [\"train\"]", &["key `drop`", "NAME@STEP"]);
    mistake("learning-rate = 1.0\nlearning_rate = 2.0", &["are the same key"]);
    mistake("rounds = ", &["is not TOML"]);
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let outcome = veilflow(&["run", "toy", "--config", "missing.toml"]);
    assert_eq!(outcome.code, 2);
    assert!(outcome.err.contains("--config missing.toml"), "{}", outcome.err);
}

#[derive(clap::Args)]
struct Required {
    /// Where the data lies
    #[arg(long)]
    data_dir: String,
}

struct Needy;

impl App for Needy {
    const NAME: &'static str = "needy";
    const ABOUT: &'static str = "Cannot do without its data";
    type Options = Required;
    type Aggregator = ();
    type Collaborator = ();
    type Params = ();
    type Report = ();

    fn flow(options: &Required, cohort: &Cohort) -> Result<FlowOf<Self>> {
        assert_eq!(options.data_dir, "here");
        Plain::flow(&(), cohort)
    }

    fn setup(_: &Required, _: &Cohort) -> Result<Setup<Self>> {
        Ok(Setup::new((), (), |_| Ok(())))
    }
}

#[test]
fn a_required_flag_may_come_from_the_file() {
    let registry = Registry::new().app(Needy);
    let config = Config::new("data_dir = \"here\"");
    let path = config.path();
    let given = veilflow_of(&registry, &["run", "needy", "--config", path.to_str().unwrap()]);
    assert_eq!(given.code, 0, "{}", given.err);
    let missing = veilflow_of(&registry, &["run", "needy"]);
    assert_eq!(missing.code, 2);
    assert!(missing.err.contains("--data-dir"), "{}", missing.err);
    // It is listed all the same.
    assert!(veilflow_of(&registry, &["flows"]).out.contains("needy"));
}
