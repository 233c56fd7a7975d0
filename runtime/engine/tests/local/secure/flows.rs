//! Secure joins in larger flows.

use veilflow_spec::{Context, Flow, Foreach, Loop, Result, Sum, Tensor};

use super::support::{Server, Site, Told, Update, model, runtime, secagg};
use crate::support::Recorder;

impl Server {
    fn first(&mut self, sum: Sum<Update>, _cx: &Context) -> Result<Foreach<Tensor>> {
        self.note(sum);
        Ok(Foreach::all(model(0.5)))
    }

    fn again(&mut self, told: Vec<Told>, cx: &Context) -> Result<Loop<Foreach<Tensor>, Vec<Told>>> {
        // The inner loop took them; they are given back for the next turn.
        self.told = told;
        Ok(match cx.round() {
            0 => Loop::Again(Foreach::all(model(0.25))),
            _ => Loop::Done(std::mem::take(&mut self.told)),
        })
    }
}

const SITES: [&str; 4] = ["a", "b", "c", "d"];

fn two_joins() -> Flow<Server, Site, (), Vec<Told>> {
    Flow::new("two", 1)
        .start(Server::start)
        .repeat(|round| {
            round
                .foreach(Site::train)
                .quorum(3)
                .secure_join(secagg(), Server::first)
                .foreach(Site::train)
                .named("train_again")
                .quorum(3)
                .secure_join(secagg(), Server::average)
        })
        .end()
}

#[test]
fn two_secure_joins_in_one_loop_are_apart() {
    two_joins().check().unwrap();
    let told = runtime(&SITES, 2).run(&two_joins(), ()).unwrap();
    let means: Vec<_> = told.iter().map(|told| (told.mean.values.values()[0] * 100.0).round()).collect();
    assert_eq!(means, [75.0, 150.0, 75.0, 150.0]);
}

#[test]
fn a_dropout_names_a_step_of_one_join_or_of_all() {
    let missing = |step: &str| {
        let told = runtime(&SITES, 1).drop_out("b", step).run(&two_joins(), ()).unwrap();
        told.iter().map(|told| told.missing.len()).collect::<Vec<_>>()
    };
    assert_eq!(missing("mask"), [1, 1]);
    assert_eq!(missing("average.mask"), [0, 1]);
    assert_eq!(missing("first.mask"), [1, 0]);
    let error = runtime(&SITES, 1).drop_out("b", "masc").run(&two_joins(), ()).unwrap_err();
    assert_eq!(error.code(), "unknown-step");
    assert!(error.to_string().contains("first.mask"), "{error}");
}

#[test]
fn nested_loops_mask_a_new_input_at_each_turn() {
    let flow: Flow<Server, Site, (), Vec<Told>> = Flow::new("nested", 1)
        .start(Server::start)
        .repeat(|epoch| {
            epoch
                .repeat(|round| round.foreach(Site::train).quorum(3).secure_join(secagg(), Server::average))
                .then(Server::again)
        })
        .end();
    let recorder = Recorder::new();
    let told = runtime(&SITES, 2).observe(recorder.clone()).run(&flow, ()).unwrap();
    assert_eq!(told.len(), 4, "two turns of two turns");
    assert_eq!(recorder.missing(), [], "no session is refused as old, no input as masked before");
}
