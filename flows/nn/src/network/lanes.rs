//! Sixteen images side by side: the unit in which a [`Network`](super::Network) computes.
//!
//! A pixel of an activation is one [`Lanes`]: its value in each of sixteen images. Every image then goes through the
//! same operations in the same order in a lane of its own, whatever the number of lanes that a processor's vectors have,
//! and nothing is ever shuffled. Where a batch ends within a block the lanes left over hold zeros.

use bytemuck::{Pod, Zeroable};
use pulp::{Arch, Simd, WithSimd};

/// Images of a block. As many as the widest vectors of today's processors hold; narrower ones take several turns.
pub(crate) const LANES: usize = 16;

/// One value of each image of a block, aligned to a line of the cache.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C, align(64))]
pub(crate) struct Lanes(pub(crate) [f32; LANES]);

impl Lanes {
    pub(crate) const ZERO: Self = Self([0.0; LANES]);

    /// The sum over the images, in an order that is the same on every processor: halves onto halves.
    pub(crate) fn sum(&self) -> f32 {
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = self.0;
        let [a, b, c, d, e, f, g, h] = [a + i, b + j, c + k, d + l, e + m, f + n, g + o, h + p];
        let [a, b, c, d] = [a + e, b + f, c + g, d + h];
        (a + c) + (b + d)
    }
}

/// The same memory as the vectors of an instruction set: [`turns`] of them for each [`Lanes`].
#[inline(always)]
pub(crate) fn vectors<S: Simd>(lanes: &[Lanes]) -> &[S::f32s] {
    S::as_simd_f32s(bytemuck::cast_slice(lanes)).0
}

/// [`vectors`] to write to.
#[inline(always)]
pub(crate) fn vectors_mut<S: Simd>(lanes: &mut [Lanes]) -> &mut [S::f32s] {
    S::as_mut_simd_f32s(bytemuck::cast_slice_mut(lanes)).0
}

/// How many vectors an instruction set needs for a block.
#[inline(always)]
pub(crate) const fn turns<S: Simd>() -> usize {
    LANES / S::F32_LANES
}

/// The instruction set that kernels run with: the widest that the processor has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Instructions(Arch);

impl Instructions {
    pub(crate) fn detect() -> Self {
        Self(Arch::new())
    }

    /// All that this processor has, the narrowest first.
    #[cfg(test)]
    pub(crate) fn all() -> Vec<Self> {
        let mut all = vec![Arch::Scalar];
        #[cfg(target_arch = "x86_64")]
        {
            all.extend(pulp::x86::V3::try_new().map(Arch::V3));
            all.extend(pulp::x86::V4::try_new().map(Arch::V4));
        }
        all.into_iter().map(Self).collect()
    }

    pub(crate) fn run<K: WithSimd>(self, kernel: K) -> K::Output {
        self.0.dispatch(kernel)
    }

    /// Whether there are thirty-two vector registers rather than sixteen.
    pub(crate) fn has_many_registers(self) -> bool {
        struct Width;
        impl WithSimd for Width {
            type Output = usize;
            fn with_simd<S: Simd>(self, _: S) -> usize {
                S::F32_LANES
            }
        }
        cfg!(target_arch = "aarch64") || self.run(Width) == LANES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_is_over_all_images() {
        let lanes = Lanes(std::array::from_fn(|image| (1 << image) as f32));
        assert_eq!(lanes.sum(), 65_535.0);
    }
}
