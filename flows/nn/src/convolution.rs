//! Convolution as a matrix product over unrolled patches ("im2col").
//!
//! For one image, `columns` has a row per kernel element (input channel, kernel row, kernel column) and a
//! column per output pixel. Then, with `W` as `[out, in·k·k]` and the output as `[out, pixels]`:
//!
//! - output = `W·columns` + bias
//! - weight gradient = Σ over images of `output gradient · columnsᵀ`
//! - input gradient = `Wᵀ · output gradient`, each entry added to the input pixel that it was unrolled from

use std::iter::StepBy;
use std::ops::Range;

use candle_core::{Shape, Tensor};

use crate::candles::{self, Operations};
use crate::element::{Element, check_element_types};
use crate::gemm::{Left, Matrix, Right, multiply_add};
use crate::parametric::{self, Parametric};
use crate::{Error, Result};

const OPERATION: &str = "conv2d";

/// How a kernel slides over an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sliding {
    /// Pixels from one place to the next, in either direction.
    pub(crate) stride: usize,
    /// Rows and columns of zeros on each side of the image.
    pub(crate) padding: usize,
}

/// Convolves images with square kernels.
///
/// `input` is `[batch, in, height, width]`, `weight` `[out, in, k, k]`, `bias`, if there is one, `[out]`. The kernel's places are `stride`
/// pixels apart, and the image has `padding` rows and columns of zeros on each side; the result is
/// `[batch, out, (height + 2·padding − k) / stride + 1, (width + 2·padding − k) / stride + 1]`. As everywhere in deep learning this is a
/// cross-correlation: the kernel is not mirrored.
///
/// The backward pass computes the gradient of `input` only if `input` depends on a variable, which the
/// images that a network's first layer sees do not.
///
/// # Errors
///
/// If the shapes do not fit each other, the stride is zero, or the element types are not all `f32` or all `f64`.
pub fn conv2d(
    input: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    stride: usize,
    padding: usize,
) -> Result<Tensor> {
    conv2d_by(Operations::on(input.device()), input, weight, bias, Sliding { stride, padding })
}

pub(crate) fn conv2d_by(
    operations: Operations,
    input: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    sliding: Sliding,
) -> Result<Tensor> {
    let outputs = weight.dims().first().copied().unwrap_or_default();
    match (operations, bias) {
        (Operations::Ours, Some(bias)) => parametric::apply::<Sizes>(sliding, input, weight, bias),
        (Operations::Ours, None) => {
            let none = Tensor::zeros(outputs, weight.dtype(), weight.device())?;
            parametric::apply::<Sizes>(sliding, input, weight, &none)
        }
        (Operations::Candles, bias) => {
            let bias_dims = bias.map_or(vec![outputs], |bias| bias.dims().to_vec());
            check_element_types(OPERATION, &[input, weight, bias.unwrap_or(weight)])?;
            let Sliding { stride, padding } = sliding;
            Sizes::of(sliding, input.dims(), weight.dims(), &bias_dims)?;
            Ok(candles::conv2d(input, weight, bias, stride, padding)?)
        }
    }
}

/// More rows or columns of zeros than this are a slip of the finger.
const MAX_PADDING: usize = 1 << 16;

/// A side of an image with the zeros on both its ends.
pub(crate) fn padded(operation: &'static str, side: usize, padding: usize) -> Result<usize> {
    if padding > MAX_PADDING {
        let what = "the padding (at most)";
        return Err(Error::Size { operation, what, expected: MAX_PADDING, got: padding });
    }
    Ok(side + 2 * padding)
}

/// The sizes of a convolution, checked in one place.
struct Sizes {
    batch: usize,
    in_channels: usize,
    height: usize,
    width: usize,
    out_channels: usize,
    kernel: usize,
    sliding: Sliding,
}

impl Sizes {
    fn places(&self, side: usize) -> usize {
        (side + 2 * self.sliding.padding - self.kernel) / self.sliding.stride + 1
    }

