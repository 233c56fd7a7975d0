//! Secure joins: dropouts before each step, restarts, several joins, and what leaves a site.

use serde::{Deserialize, Serialize};
use veilflow::prelude::*;
use veilflow_engine::{EventKind, SecAgg};
use veilflow_secagg::{ClientPolicy, Parameters, Security, Threshold};

use super::{Parts, Runtime};

/// What a site returns, and in a mean what all returned.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Message, SecureSum)]
pub(crate) struct Update {
    #[secure_sum(shape = [2, 2])]
    pub(crate) values: Tensor,
    #[secure_sum(weight)]
    pub(crate) weight: u64,
    pub(crate) loss: f64,
}

/// What the aggregator was told in a round.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Message)]
pub(crate) struct Told {
    pub(crate) mean: Update,
    pub(crate) survivors: Vec<Name>,
    pub(crate) missing: Vec<String>,
}

/// An aggregator that goes through so many rounds.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Server {
    pub(crate) rounds: u32,
    pub(crate) told: Vec<Told>,
}

/// A site of a weight.
pub(crate) struct Site {
    pub(crate) weight: u64,
    pub(crate) loss: f64,
}

pub(crate) fn model(value: f32) -> Tensor {
    Tensor::new([2, 2], vec![value; 4]).unwrap()
}

impl Server {
    pub(crate) fn new(rounds: u32) -> Self {
        Self { rounds, told: Vec::new() }
    }

    pub(crate) fn start(&mut self, (): (), _cx: &Context) -> Result<Foreach<Tensor>> {
        Ok(Foreach::all(model(0.25)))
    }

    pub(crate) fn note(&mut self, sum: Sum<Update>) {
        let missing = sum.missing().iter().map(ToString::to_string).collect();
        self.told.push(Told { mean: sum.mean().clone(), survivors: sum.survivors().to_vec(), missing });
    }

    pub(crate) fn first(&mut self, sum: Sum<Update>, _cx: &Context) -> Result<Foreach<Tensor>> {
        self.note(sum);
        Ok(Foreach::all(model(0.5)))
    }

