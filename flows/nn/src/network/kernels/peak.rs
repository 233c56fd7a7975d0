//! What the processor can do at best.

use pulp::{Simd, WithSimd};

/// Sums at once: enough to keep the multipliers busy while each waits for its last result.
const SUMS: usize = 12;

/// Nothing but fused multiplications and additions in registers.
pub(crate) struct Peak {
    pub(crate) rounds: usize,
}

impl WithSimd for Peak {
    /// Operations, two for each lane of each, and a value that depends on all of them.
    type Output = (u64, f32);

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> (u64, f32) {
        // All different, or the compiler would compute one for all.
        let mut sums: [S::f32s; SUMS] = std::array::from_fn(|number| simd.splat_f32s(number as f32));
        let (factor, term) = (simd.splat_f32s(1.0 - 1e-6), simd.splat_f32s(1e-6));
        for _ in 0..self.rounds {
            for sum in &mut sums {
                *sum = simd.mul_add_f32s(*sum, factor, term);
            }
        }
        let total = sums.into_iter().reduce(|a, b| simd.add_f32s(a, b));
        let total = total.map_or(0.0, |total| simd.reduce_sum_f32s(total));
        (2 * (self.rounds * SUMS * S::F32_LANES) as u64, total)
    }
}
