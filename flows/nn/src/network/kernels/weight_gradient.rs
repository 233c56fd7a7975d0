//! The gradient of a convolution's weights.

use pulp::{Simd, WithSimd};

use crate::network::kernels::Window;
use crate::network::lanes::{Lanes, turns, vectors, vectors_mut};

/// Adds to each weight the sum, over the pixels of the sums' gradient and the images of the block, of the gradient times
/// the pixel that the weight met there: first the pixels in reading order for each image, then the images.
pub(crate) struct WeightGradient<'a> {
    pub(crate) image: &'a [Lanes],
    pub(crate) window: Window,
    pub(crate) stride: usize,
    /// Of the sums: value (output, y, x) is at `output · plane + first + (y · row + x) · step`.
    pub(crate) gradient: &'a [Lanes],
    pub(crate) plane: usize,
    pub(crate) row: usize,
    pub(crate) step: usize,
    pub(crate) first: usize,
    pub(crate) height: usize,
    pub(crate) width: usize,
    pub(crate) outputs: usize,
    /// `[output][channel][row][column]`
    pub(crate) weights: &'a mut [f32],
}

impl WithSimd for WeightGradient<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        // As many sums as registers hold beside their operands.
        match (turns::<S>() == 1, self.outputs.is_multiple_of(5)) {
            (true, true) => self.run::<S, 5, 5>(simd),
            (true, false) => self.run::<S, 4, 5>(simd),
            (false, _) => self.run::<S, 2, 5>(simd),
        }
    }
}

impl WeightGradient<'_> {
    #[inline(always)]
    fn run<S: Simd, const O: usize, const T: usize>(self, simd: S) {
        let (window, turns) = (&self.window, turns::<S>());
        let (image, gradient) = (vectors::<S>(self.image), vectors::<S>(self.gradient));
        let per_channel = window.kernel * window.kernel;
        let taps = window.channels * per_channel;
        // Where a weight's pixel lies from the corner. The last group may name one tap more than once.
        let place = |tap: usize| {
            let tap = tap.min(taps - 1);
            let (row, column) = (tap % per_channel / window.kernel, tap % window.kernel);
            (tap / per_channel * window.plane + row * window.width + column) * turns
        };
        for output in (0..self.outputs).step_by(O) {
            let planes: [usize; O] = std::array::from_fn(|within| {
                ((output + within).min(self.outputs - 1) * self.plane + self.first) * turns
            });
            for tap in (0..taps).step_by(T) {
                let places: [usize; T] = std::array::from_fn(|within| place(tap + within));
                let mut lanes = [[Lanes::ZERO; T]; O];
                for turn in 0..turns {
                    let mut sums = [[simd.splat_f32s(0.0); T]; O];
                    for row in 0..self.height {
                        let gradient = &gradient[row * self.row * self.step * turns + turn..];
                        let image = &image[row * window.width * self.stride * turns + turn..];
                        for column in 0..self.width {
                            let at = column * self.step * turns;
                            let gradients = planes.map(|plane| gradient[plane + at]);
                            let at = column * self.stride * turns;
                            for (within, place) in places.iter().enumerate() {
                                let pixel = image[place + at];
                                for (sums, gradient) in sums.iter_mut().zip(&gradients) {
                                    sums[within] = simd.mul_add_f32s(*gradient, pixel, sums[within]);
                                }
                            }
                        }
                    }
                    for (lanes, sums) in lanes.iter_mut().zip(&sums) {
                        for (lanes, sum) in lanes.iter_mut().zip(sums) {
                            vectors_mut::<S>(std::slice::from_mut(lanes))[turn] = *sum;
                        }
                    }
                }
                let weights = self.weights.chunks_exact_mut(taps).skip(output);
                for (weights, lanes) in weights.zip(&lanes) {
                    for (weight, lanes) in weights[tap..].iter_mut().zip(lanes) {
                        *weight += lanes.sum();
                    }
                }
            }
        }
    }
}
