//! Learning rates that change while a model trains.

use crate::{Error, Result};

/// How the learning rate changes from step to step, or from epoch to epoch: what is counted is the caller's choice.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Schedule {
    /// It stays.
    Constant,
    /// It is multiplied by `factor` after each `every` steps.
    Step {
        /// Steps between two changes, at least 1.
        every: u32,
        /// What it is multiplied by.
        factor: f64,
    },
    /// It falls along half a cosine from its start to zero at `steps`, and stays there (Loshchilov and Hutter, ICLR
    /// 2017, without restarts).
    Cosine {
        /// Steps until it is zero, at least 1.
        steps: u32,
    },
    /// It rises in a straight line to its start during the first `steps`, and stays there.
    WarmUp {
        /// Steps until it has risen, at least 1.
        steps: u32,
    },
}

impl Schedule {
    /// The rate at a step, counted from 0, of a rate that starts at `start`.
    ///
    /// # Errors
    ///
    /// If a number of steps is zero.
    pub fn rate(&self, start: f64, step: u32) -> Result<f64> {
        let steps = |name, steps: u32| match steps {
            0 => Err(Error::Hyperparameter { name, expected: "at least 1", got: 0.0 }),
            steps => Ok(steps),
        };
        Ok(match *self {
            Self::Constant => start,
            Self::Step { every, factor } => {
                let times = step / steps("the number of steps between two changes", every)?;
                start * libm::pow(factor, f64::from(times))
            }
            Self::Cosine { steps: until } => {
                let until = steps("the number of steps of a cosine", until)?;
                let part = f64::from(step.min(until)) / f64::from(until);
                start * 0.5 * (1.0 + libm::cos(std::f64::consts::PI * part))
            }
            Self::WarmUp { steps: until } => {
                let until = steps("the number of steps of a warm-up", until)?;
                start * f64::from(step.saturating_add(1).min(until)) / f64::from(until)
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_where_they_should_be() {
        let rates = |schedule: Schedule, steps: &[u32]| -> Vec<f64> {
            steps.iter().map(|step| schedule.rate(0.8, *step).unwrap()).collect()
        };
        assert_eq!(rates(Schedule::Constant, &[0, 1000]), [0.8, 0.8]);
        assert_eq!(rates(Schedule::Step { every: 10, factor: 0.5 }, &[0, 9, 10, 29]), [0.8, 0.8, 0.4, 0.2]);
        let cosine = rates(Schedule::Cosine { steps: 10 }, &[0, 5, 10, 99]);
        for (got, expected) in cosine.iter().zip([0.8, 0.4, 0.0, 0.0]) {
            assert!((got - expected).abs() < 1e-12);
        }
        assert_eq!(rates(Schedule::WarmUp { steps: 4 }, &[0, 1, 3, 50]), [0.2, 0.4, 0.8, 0.8]);
        assert!(Schedule::Cosine { steps: 0 }.rate(0.1, 0).is_err());
    }
}
