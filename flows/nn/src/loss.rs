//! Negative log-likelihood.

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp1, Layout, Shape, Tensor, WithDType};

use crate::candles::{self, Operations};
use crate::element::{Element, check_element_types, elements, with_element};
use crate::{Error, Result};

const OPERATION: &str = "nll_loss";

/// The mean over the batch of minus the log-probability of each example's own class.
///
/// `log_probabilities` is `[batch, classes]`, `targets` has one class per example; the result is a scalar.
///
/// # Errors
///
/// If the lengths differ, the batch is empty or a target is not a class.
pub fn nll_loss(log_probabilities: &Tensor, targets: &[u32]) -> Result<Tensor> {
    nll_loss_by(Operations::on(log_probabilities.device()), log_probabilities, targets)
}

pub(crate) fn nll_loss_by(
    operations: Operations,
    log_probabilities: &Tensor,
    targets: &[u32],
) -> Result<Tensor> {
    let loss = NegativeLogLikelihood::new(log_probabilities, targets)?;
    Ok(match operations {
        Operations::Ours => log_probabilities.contiguous()?.apply_op1(loss)?,
        Operations::Candles => candles::nll_loss(log_probabilities, targets)?,
    })
}

struct NegativeLogLikelihood {
    targets: Vec<usize>,
    classes: usize,
}

impl NegativeLogLikelihood {
    /// Checks the arguments.
    fn new(log_probabilities: &Tensor, targets: &[u32]) -> Result<Self> {
        check_element_types(OPERATION, &[log_probabilities])?;
        let &[batch, classes] = log_probabilities.dims() else {
            let got = log_probabilities.dims().to_vec();
            return Err(Error::Rank {
                operation: OPERATION,
                argument: "log_probabilities",
                expected: 2,
                got,
            });
        };
        if batch == 0 || classes == 0 {
            return Err(Error::Empty { operation: OPERATION, argument: "log_probabilities" });
        }
        if targets.len() != batch {
            let what = "the number of targets (the batch)";
            return Err(Error::Size { operation: OPERATION, what, expected: batch, got: targets.len() });
        }
        if let Some(example) = targets.iter().position(|target| *target as usize >= classes) {
            return Err(Error::Target { example, target: targets[example], classes });
        }
        Ok(Self { targets: targets.iter().map(|target| *target as usize).collect(), classes })
    }

    fn forward<T: Element>(&self, log_probabilities: &[T]) -> T {
        let rows = log_probabilities.chunks_exact(self.classes).zip(&self.targets);
        let sum = rows.fold(T::ZERO, |sum, (row, target)| sum - row[*target]);
        sum / T::from_f64(self.targets.len() as f64)
    }

    fn backward<T: Element>(&self, loss_gradient: T) -> Vec<T> {
        let share = T::ZERO - loss_gradient / T::from_f64(self.targets.len() as f64);
        let mut gradient = vec![T::ZERO; self.targets.len() * self.classes];
        for (row, target) in gradient.chunks_exact_mut(self.classes).zip(&self.targets) {
            row[*target] = share;
        }
        gradient
    }
}

impl CustomOp1 for NegativeLogLikelihood {
    fn name(&self) -> &'static str {
        OPERATION
    }

    fn cpu_fwd(&self, input: &CpuStorage, layout: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        let loss = with_element!(OPERATION, input.dtype(), T => {
            Ok(T::to_cpu_storage_owned(vec![self.forward::<T>(elements(input, layout)?)]))
        })?;
        Ok((loss, ().into()))
    }

    fn bwd(
        &self,
        input: &Tensor,
        _loss: &Tensor,
        loss_gradient: &Tensor,
    ) -> candle_core::Result<Option<Tensor>> {
        with_element!(OPERATION, input.dtype(), T => {
            let gradient = self.backward::<T>(loss_gradient.to_scalar()?);
            Ok(Some(Tensor::from_vec(gradient, input.shape(), input.device())?))
        })
    }
}
