//! Stochastic gradient descent with momentum.

use candle_core::{Tensor, Var};

use crate::element::{Element, check_element_types, with_element, with_elements};
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

    /// Updates `parameters` by their `gradients`. They must be the same parameters in the same order at each step.
    ///
    /// # Errors
    ///
    /// If there is not one gradient of the same shape and type per parameter, or the number of parameters
    /// changed. Nothing is updated then.
    pub fn step(&mut self, parameters: &[Var], gradients: &[Tensor]) -> Result<()> {
        self.check(parameters, gradients)?;
        if self.velocities.is_empty() {
            self.velocities = gradients.to_vec();
        } else {
            for (velocity, gradient) in self.velocities.iter_mut().zip(gradients) {
                let momentum = self.momentum;
                *velocity = scale_and_add(velocity, momentum, gradient, 1.0)?;
            }
        }
        for (parameter, velocity) in parameters.iter().zip(&self.velocities) {
            parameter.set(&scale_and_add(parameter, 1.0, velocity, -self.learning_rate)?)?;
        }
        Ok(())
    }

    fn check(&self, parameters: &[Var], gradients: &[Tensor]) -> Result<()> {
        let operation = "Sgd::step";
        let size = |what, expected, got| Err(Error::Size { operation, what, expected, got });
        if parameters.len() != gradients.len() {
            return size("the number of gradients (the parameters)", parameters.len(), gradients.len());
        }
        if !self.velocities.is_empty() && self.velocities.len() != parameters.len() {
            let what = "the number of parameters (those of the first step)";
            return size(what, self.velocities.len(), parameters.len());
        }
        for (number, (parameter, gradient)) in parameters.iter().zip(gradients).enumerate() {
            check_element_types(operation, &[parameter, gradient])?;
            let velocity = self.velocities.get(number).unwrap_or(gradient);
            for got in [gradient, velocity] {
                if got.dims() != parameter.dims() {
                    let (expected, got) = (parameter.dims().to_vec(), got.dims().to_vec());
                    return Err(Error::Shape { operation, number, expected, got });
                }
            }
        }
        Ok(())
    }
}

/// `a · x + b · y`, element by element, on this thread: candle's own operators use a pool for large tensors.
fn scale_and_add(x: &Tensor, a: f64, y: &Tensor, b: f64) -> Result<Tensor> {
    fn compute<T: Element>(x: &[T], a: f64, y: &[T], b: f64) -> Vec<T> {
        let (a, b) = (T::from_f64(a), T::from_f64(b));
        x.iter().zip(y).map(|(x, y)| a * *x + b * *y).collect()
    }
    let sum = with_element!("Sgd::step", x.dtype(), T => {
        let values = with_elements([x, y], |[x, y]| compute::<T>(x, a, y, b))?;
        Tensor::from_vec(values, x.shape(), x.device())
    });
    Ok(sum?)
}
