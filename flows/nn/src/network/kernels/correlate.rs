//! Correlation of an image with kernels: forward passes, and the gradients of inputs.
//!
//! A tile of some output channels and some pixels is kept in registers while it runs over the input channels and the
//! kernel's rows and columns. Each output is one sum, from the bias on, of fused multiplications and additions in
//! that order; the size of a tile changes no bit of it.

use std::ops::Range;

use pulp::{Simd, WithSimd};

use crate::network::kernels::pool;
use crate::network::lanes::{Instructions, Lanes, turns, vectors, vectors_mut};

/// Weights in the order in which a tile reads them: `[group of outputs][channel][row][column][output]`, with zeros for
/// the outputs that a last group lacks.
#[derive(Debug, Default)]
pub(crate) struct Packed {
    /// Outputs of a group.
    group: usize,
    outputs: usize,
    /// Channels · rows · columns.
    taps: usize,
    weights: Vec<f32>,
    bias: Vec<f32>,
}

impl Packed {
    /// For so many outputs with `taps` weights each. `tile_of_pixels` says whether a tile has several pixels: else it
    /// has more outputs.
    pub(crate) fn new(outputs: usize, taps: usize, tile_of_pixels: bool, instructions: Instructions) -> Self {
        let sizes: &[usize] = match (tile_of_pixels, instructions.has_many_registers()) {
            (true, true) => &[5, 4],
            (true, false) => &[2],
            (false, _) => &[10, 8],
        };
        // The one with the fewest zeros; of equal ones the first.
        let group = sizes.iter().copied().min_by_key(|size| outputs.next_multiple_of(*size)).unwrap_or(1);
        let padded = outputs.next_multiple_of(group);
        Self { group, outputs, taps, weights: vec![0.0; padded * taps], bias: vec![0.0; padded] }
    }

    /// `weight(output, tap)`, and the biases where there are any.
    pub(crate) fn fill(&mut self, bias: &[f32], weight: impl Fn(usize, usize) -> f32) {
        for (packed, bias) in self.bias.iter_mut().zip(bias) {
            *packed = *bias;
        }
        for output in 0..self.outputs {
            let (group, within) = (output / self.group, output % self.group);
            let start = group * self.taps * self.group + within;
            let places = self.weights[start..].iter_mut().step_by(self.group);
            for (tap, place) in places.take(self.taps).enumerate() {
                *place = weight(output, tap);
            }
        }
    }
}

/// Which rows and columns of a square kernel are visited, in which channels of an image. Distances are in pixels.
#[derive(Clone, Debug)]
pub(crate) struct Window {
    pub(crate) channels: usize,
    pub(crate) kernel: usize,
    /// From a channel of the image to the next.
    pub(crate) plane: usize,
    /// From a row of the image to the next.
    pub(crate) width: usize,
}

/// What happens to the sums.
pub(crate) enum Finish<'a> {
    /// They are the output.
    Keep,
    /// Negative ones become zero.
    Relu,
    /// The maximum of each 2×2 window is, negative ones as zero if `relu`; which one it was goes to `winners`.
    Pool { relu: bool, winners: Option<&'a mut [Lanes]> },
}

/// One correlation. Output (channel, y, x) is the sum over the window whose corner is at `first + y·stride` and
/// `x·stride` in the image.
pub(crate) struct Correlate<'a> {
    pub(crate) image: &'a [Lanes],
    pub(crate) window: Window,
    pub(crate) weights: &'a Packed,
    pub(crate) stride: usize,
    /// Where the first corner is.
    pub(crate) first: usize,
    pub(crate) output: &'a mut [Lanes],
    /// Sums of a channel, before pooling.
    pub(crate) height: usize,
    pub(crate) width: usize,
    /// Rows and columns of the image outside of which there are only zeros.
    pub(crate) content: Option<(Range<usize>, Range<usize>)>,
    pub(crate) finish: Finish<'a>,
}

