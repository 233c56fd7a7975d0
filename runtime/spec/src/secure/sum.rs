//! What the aggregator's step behind a secure join receives.

use serde::{Deserialize, Serialize};

use crate::inputs::Missing;
use crate::name::Name;
use crate::schema::{Schema, Schemas};
use crate::secure::SecureSum;
use crate::transition::Transition;

/// The sum of what collaborators returned. No collaborator's own part can be had from it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sum<T> {
    mean: T,
    total_weight: u64,
    survivors: Vec<Name>,
    missing: Vec<Missing>,
}

impl<T> Sum<T> {
    /// A sum; a protocol calls this.
    pub fn new(
        mean: T,
        total_weight: u64,
        survivors: impl IntoIterator<Item = Name>,
        missing: impl IntoIterator<Item = Missing>,
    ) -> Self {
        let (mut survivors, mut missing): (Vec<_>, Vec<_>) =
            (survivors.into_iter().collect(), missing.into_iter().collect());
        survivors.sort();
        missing.sort_by(|one: &Missing, other| one.participant.cmp(&other.participant));
        Self { mean, total_weight, survivors, missing }
    }

    /// The mean by weight. The field that is its weight holds the [total](Self::total_weight).
    pub fn mean(&self) -> &T {
        &self.mean
    }

    /// The mean by weight, without a copy.
    pub fn into_mean(self) -> T {
        self.mean
    }

    /// The weights of all that are in the sum, together.
    pub fn total_weight(&self) -> u64 {
        self.total_weight
    }

    /// Whose parts are in the sum, in the order of the names.
    pub fn survivors(&self) -> &[Name] {
        &self.survivors
    }

    /// Those that were addressed and are not in the sum, and why, in the order of their names.
    pub fn missing(&self) -> &[Missing] {
        &self.missing
    }
}

impl<T: SecureSum> Transition for Sum<T> {
    fn transition_schema(schemas: &mut Schemas) -> Schema {
        Schema::container("Sum<", &[T::schema(schemas)], ">")
    }
}
