//! Commands of federations: what they refuse before anything is dialled, and what they say then.

use std::path::Path;

use veilflow_cli::{App, Cohort, FlowOf, Registry, Setup, clap};
use veilflow_spec::{Result, StepError};

use crate::toy::{Outcome, Plain, Toy, veilflow, veilflow_of};

const NOWHERE: &str = "https://127.0.0.1:1";

fn refused(outcome: &Outcome, code: u8, says: &[&str]) {
    assert_eq!((outcome.code, outcome.out.as_str()), (code, ""), "{}", outcome.err);
    for text in says {
        assert!(outcome.err.contains(text), "it does not say {text:?}: {}", outcome.err);
    }
    assert_eq!(outcome.err.matches("error:").count(), 1, "{}", outcome.err);
}

#[test]
fn flags_that_contradict_each_other_are_refused() {
    let stray = veilflow(&["run", "toy", "--director", NOWHERE]);
    refused(&stray, 2, &["`--director`", "--runtime federated"]);
    let csv = veilflow(&["run", "toy", "--runtime", "both", "--output", "csv", "--director", NOWHERE]);
    refused(&csv, 2, &["--output json"]);
    refused(&veilflow(&["run", "toy", "--runtime", "remote"]), 2, &["local, federated, both"]);
}

#[test]
fn a_director_is_talked_to_with_an_identity_only() {
    for arguments in [
        &["run", "toy", "--runtime", "federated"][..],
        &["run", "toy", "--runtime", "both"],
        &["envoys"],
        &["experiment", "submit", "toy"],
        &["experiment", "list"],
        &["experiment", "logs", "3f", "--follow"],
    ] {
        let outcome = veilflow(&[arguments, &["--director", NOWHERE]].concat());
        refused(&outcome, 2, &["--identity", "VEILFLOW_IDENTITY"]);
        let nowhere = ["--director", NOWHERE, "--identity", "no/such/folder"];
        let outcome = veilflow(&[arguments, &nowhere].concat());
        refused(&outcome, 1, &["no/such/folder"]);
    }
}

#[test]
fn a_director_that_is_not_there_is_told_at_once_and_nothing_runs_before() {
    // A port that nobody listens on any more.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = format!("http://127.0.0.1:{port}");
    let outcome = veilflow(&["run", "toy", "--runtime", "both", "--insecure-loopback", "--director", &url]);
    refused(&outcome, 1, &[&format!("127.0.0.1:{port}")]);
    assert!(!outcome.err.contains("train"), "{}", outcome.err);
    // Plaintext stays on this machine.
    let beyond = veilflow(&["envoys", "--insecure-loopback", "--director", "http://192.0.2.1:50050"]);
    refused(&beyond, 1, &["loopback"]);
}

#[test]
fn what_is_unknown_is_answered_with_what_is_known() {
    refused(&veilflow(&["experiment", "lst"]), 2, &["no command `lst`", "did you mean `list`"]);
    refused(&veilflow(&["experiment", "submit", "toi"]), 2, &["no flow `toi`", "did you mean `toy`"]);
    let flag = veilflow(&["experiment", "submit", "toy", "--round", "2"]);
    refused(&flag, 2, &["no flag `--round`", "did you mean `--rounds`"]);
    refused(&veilflow(&["envoy", "strat"]), 2, &["no command `strat`", "did you mean `start`"]);
}

#[derive(clap::Args)]
struct Data {
    /// Where the data lies
    #[arg(long)]
    data_dir: Option<String>,
}

struct WithData;

impl App for WithData {
    const NAME: &'static str = "with-data";
    const ABOUT: &'static str = "Reads a folder at each site";
    const SITE_OPTIONS: &'static [&'static str] = &["data-dir"];
    type Options = Data;
    type Aggregator = ();
    type Collaborator = ();
    type Params = ();
    type Report = ();

    fn flow(_: &Data, cohort: &Cohort) -> Result<FlowOf<Self>> {
        Plain::flow(&(), cohort)
    }

    fn setup(options: &Data, _: &Cohort) -> Result<Setup<Self>> {
        options.data_dir.as_ref().ok_or_else(|| StepError::msg("no data-dir"))?;
        Ok(Setup::new((), (), |_| Ok(())))
    }
}

#[test]
fn what_belongs_to_a_place_is_never_sent() {
    let registry = Registry::new().app(WithData);
    let local = veilflow_of(&registry, &["run", "with-data", "--data-dir", "here"]);
    assert_eq!(local.code, 0, "{}", local.err);
    for arguments in [
        &["run", "with-data", "--runtime", "federated", "--data-dir", "here"][..],
        &["experiment", "submit", "with-data", "--data-dir=here"],
    ] {
        let outcome = veilflow_of(&registry, &[arguments, &["--director", NOWHERE]].concat());
        refused(&outcome, 2, &["`--data-dir`", "[flows.with-data]", "envoy"]);
    }
}