impl WithSimd for Correlate<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        match self.weights.group {
            2 => self.run::<S, 2>(simd),
            4 => self.run::<S, 4>(simd),
            5 => self.run::<S, 5>(simd),
            8 => self.run::<S, 8>(simd),
            _ => self.run::<S, 10>(simd),
        }
    }
}

impl Correlate<'_> {
    #[inline(always)]
    fn run<S: Simd, const O: usize>(self, simd: S) {
        match self.finish {
            Finish::Pool { .. } => self.pooled::<S, O>(simd),
            _ if O < 8 => self.rows::<S, O>(simd),
            _ => self.pixels::<S, O>(simd),
        }
    }

    /// Two rows and two columns together, of which the largest stays.
    #[inline(always)]
    fn pooled<S: Simd, const O: usize>(mut self, simd: S) {
        let (rows, columns, turns) = (self.height / 2, self.width / 2, turns::<S>());
        let Finish::Pool { relu, winners } = &mut self.finish else { return };
        let (relu, mut winners) = (*relu, winners.take());
        let image = vectors::<S>(self.image);
        let output = vectors_mut::<S>(self.output);
        let full = 0..self.window.kernel;
        let (groups, _) = self.weights.weights.as_chunks::<O>();
        let (biases, _) = self.weights.bias.as_chunks::<O>();
        for (group, bias) in biases.iter().enumerate() {
            let weights = &groups[group * self.weights.taps..][..self.weights.taps];
            let outputs = O.min(self.weights.outputs - group * O);
            for row in 0..rows {
                for column in 0..columns {
                    for turn in 0..turns {
                        let right = self.stride * turns;
                        let below = right * self.window.width;
                        let corner = self.first + (2 * row * self.window.width + 2 * column) * self.stride;
                        let corner = corner * turns + turn;
                        let corners = [corner, corner + right, corner + below, corner + below + right];
                        let sums =
                            tile::<S, O, 4>(simd, image, corners, &self.window, &full, &full, weights, bias);
                        for (within, sums) in sums.iter().enumerate().take(outputs) {
                            let place = ((group * O + within) * rows + row) * columns + column;
                            let place = place * turns + turn;
                            let (maximum, winner) = pool::maximum(simd, sums, relu);
                            output[place] = maximum;
                            if let Some(winners) = &mut winners {
                                vectors_mut::<S>(winners)[place] = winner;
                            }
                        }
                    }
                }
            }
        }
    }

    /// Two rows and two columns together, each for itself.
    #[inline(always)]
    fn rows<S: Simd, const O: usize>(self, simd: S) {
        let (image, turns) = (vectors::<S>(self.image), turns::<S>());
        let relu = matches!(self.finish, Finish::Relu);
        let output = vectors_mut::<S>(self.output);
        let (groups, _) = self.weights.weights.as_chunks::<O>();
        let (biases, _) = self.weights.bias.as_chunks::<O>();
        for (group, bias) in biases.iter().enumerate() {
            let weights = &groups[group * self.weights.taps..][..self.weights.taps];
            let outputs = O.min(self.weights.outputs - group * O);
            for row in (0..self.height).step_by(2) {
                let rows = [row, (row + 1).min(self.height - 1)];
                let visited_rows = visited(&self.content, |(rows, _)| rows, rows, self.window.kernel);
                for column in (0..self.width).step_by(2) {
                    let columns = [column, (column + 1).min(self.width - 1)];
                    let visited_columns =
                        visited(&self.content, |(_, columns)| columns, columns, self.window.kernel);
                    // At an odd end a row or a column is computed twice, and written twice.
                    let places = [
                        (rows[0], columns[0]),
                        (rows[0], columns[1]),
                        (rows[1], columns[0]),
                        (rows[1], columns[1]),
                    ];
                    for turn in 0..turns {
                        let corners = places.map(|(row, column)| {
                            let corner = self.first + (row * self.window.width + column) * self.stride;
                            corner * turns + turn
                        });
                        let sums = tile::<S, O, 4>(
                            simd,
                            image,
                            corners,
                            &self.window,
                            &visited_rows,
                            &visited_columns,
                            weights,
                            bias,
                        );
                        for (within, sums) in sums.iter().enumerate().take(outputs) {
                            for ((row, column), sum) in places.iter().zip(sums) {
                                let place = (group * O + within) * self.height + row;
                                let place = (place * self.width + column) * turns + turn;
                                output[place] = if relu { pool::relu(simd, *sum) } else { *sum };
                            }
                        }
                    }
                }
            }
        }
    }

    /// One pixel by itself, as a fully connected layer has.
    #[inline(always)]
    fn pixels<S: Simd, const O: usize>(self, simd: S) {
        let (image, turns) = (vectors::<S>(self.image), turns::<S>());
        let relu = matches!(self.finish, Finish::Relu);
        let output = vectors_mut::<S>(self.output);
        let full = 0..self.window.kernel;
        let (groups, _) = self.weights.weights.as_chunks::<O>();
        let (biases, _) = self.weights.bias.as_chunks::<O>();
        let pixels = self.height * self.width;
        for (group, bias) in biases.iter().enumerate() {
            let weights = &groups[group * self.weights.taps..][..self.weights.taps];
            let outputs = O.min(self.weights.outputs - group * O);
            for pixel in 0..pixels {
                let (row, column) = (pixel / self.width, pixel % self.width);
                let corner = self.first + (row * self.window.width + column) * self.stride;
                for turn in 0..turns {
                    let corners = [corner * turns + turn];
                    let sums =
                        tile::<S, O, 1>(simd, image, corners, &self.window, &full, &full, weights, bias);
                    for (within, [sum]) in sums.iter().enumerate().take(outputs) {
                        let place = ((group * O + within) * pixels + pixel) * turns + turn;
                        output[place] = if relu { pool::relu(simd, *sum) } else { *sum };
                    }
                }
            }
        }
    }
}

