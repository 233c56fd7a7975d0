//! Stochastic gradient descent with momentum.

use candle_core::{Tensor, Var};

use super::{check_learning_rate, check_lengths, check_part, check_weight_decay};
use crate::{Error, Result};

/// Stochastic gradient descent with momentum and weight decay, by PyTorch's rule (no dampening, no Nesterov):
///
/// ```text
/// gradient  ← gradient + weight_decay · parameter
/// velocity  ← momentum · velocity + gradient        (velocity ← gradient in the first step)
/// parameter ← parameter − learning_rate · velocity
/// ```
///
/// The learning rate is outside of the velocity, so that changing it acts at once.
#[derive(Clone, Debug)]
pub struct Sgd {
    learning_rate: f64,
    momentum: f64,
    weight_decay: f64,
    /// One per parameter; empty before the first step.
    velocity: Vec<f32>,
    /// The same of parameters on a device.
    velocities: Vec<Tensor>,
}

impl Sgd {
    /// An optimizer at rest, without weight decay.
    ///
    /// # Errors
    ///
    /// Unless `learning_rate` is finite and not negative, and `momentum` in [0, 1).
    pub fn new(learning_rate: f64, momentum: f64) -> Result<Self> {
        check_learning_rate(learning_rate)?;
        check_part("the momentum", momentum)?;
        let (velocity, velocities) = (Vec::new(), Vec::new());
        Ok(Self { learning_rate, momentum, weight_decay: 0.0, velocity, velocities })
    }

    /// Pulls every parameter towards zero by this part of itself and of the learning rate in each step.
    ///
    /// # Errors
    ///
    /// Unless it is finite and not negative.
    pub fn with_weight_decay(mut self, weight_decay: f64) -> Result<Self> {
        check_weight_decay(weight_decay)?;
        self.weight_decay = weight_decay;
        Ok(self)
    }

    /// Changes the learning rate from the next step on.
    ///
    /// # Errors
    ///
    /// Unless it is finite and not negative.
    pub fn set_learning_rate(&mut self, learning_rate: f64) -> Result<()> {
        check_learning_rate(learning_rate)?;
        self.learning_rate = learning_rate;
        Ok(())
    }

    /// The learning rate.
    pub fn learning_rate(&self) -> f64 {
        self.learning_rate
    }

    /// The momentum.
    pub fn momentum(&self) -> f64 {
        self.momentum
    }

    /// Updates `parameters` by their `gradient`.
    ///
    /// # Errors
    ///
    /// If there is not one value of the gradient for each parameter, or the number of parameters changed since the first
    /// step. Nothing is updated then.
    pub fn step(&mut self, parameters: &mut [f32], gradient: &[f32]) -> Result<()> {
        check_lengths("Sgd::step", parameters, gradient, &self.velocity)?;
        let [rate, momentum, decay] =
            [self.learning_rate, self.momentum, self.weight_decay].map(|value| value as f32);
        let is_first = self.velocity.is_empty();
        self.velocity.resize(parameters.len(), 0.0);
        let momentum = if is_first { 0.0 } else { momentum };
        for ((parameter, gradient), velocity) in parameters.iter_mut().zip(gradient).zip(&mut self.velocity) {
            *velocity = momentum * *velocity + (gradient + decay * *parameter);
            *parameter -= rate * *velocity;
        }
        Ok(())
    }

    /// Updates `parameters` by their `gradients`, where they are.
    ///
    /// # Errors
    ///
    /// If there is not one gradient of the same shape for each parameter, or other parameters than in the first step, before
    /// anything is updated; if the device fails.
    pub fn step_tensors(&mut self, parameters: &[Var], gradients: &[Tensor]) -> Result<()> {
        const OPERATION: &str = "Sgd::step_tensors";
        let is_first = self.velocities.is_empty();
        let velocities = if is_first { gradients } else { &self.velocities };
        for (what, got) in [
            ("the number of gradients (the parameters)", gradients.len()),
            ("the number of parameters of the first step (those given)", velocities.len()),
        ] {
            if got != parameters.len() {
                return Err(Error::Size { operation: OPERATION, what, expected: parameters.len(), got });
            }
        }
        for (number, parameter) in parameters.iter().enumerate() {
            for other in [&gradients[number], &velocities[number]] {
                if other.dims() != parameter.dims() {
                    let (expected, got) = (parameter.dims().to_vec(), other.dims().to_vec());
                    return Err(Error::Shape { operation: OPERATION, number, expected, got });
                }
            }
        }
        let mut moved = Vec::with_capacity(parameters.len());
        for ((parameter, gradient), velocity) in parameters.iter().zip(gradients).zip(velocities) {
            let (value, mut pull) = (parameter.as_detached_tensor(), gradient.clone());
            if self.weight_decay != 0.0 {
                pull = (pull + (&value * self.weight_decay)?)?;
            }
            if !is_first {
                pull = (pull + (velocity * self.momentum)?)?;
            }
            parameter.set(&(value - (&pull * self.learning_rate)?)?)?;
            moved.push(pull);
        }
        self.velocities = moved;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    /// Minimising x² from 1: gradients 2x, the rule by hand.
    #[test]
    fn follows_pytorch_s_rule() {
        for decay in [0.0, 0.1] {
            let mut x = [1.0_f32];
            let mut sgd = Sgd::new(0.1, 0.5).unwrap().with_weight_decay(decay).unwrap();
            let (mut expected, mut velocity) = (1.0_f64, 0.0);
            for _ in 0..5 {
                let gradient = [2.0 * x[0]];
                sgd.step(&mut x, &gradient).unwrap();
                velocity = 0.5 * velocity + 2.0 * expected + decay * expected;
                expected -= 0.1 * velocity;
                assert!((f64::from(x[0]) - expected).abs() < 1e-6);
            }
        }
    }

    #[test]
    fn what_does_not_fit_is_refused_and_changes_nothing() {
        assert!(Sgd::new(f64::NAN, 0.5).is_err());
        assert!(Sgd::new(-0.1, 0.5).is_err());
        assert!(Sgd::new(0.1, 1.0).is_err());
        assert!(Sgd::new(0.1, 0.5).unwrap().with_weight_decay(-1.0).is_err());
        let (mut sgd, mut x) = (Sgd::new(0.1, 0.5).unwrap(), [1.0, 2.0]);
        assert_eq!(
            sgd.step(&mut x, &[1.0]).unwrap_err().to_string(),
            "Sgd::step: the length of the gradient (the parameters) must be 2, got 1"
        );
        assert_eq!(x, [1.0, 2.0]);
        sgd.step(&mut x, &[1.0, 1.0]).unwrap();
        assert!(sgd.step(&mut x[..1], &[1.0]).is_err());
        assert!(sgd.set_learning_rate(f64::INFINITY).is_err());

        let tensor = |values: &[f32]| Tensor::new(values, &Device::Cpu).unwrap();
        let parameters = [Var::from_tensor(&tensor(&[1.0, 2.0])).unwrap()];
        assert!(matches!(sgd.step_tensors(&parameters, &[]), Err(Error::Size { .. })));
        assert!(matches!(sgd.step_tensors(&parameters, &[tensor(&[1.0])]), Err(Error::Shape { .. })));
        sgd.step_tensors(&parameters, &[tensor(&[1.0, 1.0])]).unwrap();
        assert!(matches!(sgd.step_tensors(&[], &[]), Err(Error::Size { .. })));
        assert_eq!(parameters[0].to_vec1::<f32>().unwrap(), [0.9, 1.9]);
    }
}
