//! From the gradient of an output back to that of the sums that it was made from.

use pulp::{Simd, WithSimd};

use crate::network::lanes::{Lanes, turns, vectors, vectors_mut};

/// Which sums a gradient goes to.
#[derive(Clone, Copy)]
pub(crate) enum Gate<'a> {
    /// To the one it belongs to.
    Open,
    /// To the one it belongs to, where the output is positive.
    Positive(&'a [Lanes]),
    /// To the winner of each window of `size` × `size`, where there is one.
    Winner {
        /// From the forward pass.
        winners: &'a [Lanes],
        /// Side of a window.
        size: usize,
    },
}

/// Writes the gradient of the sums. Sum (plane, y, x) goes to `plane · target_plane + first + (y · target_width + x) ·
/// stride` of the target; what lies between and around stays as it is.
pub(crate) struct Spread<'a> {
    pub(crate) gradient: &'a [Lanes],
    pub(crate) gate: Gate<'a>,
    pub(crate) planes: usize,
    /// Of the gradient.
    pub(crate) height: usize,
    pub(crate) width: usize,
    pub(crate) target: &'a mut [Lanes],
    pub(crate) target_plane: usize,
    pub(crate) target_width: usize,
    pub(crate) first: usize,
    pub(crate) stride: usize,
    /// Of each plane, to which the sum of its gradients is added: the gradient of its bias. Empty where there is none.
    pub(crate) sums: &'a mut [f32],
}

impl WithSimd for Spread<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (turns, zero) = (turns::<S>(), simd.splat_f32s(0.0));
        let gradient = vectors::<S>(self.gradient);
        let target = vectors_mut::<S>(self.target);
        let size = if let Gate::Winner { size, .. } = self.gate { size } else { 1 };
        for plane in 0..self.planes {
            let mut lanes = Lanes::ZERO;
            for turn in 0..turns {
                let mut sum = zero;
                for row in 0..self.height {
                    for column in 0..self.width {
                        let place = ((plane * self.height + row) * self.width + column) * turns + turn;
                        let corner = row * size * self.target_width + column * size;
                        let corner = plane * self.target_plane + self.first + corner * self.stride;
                        let mut value = gradient[place];
                        match self.gate {
                            Gate::Open => target[corner * turns + turn] = value,
                            Gate::Positive(output) => {
                                let off = simd.less_than_or_equal_f32s(vectors::<S>(output)[place], zero);
                                value = simd.select_f32s(off, zero, value);
                                target[corner * turns + turn] = value;
                            }
                            Gate::Winner { winners, size } => {
                                let winner = vectors::<S>(winners)[place];
                                for number in 0..size * size {
                                    let at = number / size * self.target_width + number % size;
                                    let at = (corner + at * self.stride) * turns + turn;
                                    let won = simd.equal_f32s(winner, simd.splat_f32s(number as f32));
                                    target[at] = simd.select_f32s(won, value, zero);
                                }
                                let none = simd.less_than_f32s(winner, zero);
                                value = simd.select_f32s(none, zero, value);
                            }
                        }
                        sum = simd.add_f32s(sum, value);
                    }
                }
                vectors_mut::<S>(std::slice::from_mut(&mut lanes))[turn] = sum;
            }
            if let Some(total) = self.sums.get_mut(plane) {
                *total += lanes.sum();
            }
        }
    }
}
