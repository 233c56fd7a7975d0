//! The gradient of a fully connected layer's weights.

use pulp::{Simd, WithSimd};

use crate::network::lanes::LANES;

/// Adds to each weight the sum over the images of the block, in their order, of the output's gradient times the input.
///
/// Here vectors run over the inputs, with the images one after the other: summing each weight over its lanes would take
/// longer than the products.
pub(crate) struct LinearGradient<'a> {
    /// `[image][input]`
    pub(crate) inputs: &'a [f32],
    /// `[image][output]`
    pub(crate) gradients: &'a [f32],
    /// `[output][input]`
    pub(crate) weights: &'a mut [f32],
}

/// Outputs whose sums are kept in registers together.
const OUTPUTS: usize = 4;

impl WithSimd for LinearGradient<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (inputs, outputs) = (self.inputs.len() / LANES, self.gradients.len() / LANES);
        if inputs == 0 {
            return;
        }
        for (group, rows) in self.weights.chunks_mut(inputs * OUTPUTS).enumerate() {
            let first = group * OUTPUTS;
            for start in (0..inputs).step_by(S::F32_LANES) {
                let end = inputs.min(start + S::F32_LANES);
                let mut sums = [simd.splat_f32s(0.0); OUTPUTS];
                for image in 0..LANES {
                    let pixels = &self.inputs[image * inputs..][start..end];
                    let pixels = simd.partial_load_f32s(pixels);
                    let gradients = &self.gradients[image * outputs..][..outputs];
                    for (within, sum) in sums.iter_mut().enumerate() {
                        // The last group may name one output more than once.
                        let gradient = simd.splat_f32s(gradients[(first + within).min(outputs - 1)]);
                        *sum = simd.mul_add_f32s(gradient, pixels, *sum);
                    }
                }
                for (row, sum) in rows.chunks_exact_mut(inputs).zip(sums) {
                    let weights = &mut row[start..end];
                    let total = simd.add_f32s(simd.partial_load_f32s(weights), sum);
                    simd.partial_store_f32s(weights, total);
                }
            }
        }
    }
}
