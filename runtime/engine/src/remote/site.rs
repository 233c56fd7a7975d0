//! A site's half of a run: whole tasks, addressed by their place in the graph.

use std::sync::Arc;

use veilflow_spec::graph::{Block, Close, CollaboratorNode, Fan, Graph, Part, Payload, Secure};
use veilflow_spec::{
    Cancellation, Cause, Fingerprint, Flow, Message, Name, Provided, Report, Result, StepError,
};

use super::courier::TaskKey;
use super::{Pieces, SiteSettings, SiteTasks};
use crate::cohort;
use crate::dropouts::Dropouts;
use crate::error::RunError;
use crate::event::Stream;
use crate::site::{Site, State, Work, Workplace};

/// A site's half of `flow`. `build` builds its participant when it first runs a step, and again after a panic.
///
/// # Errors
/// What is wrong with the flow, the names or the simulated dropouts.
pub fn site_tasks<A, C, P, R>(
    flow: &Flow<A, C, P, R>,
    build: impl Fn(&Name) -> Result<C> + Send + Sync + 'static,
    settings: SiteSettings,
) -> Result<Arc<dyn SiteTasks>, RunError>
where
    A: 'static,
    C: Send + 'static,
    P: Message,
    R: Report,
{
    flow.check()?;
    let names = cohort::sorted(settings.participants)?;
    if names.binary_search(&settings.name).is_err() {
        return Err(RunError::unknown("the run of this site", &settings.name, &names));
    }
    let random = (settings.dropouts, settings.seed);
    let description = flow.describe();
    let dropouts = Dropouts::new(&names, settings.drop, random, (&description, flow.graph().blocks()))?;
    let confidential = flow.graph().confidential();
    let stream = Stream::new(confidential, vec![settings.crossing], vec![settings.observer]);
    Ok(Arc::new(RemoteSite {
        graph: Arc::clone(flow.graph()),
        fingerprint: flow.fingerprint(),
        name: settings.name,
        cpus: settings.cpus.max(1),
        provided: settings.provided,
        site: Site::new(State::Unbuilt(Arc::new(build))),
        workplace: Workplace {
            dropouts,
            seed: settings.seed,
            device: settings.device,
            stream: Arc::new(stream),
        },
    }))
}

struct RemoteSite<A, C> {
    graph: Arc<Graph<A, C>>,
    fingerprint: Fingerprint,
    name: Name,
    cpus: usize,
    provided: Provided,
    site: Arc<Site<C>>,
    workplace: Workplace,
}

impl<A: 'static, C: Send + 'static> SiteTasks for RemoteSite<A, C> {
    fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    fn confidential(&self) -> bool {
        self.graph.confidential()
    }

    fn perform(
        &self,
        task: &TaskKey,
        setup: Option<Pieces>,
        message: Pieces,
        cancellation: &Cancellation,
    ) -> Result<Vec<u8>, Cause> {
        let Some((fan, secure)) = find(self.graph.blocks(), &task.path, None) else {
            let text = format!("the flow has no fan-out at {}", task.path);
            return Err(Cause::Declined { code: "unknown-task".to_owned(), text });
        };
        let (Some(first), Some(last)) = (fan.task().first(), fan.task().last()) else {
            return Err(Cause::Cancelled);
        };
        let payload = received((fan, secure), first, setup, message).map_err(|error| {
            let text = format!("what came for {} is no message of this flow: {error}", task.path);
            Cause::Declined { code: error.code().to_owned(), text }
        })?;
        let mut borrowed = self.site.borrow().ok_or(Cause::Busy)?;
        let work = Work {
            name: &self.name,
            steps: fan.task(),
            loops: &task.loops,
            payload,
            cpus: self.cpus,
            provided: self.provided.clone(),
            cancellation,
        };
        let value = self.workplace.run(&mut borrowed, work)?;
        last.output().encode(&*value).map_err(|error| {
            let text = (!self.confidential()).then(|| error.to_string());
            Cause::Failed { step: last.info().name.to_string(), code: error.code().to_owned(), text }
        })
    }

    fn close(&self, join: &str) {
        if let Some(close) = close_of(self.graph.blocks(), join) {
            self.site.close(close);
        }
    }
}

/// What a task starts from: a message, or in the task in which a secure join's input is made the message and what the
/// setup has for the site.
fn received<A, C>(
    (fan, secure): (&Fan<A, C>, Option<&Secure<A, C>>),
    first: &CollaboratorNode<C>,
    setup: Option<Pieces>,
    message: Pieces,
) -> Result<Payload> {
    let codec = first.input().ok_or_else(|| StepError::msg("a collaborator's step without an input"))?;
    match (fan.part(), secure, setup) {
        (Part::Inputs, Some(secure), Some(setup)) => {
            let setup = Box::new(Payload::Owned(codec.decode(setup)?));
            Ok(Payload::Entering { setup, message: secure.decode_message(message)? })
        }
        (Part::Flow | Part::Setup | Part::Unmasking, _, None) => Ok(Payload::Owned(codec.decode(message)?)),
        _ => Err(StepError::with_code("unexpected-setup", "a task with what belongs to another one")),
    }
}

type Found<'a, A, C> = (&'a Fan<A, C>, Option<&'a Secure<A, C>>);

/// The fan-out at a path, and the secure join that it is part of.
fn find<'a, A, C>(
    blocks: &'a [Block<A, C>],
    path: &str,
    within: Option<&'a Secure<A, C>>,
) -> Option<Found<'a, A, C>> {
    blocks.iter().find_map(|block| match block {
        Block::Step(_) => None,
        Block::Fan(fan) => (**fan.path() == *path).then_some((fan, within)),
        Block::Secure(secure) => find(secure.blocks(), path, Some(secure)),
        Block::Repeat(repeat) => find(repeat.body(), path, within),
        Block::Branch(fork) => find(fork.yes(), path, within).or_else(|| find(fork.no(), path, within)),
    })
}

/// How the site's role in the secure join at a path is closed.
fn close_of<'a, A, C>(blocks: &'a [Block<A, C>], path: &str) -> Option<&'a Close> {
    blocks.iter().find_map(|block| match block {
        Block::Step(_) | Block::Fan(_) => None,
        Block::Secure(secure) => (**secure.path() == *path).then(|| secure.close_client()),
        Block::Repeat(repeat) => close_of(repeat.body(), path),
        Block::Branch(fork) => close_of(fork.yes(), path).or_else(|| close_of(fork.no(), path)),
    })
}
