//! Maxima of windows, and the way back to the one pixel that each was taken from.

use pulp::{Simd, WithSimd};

use crate::network::lanes::{Lanes, turns, vectors, vectors_mut};

/// The winner where none is: the maximum was not positive, and a ReLU follows.
pub(crate) const NO_WINNER: f32 = -1.0;

/// The larger of two, or the second where it is not a number, and which of them it was.
#[inline(always)]
pub(crate) fn larger<S: Simd>(
    simd: S,
    (maximum, winner): (S::f32s, S::f32s),
    value: S::f32s,
    number: usize,
) -> (S::f32s, S::f32s) {
    // Where the value is not a number the comparison does not hold, and it wins.
    let stays = simd.less_than_or_equal_f32s(value, maximum);
    // A maximum that is not a number stays, too.
    let ordered = simd.equal_f32s(maximum, maximum);
    let number = simd.splat_f32s(number as f32);
    let next = (simd.select_f32s(stays, maximum, value), simd.select_f32s(stays, winner, number));
    (simd.select_f32s(ordered, next.0, maximum), simd.select_f32s(ordered, next.1, winner))
}

/// The maximum of a window's values in reading order, the first of equal ones, and its number.
#[inline(always)]
pub(crate) fn maximum<S: Simd, const P: usize>(
    simd: S,
    values: &[S::f32s; P],
    relu: bool,
) -> (S::f32s, S::f32s) {
    let mut found = (values[0], simd.splat_f32s(0.0));
    for (number, value) in values.iter().enumerate().skip(1) {
        found = larger(simd, found, *value, number);
    }
    if relu { rectified(simd, found) } else { found }
}

#[inline(always)]
fn rectified<S: Simd>(simd: S, (maximum, winner): (S::f32s, S::f32s)) -> (S::f32s, S::f32s) {
    let zero = simd.splat_f32s(0.0);
    let off = simd.less_than_or_equal_f32s(maximum, zero);
    (simd.select_f32s(off, zero, maximum), simd.select_f32s(off, simd.splat_f32s(NO_WINNER), winner))
}

/// `max(x, 0)`; what is not a number stays.
#[inline(always)]
pub(crate) fn relu<S: Simd>(simd: S, value: S::f32s) -> S::f32s {
    let zero = simd.splat_f32s(0.0);
    simd.select_f32s(simd.less_than_or_equal_f32s(value, zero), zero, value)
}

/// The maximum of each window of `size` × `size` pixels, without overlap; pixels beyond the last whole window are left
/// out.
pub(crate) struct MaxPool<'a> {
    pub(crate) input: &'a [Lanes],
    pub(crate) planes: usize,
    pub(crate) height: usize,
    pub(crate) width: usize,
    pub(crate) size: usize,
    pub(crate) output: &'a mut [Lanes],
    /// The number of the largest in its window, in reading order.
    pub(crate) winners: &'a mut [Lanes],
}

impl WithSimd for MaxPool<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (rows, columns, turns) = (self.height / self.size, self.width / self.size, turns::<S>());
        let input = vectors::<S>(self.input);
        let (output, winners) = (vectors_mut::<S>(self.output), vectors_mut::<S>(self.winners));
        for plane in 0..self.planes {
            for row in 0..rows {
                for column in 0..columns {
                    let corner = (plane * self.height + row * self.size) * self.width + column * self.size;
                    let place = (plane * rows + row) * columns + column;
                    for turn in 0..turns {
                        let mut found = (input[corner * turns + turn], simd.splat_f32s(0.0));
                        for number in 1..self.size * self.size {
                            let at = corner + number / self.size * self.width + number % self.size;
                            found = larger(simd, found, input[at * turns + turn], number);
                        }
                        output[place * turns + turn] = found.0;
                        winners[place * turns + turn] = found.1;
                    }
                }
            }
        }
    }
}

/// ReLU by itself.
pub(crate) struct Rectify<'a> {
    pub(crate) input: &'a [Lanes],
    pub(crate) output: &'a mut [Lanes],
}

impl WithSimd for Rectify<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let output = vectors_mut::<S>(self.output);
        for (output, input) in output.iter_mut().zip(vectors::<S>(self.input)) {
            *output = relu(simd, *input);
        }
    }
}
