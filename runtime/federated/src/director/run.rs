//! One experiment's run, on a thread of its own.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use veilflow_engine::RunError;
use veilflow_engine::remote::Hosting;
use veilflow_spec::{Missing, Name, StepError};

use super::core::Core;
use super::courier::ExperimentCourier;
use super::experiment::{Experiment, ExperimentLog};
use crate::experiment::{Outcome, State};
use crate::journal::JournalError;
use crate::wire::Refusal;

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
enum Failure {
    /// It was over before it began.
    #[error("it is over")]
    Over,
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error("the aggregator could not be built: {0}")]
    NotBuilt(StepError),
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error(transparent)]
    Run(#[from] RunError),
    #[error("the run panicked: {0}")]
    Panicked(String),
}

impl Failure {
    fn code(&self) -> &'static str {
        match self {
            Failure::Over => StepError::CANCELLED_CODE,
            Failure::Refused(refusal) => refusal.code(),
            Failure::NotBuilt(_) => "aggregator-not-built",
            Failure::Journal(error) => error.code(),
            Failure::Run(error) => error.code(),
            Failure::Panicked(_) => "internal",
        }
    }

    fn missing(&self) -> Vec<Missing> {
        match self {
            Failure::Run(RunError::BelowQuorum { missing, .. } | RunError::SecureSession { missing, .. }) => {
                missing.clone()
            }
            _ => Vec::new(),
        }
    }

    fn culprits(&self) -> Vec<Name> {
        match self {
            Failure::Run(error) => error.culprits(),
            _ => Vec::new(),
        }
    }
}

/// Runs an experiment to its end, or until the director goes. Blocks.
pub(super) fn run(core: &Arc<Core>, experiment: &Arc<Experiment>, reason: &str) {
    let ended = catch_unwind(AssertUnwindSafe(|| host(core, experiment, reason)));
    let ended = ended.unwrap_or_else(|panic| Err(Failure::Panicked(text(&*panic))));
    if core.is_closing() && !experiment.state().is_over() {
        // It goes on where it is when the director is back; its envoys keep what they have.
        return;
    }
    match ended {
        Ok(report) => {
            let (code, error) = (String::new(), String::new());
            let (missing, culprits) = (Vec::new(), Vec::new());
            let outcome = Outcome { state: State::Finished, code, error, missing, culprits };
            experiment.finish(outcome, "its report is there", Some(&report));
        }
        Err(failure) => {
            let outcome = Outcome {
                state: State::Failed,
                code: failure.code().to_owned(),
                error: failure.to_string(),
                missing: failure.missing(),
                culprits: failure.culprits(),
            };
            let reason = outcome.error.clone();
            experiment.finish(outcome, &reason, None);
        }
    }
    core.parts.envoys.end(&experiment.id);
}

/// Ends an experiment that cannot even run. Blocks.
pub(super) fn fail(experiment: &Experiment, code: &str, error: String) {
    let reason = error.clone();
    let (code, state) = (code.to_owned(), State::Failed);
    let outcome = Outcome { state, code, error, missing: Vec::new(), culprits: Vec::new() };
    experiment.finish(outcome, &reason, None);
}

fn host(core: &Arc<Core>, experiment: &Arc<Experiment>, reason: &str) -> Result<Vec<u8>, Failure> {
    if !experiment.run(reason)? {
        return Err(Failure::Over);
    }
    let summary = experiment.summary();
    let terms = Arc::new(summary.terms.clone());
    let params = experiment.journal.params()?;
    let place = core.place(&terms.flow);
    let hosted = core.flow(&terms)?.host(&terms, &place, params.as_deref()).map_err(Failure::NotBuilt)?;
    drop(params);
    if hosted.fingerprint() != summary.fingerprint {
        let (director, yours) = (hosted.fingerprint(), summary.fingerprint);
        return Err(Refusal::FlowMismatch { flow: terms.flow.clone(), director, yours }.into());
    }
    let history = experiment.history()?;
    let envoys = Arc::clone(&core.parts.envoys);
    let log = Arc::new(ExperimentLog { experiment: Arc::clone(experiment), envoys: Arc::clone(&envoys) });
    let courier = ExperimentCourier {
        id: experiment.id,
        terms: Arc::clone(&terms),
        fingerprint: summary.fingerprint,
        envoys,
        log: Arc::clone(&core.parts.log),
    };
    let report = hosted.run(Hosting {
        participants: terms.participants.clone(),
        courier: Arc::new(courier),
        log: Arc::clone(&log) as _,
        history,
        seed: terms.seed,
        device: core.parts.device,
        identities: Arc::clone(&core.parts.identities),
        sessions: experiment.journal.sessions(),
        observers: vec![log],
        site_events: experiment.site_events.clone(),
        canceller: experiment.canceller().clone(),
    })?;
    Ok(report)
}

fn text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "without a text".to_owned())
}
