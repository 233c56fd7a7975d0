//! Adam.

use super::{check_learning_rate, check_lengths, check_part, check_weight_decay};
use crate::Result;

/// Adam (Kingma and Ba, ICLR 2015, algorithm 1), with weight decay as PyTorch's `Adam` has it:
///
/// ```text
/// gradient  ← gradient + weight_decay · parameter
/// mean      ← β₁ · mean + (1 − β₁) · gradient
/// square    ← β₂ · square + (1 − β₂) · gradient²
/// parameter ← parameter − learning_rate · (mean / (1 − β₁ᵗ)) / (√(square / (1 − β₂ᵗ)) + ε)
/// ```
///
/// β₁ = 0.9, β₂ = 0.999 and ε = 10⁻⁸ unless it is said.
#[derive(Clone, Debug)]
pub struct Adam {
    learning_rate: f64,
    betas: [f64; 2],
    epsilon: f64,
    weight_decay: f64,
    steps: i32,
    /// One per parameter; empty before the first step.
    mean: Vec<f32>,
    square: Vec<f32>,
}

impl Adam {
    /// An optimizer at rest, without weight decay.
    ///
    /// # Errors
    ///
    /// Unless `learning_rate` is finite and not negative.
    pub fn new(learning_rate: f64) -> Result<Self> {
        check_learning_rate(learning_rate)?;
        let (mean, square) = (Vec::new(), Vec::new());
        Ok(Self {
            learning_rate,
            betas: [0.9, 0.999],
            epsilon: 1e-8,
            weight_decay: 0.0,
            steps: 0,
            mean,
            square,
        })
    }

    /// β₁ and β₂: how much of the past stays in the two averages.
    ///
    /// # Errors
    ///
    /// Unless both are in [0, 1).
    pub fn with_betas(mut self, betas: [f64; 2]) -> Result<Self> {
        betas.into_iter().try_for_each(|beta| check_part("each beta", beta))?;
        self.betas = betas;
        Ok(self)
    }

    /// Pulls every parameter towards zero.
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

    /// Updates `parameters` by their `gradient`.
    ///
    /// # Errors
    ///
    /// If there is not one value of the gradient for each parameter, or the number of parameters changed since the first
    /// step. Nothing is updated then.
    pub fn step(&mut self, parameters: &mut [f32], gradient: &[f32]) -> Result<()> {
        check_lengths("Adam::step", parameters, gradient, &self.mean)?;
        self.mean.resize(parameters.len(), 0.0);
        self.square.resize(parameters.len(), 0.0);
        self.steps = self.steps.saturating_add(1);
        let [first, second] = self.betas;
        // In f64, once a step: the powers are close to 1.
        let correction = |beta: f64| 1.0 - libm::pow(beta, f64::from(self.steps));
        let rate = (self.learning_rate / correction(first)) as f32;
        let root = libm::sqrt(correction(second)) as f32;
        let [decay, epsilon] = [self.weight_decay, self.epsilon].map(|value| value as f32);
        let (first, second, new_first, new_second) =
            (first as f32, second as f32, (1.0 - first) as f32, (1.0 - second) as f32);
        let averages = self.mean.iter_mut().zip(&mut self.square);
        for ((parameter, gradient), (mean, square)) in parameters.iter_mut().zip(gradient).zip(averages) {
            let gradient = gradient + decay * *parameter;
            *mean = first * *mean + new_first * gradient;
            *square = second * *square + new_second * gradient * gradient;
            *parameter -= rate * *mean / (square.sqrt() / root + epsilon);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The algorithm as it is printed, in f64.
    #[test]
    fn follows_the_paper() {
        let mut x = [1.0_f32, -3.0];
        let mut adam = Adam::new(0.1).unwrap().with_weight_decay(0.01).unwrap();
        let (mut expected, mut m, mut v) = ([1.0_f64, -3.0], [0.0; 2], [0.0; 2]);
        for t in 1..=20 {
            let gradient = x.map(|x| 2.0 * x);
            adam.step(&mut x, &gradient).unwrap();
            for i in 0..2 {
                let g = 2.0 * expected[i] + 0.01 * expected[i];
                m[i] = 0.9 * m[i] + 0.1 * g;
                v[i] = 0.999 * v[i] + 0.001 * g * g;
                let (mean, square) = (m[i] / (1.0 - 0.9_f64.powi(t)), v[i] / (1.0 - 0.999_f64.powi(t)));
                expected[i] -= 0.1 * mean / (square.sqrt() + 1e-8);
                assert!((f64::from(x[i]) - expected[i]).abs() < 1e-5, "step {t}: {} {}", x[i], expected[i]);
            }
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        assert!(Adam::new(-1.0).is_err());
        assert!(Adam::new(0.1).unwrap().with_betas([0.9, 1.0]).is_err());
        assert!(Adam::new(0.1).unwrap().step(&mut [1.0], &[]).is_err());
    }
}
