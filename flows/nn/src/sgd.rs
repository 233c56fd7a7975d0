//! Stochastic gradient descent with momentum.

use candle_core::backprop::GradStore;
use candle_core::{Tensor, Var};

use crate::{Error, Result};

/// Stochastic gradient descent with momentum, by PyTorch's rule (no dampening, no Nesterov):
///
/// ```text
/// velocity  ← momentum · velocity + gradient        (velocity ← gradient in the first step)
/// parameter ← parameter − learning_rate · velocity
/// ```
///
/// The learning rate is outside of the velocity, so that changing it acts at once.
#[derive(Debug)]
pub struct Sgd {
    learning_rate: f64,
    momentum: f64,
    /// One per parameter, in the order of the first step; empty before it.
    velocities: Vec<Tensor>,
}

impl Sgd {
    /// An optimiser at rest.
    ///
    /// # Errors
    ///
    /// Unless `learning_rate` is finite and not negative, and `momentum` in [0, 1).
    pub fn new(learning_rate: f64, momentum: f64) -> Result<Self> {
        if !(learning_rate.is_finite() && learning_rate >= 0.0) {
            let (name, expected) = ("the learning rate", "a finite number that is not negative");
            return Err(Error::Hyperparameter { name, expected, got: learning_rate });
        }
        if !(0.0..1.0).contains(&momentum) {
            let (name, expected) = ("the momentum", "at least 0 and less than 1");
            return Err(Error::Hyperparameter { name, expected, got: momentum });
        }
        Ok(Self { learning_rate, momentum, velocities: Vec::new() })
    }

    /// The learning rate.
    pub fn learning_rate(&self) -> f64 {
        self.learning_rate
    }

    /// The momentum.
    pub fn momentum(&self) -> f64 {
        self.momentum
    }

    /// Updates `parameters`, which must be the same ones in the same order at each step.
    ///
    /// # Errors
    ///
    /// If a parameter has no gradient or their number changed. Nothing is updated then.
    pub fn step(&mut self, parameters: &[Var], gradients: &GradStore) -> Result<()> {
        if !self.velocities.is_empty() && self.velocities.len() != parameters.len() {
            let expected = self.velocities.len();
            return Err(Error::Parameters { expected, got: parameters.len() });
        }
        let mut velocities = Vec::with_capacity(parameters.len());
        for (position, parameter) in parameters.iter().enumerate() {
            let gradient = gradients.get(parameter).ok_or(Error::NoGradient { position })?;
            velocities.push(match self.velocities.get(position) {
                Some(velocity) => ((velocity * self.momentum)? + gradient)?,
                None => gradient.clone(),
            });
        }
        for (parameter, velocity) in parameters.iter().zip(&velocities) {
            parameter.set(&(parameter.as_tensor() - (velocity * self.learning_rate)?)?)?;
        }
        self.velocities = velocities;
        Ok(())
    }
}
