//! The parameters of a layer.

use std::ops::Range;

use super::kernels::Packed;

/// Where a layer's parameters are among the network's, and what its passes read them from.
#[derive(Debug)]
pub(super) struct Weights {
    pub(super) weight: Range<usize>,
    /// Empty where there is none.
    pub(super) bias: Range<usize>,
    pub(super) forward: Packed,
    /// For the gradient of the input, where somebody needs it.
    pub(super) backward: Option<Packed>,
}

impl Weights {
    /// Puts changed parameters in the order in which the kernels read them: the place in the layer's weight of
    /// `(output, tap)` on the way there, and of `(input, tap)` on the way back.
    pub(super) fn pack(
        &mut self,
        parameters: &[f32],
        forward: impl Fn(usize, usize) -> usize,
        backward: impl Fn(usize, usize) -> usize,
    ) {
        let weight = &parameters[self.weight.clone()];
        self.forward.fill(&parameters[self.bias.clone()], |output, tap| weight[forward(output, tap)]);
        if let Some(packed) = &mut self.backward {
            packed.fill(&[], |input, tap| weight[backward(input, tap)]);
        }
    }
}
