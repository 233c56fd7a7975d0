//! Update rules: how parameters follow their gradient.
//!
//! Each works on the flat parameters of a [`Network`](crate::Network), and [`Sgd`] on those of a
//! [`DeviceNetwork`](crate::DeviceNetwork) too; the state that it keeps between steps belongs to
//! one network. Learning rates may change from step to step by a [`Schedule`].

mod adam;
mod schedule;
mod sgd;

pub use adam::Adam;
pub use schedule::Schedule;
pub use sgd::Sgd;

use crate::{Error, Result};

fn check_learning_rate(learning_rate: f64) -> Result<()> {
    if learning_rate.is_finite() && learning_rate >= 0.0 {
        return Ok(());
    }
    let (name, expected) = ("the learning rate", "a finite number that is not negative");
    Err(Error::Hyperparameter { name, expected, got: learning_rate })
}

fn check_part(name: &'static str, got: f64) -> Result<()> {
    if (0.0..1.0).contains(&got) {
        return Ok(());
    }
    Err(Error::Hyperparameter { name, expected: "at least 0 and less than 1", got })
}

fn check_weight_decay(weight_decay: f64) -> Result<()> {
    if weight_decay.is_finite() && weight_decay >= 0.0 {
        return Ok(());
    }
    let (name, expected) = ("the weight decay", "a finite number that is not negative");
    Err(Error::Hyperparameter { name, expected, got: weight_decay })
}

/// One gradient for each parameter, and as many as in the first step (`state`, empty before it).
fn check_lengths(operation: &'static str, parameters: &[f32], gradient: &[f32], state: &[f32]) -> Result<()> {
    let size = |what, expected, got| Err(Error::Size { operation, what, expected, got });
    if parameters.len() != gradient.len() {
        return size("the length of the gradient (the parameters)", parameters.len(), gradient.len());
    }
    if !state.is_empty() && state.len() != parameters.len() {
        return size("the number of parameters (those of the first step)", state.len(), parameters.len());
    }
    Ok(())
}