#[test]
fn who_has_no_identity_is_told_how_to_get_one() {
    let folder = tempfile::tempdir().unwrap();
    let nothing = folder.path().join("nothing");
    let nothing = nothing.to_str().unwrap();
    let envoys = veilflow(&["envoys", "--director", NOWHERE, "--identity", nothing]);
    refused(&envoys, 1, &["cannot be read", "next: ", "`envoy enroll`"]);
    let token = veilflow(&["pki", "token", "--name", "Recife", "--ca", nothing]);
    refused(&token, 1, &["cannot be read", "next: ", "`pki init`"]);
}

#[test]
fn a_director_that_is_not_there_is_what_to_look_for() {
    let envoys = veilflow(&["envoys", "--director", "http://127.0.0.1:1", "--insecure-loopback"]);
    refused(&envoys, 1, &["127.0.0.1:1 cannot be reached", "next: is the director running"]);
}

struct CannotDoWithout;

#[derive(clap::Args)]
struct Required {
    /// Where the data lies
    #[arg(long)]
    data_dir: String,
}

impl App for CannotDoWithout {
    const NAME: &'static str = "without";
    const ABOUT: &'static str = "Requires what only a place has";
    const SITE_OPTIONS: &'static [&'static str] = &["data-dir"];
    type Options = Required;
    type Aggregator = ();
    type Collaborator = ();
    type Params = ();
    type Report = ();

    fn flow(_: &Required, cohort: &Cohort) -> Result<FlowOf<Self>> {
        Plain::flow(&(), cohort)
    }

    fn setup(_: &Required, _: &Cohort) -> Result<Setup<Self>> {
        Ok(Setup::new((), (), |_| Ok(())))
    }
}

#[test]
fn a_flow_that_cannot_be_built_without_a_places_settings_is_told_so() {
    let outcome = veilflow_of(&Registry::new().app(CannotDoWithout), &["flows"]);
    refused(&outcome, 2, &["`without`", "`--data-dir`", "not required"]);
}

/// An envoy's file with these lines added.
fn site(folder: &Path, lines: &str) -> String {
    let path = folder.join("site.toml");
    let text = format!(
        "name = 'Bengaluru'\ndirector = 'https://director.example'\nidentity = 'identity'\nstate-dir = 'state'\n{lines}\n"
    );
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn an_envoys_configuration_is_checked_without_starting_it() {
    let registry = Registry::new().app(WithData).app(Toy);
    let folder = tempfile::tempdir().unwrap();
    let check = |lines: &str, flags: &[&str]| {
        let file = site(folder.path(), lines);
        veilflow_of(&registry, &[&["envoy", "config", "check", "--config", &file], flags].concat())
    };
    let policy = "[policy]\nallowed-flows = ['with-data']\n";
    let good = check(&format!("{policy}[flows.with-data]\ndata_dir = '/data'"), &["--output", "json"]);
    assert_eq!(good.code, 0, "{}", good.err);
    let json: serde_json::Value = serde_json::from_str(&good.out).unwrap();
    assert_eq!((&json["name"], &json["flows"]), (&"Bengaluru".into(), &serde_json::json!(["with-data"])));
    // Flags come first.
    let other = check(policy, &["--name", "Portland", "--allowed-flows", "toy,with-data"]);
    assert!(
        other.out.contains("Portland runs with-data, toy")
            || other.out.contains("Portland runs toy, with-data")
    );

    for (lines, says) in [
        ("nme = 'x'\n[policy]\nallowed-flows = ['*']", "`nme`, did you mean `name`"),
        ("[policy]\nallowed-flows = ['with-dat']", "did you mean `with-data`"),
        ("[policy]\nallowed-flows = ['*']\n[flows.with-data]\ndata-dri = '/data'", "did you mean `data-dir`"),
        ("[policy]\nallowed-flows = ['*']\n[flows.toy]\nrounds = 3", "rounds"),
        ("[policy]\nallowed-flows = 3", "policy.allowed-flows"),
    ] {
        refused(&check(lines, &[]), 2, &["site.toml", says]);
    }
}

#[test]
fn a_federation_touches_only_what_it_made() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    refused(&veilflow(&["federation", "down", "--dir", path]), 2, &["no federation", "federation up"]);
    std::fs::write(folder.path().join("precious"), "text").unwrap();
    refused(&veilflow(&["federation", "up", "--dir", path]), 2, &["left alone", "--dir"]);
    assert_eq!(std::fs::read_to_string(folder.path().join("precious")).unwrap(), "text");
    let fresh = folder.path().join("fresh");
    let taken = veilflow(&["federation", "up", "--envoys", "a,director", "--dir", fresh.to_str().unwrap()]);
    refused(&taken, 2, &["director is no name"]);
    assert!(!fresh.exists());
}
