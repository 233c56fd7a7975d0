//! The collaborators of a LocalRuntime: the in-process port.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use veilflow_spec::graph::Close;
use veilflow_spec::{Cause, Name, Provided, Result};

use super::provisions::Places;
use super::resources::{Pool, Resources};
use crate::error::RunError;
use crate::port::{Arrived, Port, Task};
use crate::site::{Site, State, Work, Workplace};

/// A site, and what it has.
struct Place<C> {
    site: Arc<Site<C>>,
    resources: Resources,
    /// What it has for secure joins, from its first step on.
    provided: OnceLock<Provided>,
}

pub(super) struct Sites<C> {
    names: Vec<Name>,
    sites: BTreeMap<Name, Place<C>>,
    pool: Pool,
    places: Places,
    workplace: Arc<Workplace>,
}

impl<C> Sites<C> {
    pub(super) fn new(
        collaborators: Vec<(Name, State<C>)>,
        resources: &BTreeMap<Name, Resources>,
        pool: Pool,
        shared: impl FnOnce(&[Name]) -> Result<(Workplace, Places), RunError>,
    ) -> Result<Self, RunError> {
        let mut sites = BTreeMap::new();
        for (name, state) in collaborators {
            name.validate()?;
            let resources = resources.get(&name).copied().unwrap_or_default();
            check_resources(&name, resources, &pool)?;
            let place = Place { site: Site::new(state), resources, provided: OnceLock::new() };
            if sites.insert(name.clone(), place).is_some() {
                return Err(RunError::DuplicateCollaborator { name });
            }
        }
        if sites.is_empty() {
            return Err(RunError::NoCollaborators);
        }
        let names: Vec<_> = sites.keys().cloned().collect();
        if let Some(name) = resources.keys().find(|name| !sites.contains_key(*name)) {
            return Err(RunError::unknown("`resources`", name, &names));
        }
        let (workplace, places) = shared(&names)?;
        Ok(Self { names, sites, pool, places, workplace: Arc::new(workplace) })
    }

    pub(super) fn len(&self) -> usize {
        self.names.len()
    }

    pub(super) fn all(&self) -> &[Name] {
        &self.names
    }

    /// What the aggregator's place provides.
    pub(super) fn aggregator_place(&self) -> Provided {
        self.places.aggregator()
    }
}

fn check_resources(name: &Name, resources: Resources, pool: &Pool) -> Result<(), RunError> {
    let too_few = |resource, asked, available| {
        Err(RunError::TooFewResources { name: name.clone(), resource, asked, available })
    };
    let share = resources.device_share();
    if resources.processors() > pool.cpus() {
        return too_few("the processors", resources.processors() as f64, pool.cpus() as f64);
    }
    if !(0.0..=1.0).contains(&share) {
        return too_few("the device", share, 1.0);
    }
    Ok(())
}

impl<C: Send + 'static> Port<C> for Sites<C> {
    fn names(&self) -> &[Name] {
        &self.names
    }

    async fn perform(&self, task: Task<C>) -> Result<Arrived, Cause> {
        let Some(place) = self.sites.get(&task.name) else { return Err(Cause::Busy) };
        let mut borrowed = place.site.borrow().ok_or(Cause::Busy)?;
        // Held by the one who waits, not by the task: a task that is cut off makes room for others.
        let _held = self.pool.acquire(place.resources).await.ok_or(Cause::Cancelled)?;
        let provided = place.provided.get_or_init(|| self.places.site(&task.name)).clone();
        let (workplace, cpus) = (Arc::clone(&self.workplace), place.resources.processors());
        let running = tokio::task::spawn_blocking(move || {
            let work = Work {
                name: &task.name,
                steps: &task.steps,
                loops: &task.key.loops,
                payload: task.payload,
                cpus,
                provided,
                cancellation: &task.cancellation,
            };
            workplace.run(&mut borrowed, work)
        });
        running.await.unwrap_or(Err(Cause::Cancelled)).map(Arrived::Value)
    }

    fn close(&self, _join: &Arc<str>, close: &Close) {
        self.sites.values().for_each(|place| place.site.close(close));
    }
}