    fn out_height(&self) -> usize {
        self.places(self.height)
    }

    fn out_width(&self) -> usize {
        self.places(self.width)
    }

    /// Output pixels of one channel of one image.
    fn pixels(&self) -> usize {
        self.out_height() * self.out_width()
    }

    /// Elements of the kernel of one output channel.
    fn patch(&self) -> usize {
        self.in_channels * self.kernel * self.kernel
    }

    fn input_len(&self) -> usize {
        self.in_channels * self.height * self.width
    }

    fn output_len(&self) -> usize {
        self.out_channels * self.pixels()
    }

    /// Calls `f(columns, pixels)` for each run of neighbouring pixels that unrolling copies: the run's places in
    /// `columns`, and those of its pixels in the image. A place without a pixel, in the padding, is in no run.
    fn for_each_run(&self, mut f: impl FnMut(Range<usize>, StepBy<Range<usize>>)) {
        let Sliding { stride, padding } = self.sliding;
        let mut row = 0;
        for channel in 0..self.in_channels {
            for kernel_y in 0..self.kernel {
                for kernel_x in 0..self.kernel {
                    // Those places of a row at which this element of the kernel meets a pixel.
                    let first = padding.saturating_sub(kernel_x).div_ceil(stride);
                    let end = (self.width + padding).saturating_sub(kernel_x).div_ceil(stride);
                    let end = end.clamp(first, self.out_width().max(first));
                    for y in 0..self.out_height() {
                        let pixel_y = (y * stride + kernel_y).checked_sub(padding);
                        if let Some(pixel_y) = pixel_y.filter(|y| *y < self.height)
                            && first < end
                        {
                            let line = (channel * self.height + pixel_y) * self.width;
                            let pixel = line + first * stride + kernel_x - padding;
                            let last = pixel + (end - first - 1) * stride;
                            f(row + first..row + end, (pixel..last + 1).step_by(stride));
                        }
                        row += self.out_width();
                    }
                }
            }
        }
    }

    /// Unrolls one image into `columns`, `[patch, pixels]`, which holds zeros where there is padding.
    fn unroll<T: Element>(&self, image: &[T], columns: &mut [T]) {
        let dense = self.sliding.stride == 1;
        self.for_each_run(|run, mut pixels| {
            let run = &mut columns[run];
            if dense && let Some(first) = pixels.next() {
                run.copy_from_slice(&image[first..first + run.len()]);
                return;
            }
            for (value, pixel) in run.iter_mut().zip(pixels) {
                *value = image[pixel];
            }
        });
    }

    /// Adds each element of `columns` to the pixel of `image` that [`Self::unroll`] takes it from.
    fn roll_add<T: Element>(&self, columns: &[T], image: &mut [T]) {
        self.for_each_run(|run, pixels| {
            for (value, pixel) in columns[run].iter().zip(pixels) {
                image[pixel] += *value;
            }
        });
    }
}

impl Parametric for Sizes {
    const OPERATION: &'static str = OPERATION;
    type Options = Sliding;

    fn of(sliding: Sliding, input: &[usize], weight: &[usize], bias: &[usize]) -> Result<Self> {
        let rank = |argument, expected, got: &[usize]| Error::Rank {
            operation: OPERATION,
            argument,
            expected,
            got: got.to_vec(),
        };
        let &[batch, in_channels, height, width] = input else { return Err(rank("input", 4, input)) };
        let &[out_channels, weight_channels, kernel, kernel_width] = weight else {
            return Err(rank("weight", 4, weight));
        };
        let &[bias_channels] = bias else { return Err(rank("bias", 1, bias)) };
        for (what, expected, got) in [
            ("the weight's second dimension (the input's channels)", in_channels, weight_channels),
            ("the kernel's width (its height)", kernel, kernel_width),
            ("the bias's length (the weight's first dimension)", out_channels, bias_channels),
        ] {
            if expected != got {
                return Err(Error::Size { operation: OPERATION, what, expected, got });
            }
        }
        if kernel == 0 || in_channels == 0 {
            return Err(Error::Empty { operation: OPERATION, argument: "weight" });
        }
        if sliding.stride == 0 {
            return Err(Error::Empty { operation: OPERATION, argument: "stride" });
        }
        let padded_height = padded(OPERATION, height, sliding.padding)?;
        let padded_width = padded(OPERATION, width, sliding.padding)?;
        if kernel > padded_height || kernel > padded_width {
            let (height, width) = (padded_height, padded_width);
            return Err(Error::Window { operation: OPERATION, window: kernel, height, width });
        }
        Ok(Self { batch, in_channels, height, width, out_channels, kernel, sliding })
    }

