//! What of an aggregator outlasts its process.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::Result;

/// An aggregator that can be hosted durably: what it has learned is saved after each of its steps, and a later process
/// goes on from there.
///
/// An aggregator that is `Clone`, `Serialize` and `Deserialize` has it already. One with parts that cannot be saved, such
/// as a data set, says what can:
///
/// ```
/// use veilflow_spec::{Checkpoint, Result};
///
/// struct Server {
///     model: Vec<f32>,
///     test_set: std::fs::File,
/// }
///
/// impl Checkpoint for Server {
///     type Saved = Vec<f32>;
///
///     fn save(&self) -> Option<Vec<f32>> {
///         Some(self.model.clone())
///     }
///
///     fn restore(&mut self, model: Vec<f32>) -> Result<()> {
///         self.model = model;
///         Ok(())
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "the aggregator `{Self}` cannot be hosted durably",
    label = "nothing says what of it is saved",
    note = "derive `Clone`, `Serialize` and `Deserialize`, or implement `Checkpoint` and say what outlasts the process"
)]
pub trait Checkpoint {
    /// What is saved.
    type Saved: Serialize + DeserializeOwned;

    /// All that later steps need and that a fresh aggregator does not have. Called after each of its steps.
    ///
    /// None where it is in the middle of what cannot be saved: a later process then goes on from the last step after which
    /// it could, and runs the steps since then again over what the collaborators answered. They must do the same again.
    fn save(&self) -> Option<Self::Saved>;

    /// Puts a freshly built aggregator where the saved one was.
    ///
    /// # Errors
    /// What was saved does not fit this aggregator.
    fn restore(&mut self, saved: Self::Saved) -> Result<()>;
}

#[diagnostic::do_not_recommend]
impl<A: Clone + Serialize + DeserializeOwned> Checkpoint for A {
    type Saved = A;

    fn save(&self) -> Option<A> {
        Some(self.clone())
    }

    fn restore(&mut self, saved: A) -> Result<()> {
        *self = saved;
        Ok(())
    }
}