/// Those rows (or columns) of the kernel under which something other than zeros can lie, for corners at these two.
#[inline(always)]
fn visited(
    content: &Option<(Range<usize>, Range<usize>)>,
    pick: impl Fn(&(Range<usize>, Range<usize>)) -> &Range<usize>,
    [first, last]: [usize; 2],
    kernel: usize,
) -> Range<usize> {
    let Some(content) = content else { return 0..kernel };
    let content = pick(content);
    let start = content.start.saturating_sub(last).min(kernel);
    start..content.end.saturating_sub(first).clamp(start, kernel)
}

/// The sums of `O` outputs at `P` corners, which are in vectors.
#[expect(
    clippy::too_many_arguments,
    reason = "the innermost loop has its operands in registers, not in a struct"
)]
#[inline(always)]
fn tile<S: Simd, const O: usize, const P: usize>(
    simd: S,
    image: &[S::f32s],
    corners: [usize; P],
    window: &Window,
    rows: &Range<usize>,
    columns: &Range<usize>,
    weights: &[[f32; O]],
    bias: &[f32; O],
) -> [[S::f32s; P]; O] {
    let turns = turns::<S>();
    let mut sums = bias.map(|bias| [simd.splat_f32s(bias); P]);
    for channel in 0..window.channels {
        for row in rows.clone() {
            let first = (channel * window.plane + row * window.width) * turns;
            let weights = &weights[(channel * window.kernel + row) * window.kernel..];
            for (column, weights) in columns.clone().zip(&weights[columns.start..]) {
                let at = first + column * turns;
                let pixels = corners.map(|corner| image[corner + at]);
                for (sums, weight) in sums.iter_mut().zip(weights) {
                    let weight = simd.splat_f32s(*weight);
                    for (sum, pixel) in sums.iter_mut().zip(&pixels) {
                        *sum = simd.mul_add_f32s(weight, *pixel, *sum);
                    }
                }
            }
        }
    }
    sums
}