    fn output_shape(&self) -> Shape {
        (self.batch, self.out_channels, self.out_height(), self.out_width()).into()
    }

    fn forward<T: Element>(&self, input: &[T], weight: &[T], bias: &[T]) -> Vec<T> {
        let mut output = Vec::with_capacity(self.batch * self.output_len());
        let mut columns = vec![T::ZERO; self.patch() * self.pixels()];
        let mut left = Left::new();
        left.pack(Matrix::new(weight, self.out_channels, self.patch()));
        let mut right = Right::new();
        for image in input.chunks_exact(self.input_len()) {
            let start = output.len();
            for bias in bias {
                output.resize(output.len() + self.pixels(), *bias);
            }
            self.unroll(image, &mut columns);
            right.pack(Matrix::new(&columns, self.patch(), self.pixels()));
            multiply_add(&left, &right, &mut output[start..]);
        }
        output
    }

    fn parameter_gradients<T: Element>(&self, input: &[T], output_gradient: &[T]) -> (Vec<T>, Vec<T>) {
        let mut weight = vec![T::ZERO; self.out_channels * self.patch()];
        let mut bias = vec![T::ZERO; self.out_channels];
        let mut columns = vec![T::ZERO; self.patch() * self.pixels()];
        let (mut left, mut right) = (Left::new(), Right::new());
        let images = input.chunks_exact(self.input_len());
        for (image, gradient) in images.zip(output_gradient.chunks_exact(self.output_len())) {
            for (bias, channel) in bias.iter_mut().zip(gradient.chunks_exact(self.pixels())) {
                *bias += sum(channel);
            }
            self.unroll(image, &mut columns);
            left.pack(Matrix::new(gradient, self.out_channels, self.pixels()));
            right.pack(Matrix::new(&columns, self.patch(), self.pixels()).transposed());
            multiply_add(&left, &right, &mut weight);
        }
        (weight, bias)
    }

    fn input_gradient<T: Element>(&self, weight: &[T], output_gradient: &[T]) -> Vec<T> {
        let mut input = vec![T::ZERO; self.batch * self.input_len()];
        let mut columns = vec![T::ZERO; self.patch() * self.pixels()];
        let mut left = Left::new();
        left.pack(Matrix::new(weight, self.out_channels, self.patch()).transposed());
        let mut right = Right::new();
        let images = input.chunks_exact_mut(self.input_len());
        for (image, gradient) in images.zip(output_gradient.chunks_exact(self.output_len())) {
            columns.fill(T::ZERO);
            right.pack(Matrix::new(gradient, self.out_channels, self.pixels()));
            multiply_add(&left, &right, &mut columns);
            self.roll_add(&columns, image);
        }
        input
    }
}

/// A sum in eight interleaved parts: a single running sum would wait for each addition.
fn sum<T: Element>(values: &[T]) -> T {
    let mut parts = [T::ZERO; 8];
    for chunk in values.chunks(8) {
        for (part, value) in parts.iter_mut().zip(chunk) {
            *part += *value;
        }
    }
    parts.iter().fold(T::ZERO, |sum, part| sum + *part)
}
