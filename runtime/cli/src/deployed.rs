//! An [`App`] as a flow that directors and envoys build from what a client sends.
//!
//! The flow's options travel as flags and are parsed anew at each place. What belongs to a place
//! ([`App::SITE_OPTIONS`]) comes from that place's own configuration and is refused in what a client sends.

use std::collections::{BTreeMap, BTreeSet};
use std::marker::PhantomData;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::thread;

use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};
use veilflow_engine::remote::{HostedRun, SiteSettings, SiteTasks, hosted, hosted_cbor, site_tasks};
use veilflow_federated::{Deployed, Terms};
use veilflow_spec::{FlowDescription, Name, Result, StepError};

use crate::app::{App, FlowOf};
use crate::cohort::Cohort;
use crate::config::reason;

/// Why a flow cannot be built from what a client sent and a place's own settings.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum TermsError {
    #[error("the terms are of the flow `{found}`, and this is `{expected}`")]
    OtherFlow { expected: &'static str, found: String },
    #[error("an experiment needs participants, and the terms name none")]
    Nobody,
    #[error(transparent)]
    Name(#[from] veilflow_spec::InvalidName),
    #[error("{0} is named twice among the participants: a name stands for one site")]
    Twice(Name),
    #[error("the options of `{flow}` are not as its build here has them: {reason}")]
    Options { flow: &'static str, reason: String },
    #[error("`--{flag}` {}", where_it_belongs(flow))]
    OfThePlace { flow: &'static str, flag: String },
    #[error("[flows.{flow}]: {}", crate::suggest::unknown("setting of a place called", key, known))]
    UnknownSetting { flow: &'static str, key: String, known: Vec<String> },
    #[error("[flows.{flow}] {key}: {reason}")]
    Setting { flow: &'static str, key: String, reason: String },
}

/// Where a flag that belongs to a place is set.
pub(crate) fn where_it_belongs(flow: &str) -> String {
    format!(
        "belongs to the place where the flow runs, so a client does not send it: set it under [flows.{flow}] in the \
         configuration of the director or of each envoy"
    )
}

impl TermsError {
    fn code(&self) -> &'static str {
        match self {
            TermsError::OtherFlow { .. } => "unknown-flow",
            TermsError::Nobody | TermsError::Name(_) | TermsError::Twice(_) => "invalid-participants",
            TermsError::Options { .. } => "invalid-options",
            TermsError::OfThePlace { .. } => "option-of-the-place",
            TermsError::UnknownSetting { .. } | TermsError::Setting { .. } => "invalid-settings",
        }
    }
}

fn refused(error: TermsError) -> StepError {
    StepError::with_code(error.code(), error)
}

/// An app, built from terms.
pub(crate) struct AppFlow<A>(PhantomData<fn() -> A>);

impl<A: App> AppFlow<A> {
    pub(crate) fn new() -> Self {
        Self(PhantomData)
    }

    /// The flow as all places build it: from the terms alone.
    fn flow(terms: &Terms, cohort: &Cohort) -> Result<FlowOf<A>> {
        let flow = A::flow(&options::<A>(terms, &BTreeMap::new()).map_err(refused)?, cohort)?;
        flow.check()?;
        Ok(flow)
    }
}

impl<A: App> Deployed for AppFlow<A> {
    fn name(&self) -> &str {
        A::NAME
    }

    fn about(&self) -> &str {
        A::ABOUT
    }

    fn collaborators(&self) -> Vec<Name> {
        A::collaborators()
    }

    fn check_place(&self, place: &BTreeMap<String, String>) -> Result<()> {
        settings::<A>(place).map(drop).map_err(refused)
    }

    fn describe(&self, terms: &Terms) -> Result<FlowDescription> {
        Ok(Self::flow(terms, &cohort(terms, threads()).map_err(refused)?)?.describe())
    }

    fn host(
        &self,
        terms: &Terms,
        place: &BTreeMap<String, String>,
        params: Option<&[u8]>,
    ) -> Result<Box<dyn HostedRun>> {
        let cohort = cohort(terms, threads()).map_err(refused)?;
        let flow = Self::flow(terms, &cohort)?;
        let (aggregator, own) = A::host(&options::<A>(terms, place).map_err(refused)?, &cohort)?;
        match params {
            Some(params) => hosted_cbor(flow, aggregator, params),
            None => Ok(hosted(flow, aggregator, own)),
        }
    }

    fn site(
        &self,
        terms: &Terms,
        place: &BTreeMap<String, String>,
        settings: SiteSettings,
    ) -> Result<Arc<dyn SiteTasks>> {
        let cohort = cohort(terms, settings.cpus).map_err(refused)?.with_device(settings.device);
        A::check_device(settings.device)?;
        let flow = Self::flow(terms, &cohort)?;
        // Its policy is not this site's: that stands in the site's own configuration.
        let build = A::setup(&options::<A>(terms, place).map_err(refused)?, &cohort)?.build;
        Ok(site_tasks(&flow, build, settings)?)
    }
}

/// Who takes part. The terms may come from anybody.
fn cohort(terms: &Terms, threads: usize) -> Result<Cohort, TermsError> {
    let mut seen = BTreeSet::new();
    for name in &terms.participants {
        name.validate()?;
        if !seen.insert(name) {
            return Err(TermsError::Twice(name.clone()));
        }
    }
    if seen.is_empty() {
        return Err(TermsError::Nobody);
    }
    Ok(Cohort::new(terms.participants.clone(), terms.seed, threads))
}

fn threads() -> usize {
    thread::available_parallelism().map_or(1, NonZeroUsize::get)
}

/// The app's options from the terms and a place's settings.
fn options<A: App>(terms: &Terms, place: &BTreeMap<String, String>) -> Result<A::Options, TermsError> {
    let flow = A::NAME;
    if terms.flow != flow {
        return Err(TermsError::OtherFlow { expected: flow, found: terms.flow.clone() });
    }
    let wrong = |error: &clap::Error| TermsError::Options { flow, reason: reason(error) };
    let sent = parse(command::<A>(), &terms.options).map_err(|error| wrong(&error))?;
    let of_the_place = command::<A>();
    let of_the_place = of_the_place.get_arguments().filter(|arg| is_of_the_place::<A>(arg));
    for arg in of_the_place {
        if sent.value_source(arg.get_id().as_str()) == Some(ValueSource::CommandLine) {
            return Err(TermsError::OfThePlace { flow, flag: arg.get_long().unwrap_or_default().to_owned() });
        }
    }
    let all: Vec<String> = settings::<A>(place)?.into_iter().chain(terms.options.iter().cloned()).collect();
    let matches = parse(command::<A>(), &all).map_err(|error| wrong(&error))?;
    A::Options::from_arg_matches(&matches).map_err(|error| wrong(&error))
}

/// A place's settings as flags.
fn settings<A: App>(place: &BTreeMap<String, String>) -> Result<Vec<String>, TermsError> {
    let command = command::<A>();
    let mut flags = Vec::new();
    for (key, value) in place {
        let flag = key.replace('_', "-");
        let mut own = command.get_arguments().filter(|arg| is_of_the_place::<A>(arg));
        let Some(arg) = own.find(|arg| arg.get_long() == Some(flag.as_str())) else {
            let known = A::SITE_OPTIONS.iter().map(ToString::to_string).collect();
            return Err(TermsError::UnknownSetting { flow: A::NAME, key: key.clone(), known });
        };
        let wrong = |reason| TermsError::Setting { flow: A::NAME, key: key.clone(), reason };
        let own = match (arg.get_action(), value.as_str()) {
            (ArgAction::SetTrue, "true") => format!("--{flag}"),
            (ArgAction::SetTrue, "false") => continue,
            (ArgAction::SetTrue, _) => return Err(wrong("expected true or false".to_owned())),
            _ => format!("--{flag}={value}"),
        };
        // Alone first, so that the error is about the setting.
        let alone = command.clone().mut_args(|arg| arg.required(false));
        parse(alone, std::slice::from_ref(&own)).map_err(|error| wrong(reason(&error)))?;
        flags.push(own);
    }
    Ok(flags)
}

fn command<A: App>() -> Command {
    let command =
        Command::new(A::NAME).no_binary_name(true).disable_help_flag(true).disable_version_flag(true);
    A::Options::augment_args(command)
}

fn is_of_the_place<A: App>(arg: &Arg) -> bool {
    arg.get_long().is_some_and(|long| A::SITE_OPTIONS.contains(&long))
}

fn parse(command: Command, flags: &[String]) -> Result<ArgMatches, clap::Error> {
    command.try_get_matches_from(flags)
}

#[cfg(test)]
mod tests;
