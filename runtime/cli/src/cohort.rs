//! Who takes part in a run.

use std::collections::BTreeMap;

use veilflow_spec::{Device, Name};

/// Who takes part in a run, and what the command line said that every flow shares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cohort {
    names: Vec<Name>,
    /// The place of each name, since with ten thousand of them everybody asks for its own.
    places: BTreeMap<Name, usize>,
    seed: u64,
    threads: usize,
    device: Device,
}

impl Cohort {
    /// A cohort of `names`, in the order of the command line, that computes on the processor.
    pub fn new(names: Vec<Name>, seed: u64, threads: usize) -> Self {
        let places = names.iter().cloned().zip(0..).collect();
        Self { names, places, seed, threads, device: Device::Cpu }
    }

    /// The same cohort on another device.
    #[must_use]
    pub fn with_device(mut self, device: Device) -> Self {
        self.device = device;
        self
    }

    /// The collaborators, in the order in which the command line named them. The runtime itself goes by the
    /// order of their names.
    pub fn names(&self) -> &[Name] {
        &self.names
    }

    /// How many collaborators there are.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether there is none; the command line refuses that.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// The place of `name` in [`names`](Self::names): which shard of a data set is its own, say.
    pub fn index_of(&self, name: &Name) -> Option<usize> {
        self.places.get(name).copied()
    }

    /// The seed of the run.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// The number of processors that the collaborators share.
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// The device on which the collaborators compute.
    pub fn device(&self) -> Device {
        self.device
    }
}

/// `count` names whose order is the order of their numbers: `collaborator-01`, `collaborator-02`, …
pub(crate) fn numbered(count: usize) -> Vec<Name> {
    let width = count.to_string().len();
    (1..=count).map(|number| Name::from(format!("collaborator-{number:0width$}"))).collect()
}
