//! The flow suite: what every runtime must do, generic over the runtime.
//!
//! A runtime's test program includes this module, implements [`Runtime`] and calls `suite!` with a value of it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed test panics")]

pub(crate) mod control;
pub(crate) mod faults;
pub(crate) mod secure;
pub(crate) mod seen;

use std::sync::Arc;

use veilflow_engine::EventKind;
use veilflow_secagg::ClientPolicy;
use veilflow_spec::{Checkpoint, Flow, Message, Missing, Name, Report, Result};

/// Something that runs flows.
pub(crate) trait Runtime {
    /// Runs a flow with these participants.
    fn run<A, C, P, R>(&self, flow: &Flow<A, C, P, R>, parts: Parts<A, C>, params: P) -> Ran<R>
    where
        A: Checkpoint + Send + Sync + 'static,
        C: Send + 'static,
        P: Message,
        R: Report;
}

/// How a participant is built at its site.
pub(crate) type Build<C> = Arc<dyn Fn(&Name) -> Result<C> + Send + Sync>;

/// Who takes part, and how.
pub(crate) struct Parts<A, C> {
    pub(crate) aggregator: Arc<dyn Fn() -> A + Send + Sync>,
    pub(crate) names: Vec<Name>,
    pub(crate) build: Build<C>,
    pub(crate) seed: u64,
    pub(crate) drop: Vec<(Name, String)>,
    pub(crate) dropouts: f64,
    pub(crate) policy: ClientPolicy,
}

impl<A, C> Parts<A, C> {
    pub(crate) fn new(
        names: &[&str],
        aggregator: impl Fn() -> A + Send + Sync + 'static,
        build: impl Fn(&Name) -> Result<C> + Send + Sync + 'static,
    ) -> Self {
        Self {
            aggregator: Arc::new(aggregator),
            names: names.iter().map(|name| Name::from(*name)).collect(),
            build: Arc::new(build),
            seed: 7,
            drop: Vec::new(),
            dropouts: 0.0,
            policy: ClientPolicy::default(),
        }
    }

    pub(crate) fn drop_out(mut self, name: &str, step: &str) -> Self {
        self.drop.push((name.into(), step.to_owned()));
        self
    }
}

/// How a run ended, and what the aggregator's side saw of it.
pub(crate) struct Ran<R> {
    pub(crate) outcome: Result<R, Failed>,
    pub(crate) events: Vec<EventKind>,
}

impl<R> Ran<R> {
    /// The report of a run that must have ended well.
    pub(crate) fn report(self) -> R {
        self.outcome.unwrap_or_else(|failed| panic!("{}", failed.text))
    }

    /// The error of a run that must have failed.
    pub(crate) fn failed(self) -> Failed {
        match self.outcome {
            Ok(_) => panic!("the run ended well"),
            Err(failed) => failed,
        }
    }

    /// Who was missing in any fan-out, and why, in the order of the names.
    pub(crate) fn missing(&self) -> Vec<(String, String)> {
        let mut missing: Vec<_> = self
            .events
            .iter()
            .filter_map(|kind| match kind {
                EventKind::Dropped { missing, .. } => Some(missing),
                _ => None,
            })
            .map(|missing| (missing.participant.to_string(), missing.cause.to_string()))
            .collect();
        missing.sort();
        missing
    }
}

/// Why a run failed, as every runtime can tell it.
#[derive(Debug)]
pub(crate) struct Failed {
    pub(crate) code: String,
    pub(crate) text: String,
    pub(crate) missing: Vec<Missing>,
}

impl From<veilflow_engine::RunError> for Failed {
    fn from(error: veilflow_engine::RunError) -> Self {
        Self { code: error.code().to_owned(), text: error.to_string(), missing: error.missing().to_vec() }
    }
}

/// One test for each part of the suite, on the runtime that the expression makes.
macro_rules! suite {
    ($runtime:expr) => {
        suite! { @ $runtime;
            control: a_flow_runs_to_its_report, loops_in_loops_branches_and_several_fan_outs_run_in_order,
                a_fan_out_reaches_those_it_names, a_seed_fixes_the_result_to_the_last_bit;
            faults: a_failure_and_a_panic_make_a_collaborator_missing_and_the_quorum_decides,
                below_the_quorum_the_error_names_step_round_participants_and_causes,
                an_aggregators_error_or_panic_ends_the_run_with_step_and_round,
                a_deadline_cuts_a_slow_collaborator_off_until_its_step_returns,
                a_participant_that_cannot_be_built_is_missing_and_tried_again,
                a_panic_does_not_leave_a_torn_participant, a_simulated_dropout_is_missing_at_its_step,
                a_fan_out_to_nobody_or_to_a_stranger_ends_the_run;
            seen: a_plain_flow_tells_everything_but_progress,
                in_a_confidential_flow_only_an_error_code_leaves_a_site;
            secure: one_of_four_may_drop_out_at_any_step, below_the_threshold_the_error_names_who_is_missing_since_when,
                two_secure_joins_in_one_loop_are_apart, nested_loops_mask_a_new_input_at_each_turn,
                an_input_that_cannot_be_summed_tells_its_code_and_no_more,
                a_setup_that_fails_is_started_again_without_those_it_lost;
        }
    };
    (@ $runtime:expr; $($module:ident: $($test:ident),+;)+) => {
        $($(
            #[test]
            fn $test() {
                suite::$module::$test(&$runtime);
            }
        )+)+
    };
}