    pub(crate) fn average(
        &mut self,
        sum: Sum<Update>,
        cx: &Context,
    ) -> Result<Loop<Foreach<Tensor>, Vec<Told>>> {
        self.note(sum);
        match cx.loops().last() {
            Some(turn) if turn + 1 < self.rounds => Ok(Loop::Again(Foreach::all(model(0.25)))),
            _ => Ok(Loop::Done(std::mem::take(&mut self.told))),
        }
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

impl Site {
    pub(crate) fn train(&mut self, model: &Tensor, cx: &Context) -> Result<Update> {
        cx.metric("weight", self.weight as f64);
        cx.note(format_args!("patient 17 weighs {}", self.weight));
        let values = model.values().iter().map(|value| value * self.weight as f32).collect();
        Ok(Update { values: Tensor::new([2, 2], values)?, weight: self.weight, loss: self.loss })
    }
}

pub(crate) fn parameters() -> Parameters {
    Parameters::new().with_max_weight(10).with_reconstruction_threshold(Threshold::Count(3))
}

pub(crate) fn secagg() -> SecAgg {
    SecAgg::new(parameters())
}

/// Trains for as many rounds as the server wants, and needs 3.
pub(crate) fn flow() -> Flow<Server, Site, (), Vec<Told>> {
    Flow::new("secure", 1)
        .start(Server::start)
        .repeat(|round| round.foreach(Site::train).quorum(3).secure_join(secagg(), Server::average))
        .end()
}

/// Two secure joins a round.
pub(crate) fn two_joins() -> Flow<Server, Site, (), Vec<Told>> {
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

/// The site `a` has the weight 1, `b` 2, and so on.
fn parts(names: &[&str], rounds: u32) -> Parts<Server, Site> {
    Parts::new(
        names,
        move || Server::new(rounds),
        |name| {
            let weight = u64::from(name.as_str().bytes().next().unwrap_or_default() - b'a') + 1;
            Ok(Site { weight, loss: weight as f64 / 8.0 })
        },
    )
}

const SITES: [&str; 4] = ["a", "b", "c", "d"];
/// The steps at a site, the flow's own among the protocol's.
const STEPS: [&str; 8] = [
    "generate_keys",
    "freeze_roster",
    "share_keys",
    "receive_shares",
    "train",
    "mask",
    "check_consistency",
    "unmask",
];

pub(crate) fn one_of_four_may_drop_out_at_any_step(runtime: &impl Runtime) {
    for step in STEPS {
        let told = runtime.run(&flow(), parts(&SITES, 2).drop_out("b", step), ()).report();
        for told in &told {
            let survives = ["check_consistency", "unmask"].contains(&step);
            let (total, squares) = if survives { (10, 30.0) } else { (8, 26.0) };
            assert_eq!(told.survivors.len(), if survives { 4 } else { 3 }, "{step}");
            assert_eq!(told.mean.weight, total, "{step}");
            let off = told.mean.values.values()[0] - 0.25 * squares / total as f32;
            assert!(off.abs() < 1e-4, "{step}");
            let name = if step == "train" { "train".to_owned() } else { format!("average.{step}") };
            let missing = format!("b: dropped out before step `{name}` (simulated)");
            assert_eq!(told.missing, if survives { vec![] } else { vec![missing] }, "{step}");
        }
        assert_eq!(told.len(), 2, "who dropped out takes part again");
    }
}

pub(crate) fn below_the_threshold_the_error_names_who_is_missing_since_when(runtime: &impl Runtime) {
    for step in STEPS {
        let parts = parts(&SITES, 1).drop_out("a", "generate_keys").drop_out("d", step);
        let failed = runtime.run(&flow(), parts, ()).failed();
        let names: Vec<_> = failed.missing.iter().map(|missing| missing.participant.as_str()).collect();
        assert_eq!((failed.code.as_str(), names.as_slice()), ("below-quorum", &["a", "d"][..]), "{step}");
        assert!(failed.text.contains("`average."), "{}", failed.text);
    }
}

pub(crate) fn two_secure_joins_in_one_loop_are_apart(runtime: &impl Runtime) {
    let flow = two_joins();
    let told = runtime.run(&flow, parts(&SITES, 2), ()).report();
    let means: Vec<_> = told.iter().map(|told| (told.mean.values.values()[0] * 100.0).round()).collect();
    assert_eq!(means, [75.0, 150.0, 75.0, 150.0]);
    let told = runtime.run(&flow, parts(&SITES, 1).drop_out("b", "first.mask"), ()).report();
    assert_eq!(told.iter().map(|told| told.missing.len()).collect::<Vec<_>>(), [1, 0]);
}

pub(crate) fn nested_loops_mask_a_new_input_at_each_turn(runtime: &impl Runtime) {
    let flow: Flow<Server, Site, (), Vec<Told>> = Flow::new("nested", 1)
        .start(Server::start)
        .repeat(|epoch| {
            epoch
                .repeat(|round| round.foreach(Site::train).quorum(3).secure_join(secagg(), Server::average))
                .then(Server::again)
        })
        .end();
    let ran = runtime.run(&flow, parts(&SITES, 2), ());
    assert_eq!(ran.missing(), [], "no session is refused as old, no input as masked before");
    assert_eq!(ran.report().len(), 4, "two turns of two turns");
}

pub(crate) fn an_input_that_cannot_be_summed_tells_its_code_and_no_more(runtime: &impl Runtime) {
    for (weight, loss, code) in
        [(0, 0.5, "weight-zero"), (11, 0.5, "weight-above-maximum"), (3, f64::NAN, "scalar-not-finite")]
    {
        let parts = Parts::new(
            &SITES,
            || Server::new(1),
            move |name| {
                let odd = name.as_str() == "b";
                Ok(if odd { Site { weight, loss } } else { Site { weight: 3, loss: 0.5 } })
            },
        );
        let ran = runtime.run(&flow(), parts, ());
        let expected = format!("step `average.mask` failed: {code} (the text stays at the site)");
        assert_eq!(ran.missing(), [("b".to_owned(), expected)]);
        let told = format!("{:?}", ran.events);
        assert!(!told.contains("patient 17") && told.contains("masked"), "{told}");
        ran.report();
    }
}

/// Nobody is assumed to help the server, so that a sum of few is possible: five of six must answer, or three of four.
const SECURITY: Security = Security::Malicious { adversaries: 0.0 };

pub(crate) fn a_setup_that_fails_is_started_again_without_those_it_lost(runtime: &impl Runtime) {
    let parameters = Parameters::new().with_max_weight(10).with_security(SECURITY);
    let flow: Flow<Server, Site, (), Vec<Told>> = Flow::new("restarting", 1)
        .start(Server::start)
        .repeat(|round| {
            round.foreach(Site::train).quorum(3).secure_join(SecAgg::new(parameters), Server::average)
        })
        .end();
    let policy = ClientPolicy::default().with_min_security(SECURITY);
    let parts = Parts { policy, ..parts(&["a", "b", "c", "d", "e", "f"], 2) };
    let ran = runtime.run(&flow, parts.drop_out("b", "share_keys").drop_out("e", "share_keys"), ());
    let restarts = ran.events.iter().filter(|kind| matches!(kind, EventKind::Restarted { .. })).count();
    assert_eq!(restarts, 2, "once a round");
    for told in ran.report() {
        assert_eq!(told.survivors.iter().map(Name::as_str).collect::<String>(), "acdf");
        assert_eq!((told.mean.weight, told.missing.len()), (1 + 3 + 4 + 6, 2));
    }
}
