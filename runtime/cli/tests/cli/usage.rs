//! Mistakes in what was given: exit code 2, what is wrong, and what there is.

use veilflow_cli::{App, Cohort, FlowOf, Registry, Setup, clap};
use veilflow_spec::Result;

use crate::toy::{Plain, Toy, veilflow, veilflow_of};

fn mistake(arguments: &[&str], texts: &[&str]) {
    let outcome = veilflow(arguments);
    assert_eq!((outcome.code, outcome.out.as_str()), (2, ""), "{arguments:?}: {}", outcome.err);
    for text in texts {
        assert!(outcome.err.contains(text), "{arguments:?} does not say {text:?}: {}", outcome.err);
    }
    assert_eq!(outcome.err.matches("error:").count(), 1, "{}", outcome.err);
}

#[test]
fn what_is_unknown_is_answered_with_what_is_known() {
    mistake(&["rum"], &["no command `rum`", "did you mean `run`", "completions"]);
    mistake(&["run", "toi"], &["no flow `toi`", "did you mean `toy`", "There are: toy, plain"]);
    mistake(&["graph", "x"], &["no flow `x`", "There are: toy, plain"]);
    mistake(&["run", "toy", "--round", "2"], &["no flag `--round`", "did you mean `--rounds`", "--threads"]);
    mistake(&["run", "toy", "--drop", "Portlnd@train"], &["did you mean `Portland`", "Bengaluru, Portland"]);
    mistake(&["run", "toy", "--drop", "Portland@join"], &["no step of a collaborator", "There are: train"]);
    mistake(&["data", "fetch", "digit"], &["no data set `digit`", "did you mean `digits`"]);
    mistake(&["completions", "tcl"], &["bash", "fish"]);
}

#[test]
fn values_that_make_no_sense_are_refused() {
    mistake(&["run", "toy", "--rounds", "two"], &["'two' for '--rounds"]);
    mistake(&["run", "toy", "--output", "xml"], &["table, json, csv"]);
    mistake(&["run", "toy", "--threads", "0"], &["--threads"]);
    mistake(&["run", "toy", "--device", "gpu"], &["--device", "cpu", "cuda:0"]);
    mistake(
        &["run", "toy", "--device", "cuda:0"],
        &["toy cannot start", "processor only", "--device cuda:0"],
    );
    mistake(&["run", "toy", "--device-share", "1.5"], &["from 0 to 1"]);
    mistake(&["run", "toy", "--collaborators", "0"], &["from 1 to"]);
    mistake(&["run", "toy", "--collaborators", "a,a"], &["named twice"]);
    mistake(&["run", "toy", "--collaborators", "a,b/c"], &["cannot be a participant's name"]);
    mistake(&["run", "toy", "--drop", "train"], &["NAME@STEP"]);
    mistake(&["run", "toy", "-q", "-v"], &["cannot be used with"]);
    mistake(&["run", "toy", "--collaborators", "1"], &["at least 2", "1 collaborators"]);
}

#[test]
fn what_the_flow_refuses_before_it_starts_is_a_mistake_too() {
    mistake(&["run", "toy", "--fail", "setup"], &["toy cannot start: toys.bin is missing"]);
}

#[test]
fn a_number_of_collaborators_gives_names_in_the_order_of_their_numbers() {
    let outcome = veilflow(&["run", "toy", "--collaborators", "10", "--rounds", "1", "--output", "json"]);
    let json: serde_json::Value = serde_json::from_str(&outcome.out).unwrap();
    let names: Vec<_> =
        json["participants"].as_array().unwrap().iter().map(|n| n.as_str().unwrap()).collect();
    assert_eq!((names[0], names[9], names.len()), ("collaborator-01", "collaborator-10", 10));
    assert!(names.is_sorted());
}

#[test]
fn no_arguments_are_answered_with_help() {
    let outcome = veilflow(&[]);
    assert_eq!((outcome.code, outcome.out.as_str()), (2, ""));
    assert!(outcome.err.contains("Examples:"), "{}", outcome.err);
}

#[derive(clap::Args)]
struct Greedy {
    /// The flow's own seed
    #[arg(long)]
    seed: u64,
}

struct HidesSeed;

impl App for HidesSeed {
    const NAME: &'static str = "greedy";
    const ABOUT: &'static str = "Declares a flag that every flow has";
    type Options = Greedy;
    type Aggregator = ();
    type Collaborator = ();
    type Params = ();
    type Report = ();

    fn flow(_: &Greedy, cohort: &Cohort) -> Result<FlowOf<Self>> {
        Plain::flow(&(), cohort)
    }

    fn setup(_: &Greedy, _: &Cohort) -> Result<Setup<Self>> {
        Ok(Setup::new((), (), |_| Ok(())))
    }
}

#[test]
fn a_registry_that_contradicts_itself_is_told_how() {
    let twice = veilflow_of(&Registry::new().app(Toy).app(Toy), &["flows"]);
    assert_eq!(twice.code, 2);
    assert!(twice.err.contains("two flows are called `toy`"), "{}", twice.err);
    let hidden = veilflow_of(&Registry::new().app(HidesSeed), &["flows"]);
    assert_eq!(hidden.code, 2);
    assert!(hidden.err.contains("`--seed`") && hidden.err.contains("greedy"), "{}", hidden.err);
}
