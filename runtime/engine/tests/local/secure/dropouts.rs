//! Dropouts before each step of a secure join, down to the threshold and below it.

use std::time::Duration;

use veilflow_engine::{EventKind, LocalRuntime, RunError, SecAgg};
use veilflow_secagg::{ClientPolicy, Parameters, Security, Threshold};
use veilflow_spec::{Context, Flow, Foreach, Result, Tensor};

use super::support::{Server, Site, Told, Update, model, runtime, secagg, two_joins};
use crate::support::Recorder;

const SITES: [&str; 4] = ["a", "b", "c", "d"];

#[test]
fn without_a_quorum_all_must_be_in_the_sum() {
    let flow: Flow<Server, Site, (), Vec<Told>> = Flow::new("all", 1)
        .start(Server::start)
        .repeat(|round| round.foreach(Site::train).secure_join(secagg(), Server::average))
        .end();
    let error = runtime(&SITES, 1).drop_out("b", "mask").run(&flow, ()).unwrap_err();
    assert!(matches!(&error, RunError::BelowQuorum { needed: 4, .. }), "{error}");
    // Once the sum is made, the protocol's threshold counts.
    assert_eq!(runtime(&SITES, 1).drop_out("b", "unmask").run(&flow, ()).unwrap()[0].mean.weight, 10);
}

struct Slow {
    endless: bool,
    site: Site,
}

impl Slow {
    fn train(&mut self, model: &Tensor, cx: &Context) -> Result<Update> {
        while self.endless && cx.round() == 0 {
            cx.check_cancelled()?;
            std::thread::yield_now();
        }
        self.site.train(model, cx)
    }
}

#[test]
fn who_is_late_is_not_in_the_sum() {
    let flow: Flow<Server, Slow, (), Vec<Told>> = Flow::new("late", 1)
        .start(Server::start)
        .repeat(|round| {
            let deadline = Duration::from_secs(2);
            round.foreach(Slow::train).quorum(3).deadline(deadline).secure_join(secagg(), Server::average)
        })
        .end();
    let runtime = LocalRuntime::new().aggregator(Server::new(1)).threads(4);
    let runtime = SITES.into_iter().zip(1..).fold(runtime, |runtime, (name, weight)| {
        runtime.collaborator(name, Slow { endless: name == "c", site: Site { weight, loss: 0.0 } })
    });
    let told = runtime.run(&flow, ()).unwrap();
    assert_eq!(told[0].missing, ["c: not back within the deadline of 2s"]);
    assert_eq!(told[0].mean.weight, 7);
}

struct Addressing(Vec<&'static str>);

impl Addressing {
    fn start(&mut self, (): (), _cx: &Context) -> Result<Foreach<Tensor>> {
        Ok(Foreach::only(self.0.clone(), model(1.0)))
    }
    fn average(&mut self, sum: veilflow_spec::Sum<Update>, _cx: &Context) -> Result<u64> {
        Ok(sum.total_weight())
    }
}

#[test]
fn a_cohort_that_is_too_small_is_refused_before_anything_is_sent() {
    let flow: Flow<Addressing, Site, (), u64> = Flow::new("addressed", 1)
        .start(Addressing::start)
        .foreach(Site::train)
        .quorum(1)
        .secure_join(secagg(), Addressing::average)
        .end();
    let run = |names: &[&'static str]| {
        let recorder = Recorder::new();
        let runtime = LocalRuntime::new().aggregator(Addressing(names.to_vec()));
        let runtime = runtime.collaborators(SITES, |_| Ok(Site { weight: 1, loss: 0.0 }));
        let result = runtime.observe(recorder.clone()).run(&flow, ());
        let sent = recorder.kinds().iter().any(|kind| matches!(kind, EventKind::Sent { .. }));
        (result, sent)
    };
    assert_eq!(run(&["a", "b", "c"]).0.unwrap(), 3);
    let (result, sent) = run(&["a", "b"]);
    let error = result.unwrap_err();
    assert_eq!((error.code(), sent), ("too-few-clients", false));
    assert!(error.to_string().contains("`average` cannot start"), "{error}");
    assert_eq!(run(&[]).0.unwrap_err().code(), "nobody-addressed");
}

#[test]
fn at_random_a_run_goes_on_while_enough_are_left_and_a_seed_repeats_it() {
    let sites: Vec<String> = (0..12).map(|i| format!("site-{i:02}")).collect();
    let sites: Vec<&str> = sites.iter().map(String::as_str).collect();
    // A tenth of adversaries: a threshold of 8 of 12 is enough.
    let secagg = || {
        let parameters = Parameters::new().with_max_weight(12).with_min_cohort(3);
        let parameters = parameters.with_security(Security::Malicious { adversaries: 0.1 });
        SecAgg::new(parameters.with_reconstruction_threshold(Threshold::Count(7)))
    };
    let flow: Flow<Server, Site, (), Vec<Told>> = Flow::new("random", 1)
        .start(Server::start)
        .repeat(|round| round.foreach(Site::train).quorum(7).secure_join(secagg(), Server::average))
        .end();
    let policy = || ClientPolicy::default().with_min_security(Security::Malicious { adversaries: 0.1 });
    let run = |threads| {
        let runtime = runtime(&sites, 5).policy(policy()).dropouts(0.15).threads(threads);
        runtime.run(&flow, ()).unwrap()
    };
    let told = run(1);
    assert_eq!(told, run(8), "the same are missing, and the sums are equal to the last bit");
    let lost: usize = told.iter().map(|told| told.missing.len()).sum();
    assert!(lost > 0 && told.iter().any(|told| told.survivors.len() < 12), "{told:?}");
    let error = runtime(&sites, 5).policy(policy()).dropouts(0.9).run(&flow, ()).unwrap_err();
    let RunError::BelowQuorum { missing, .. } = &error else { panic!("{error}") };
    assert!(missing.len() > 5 && error.to_string().contains("simulated"), "{error}");
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
