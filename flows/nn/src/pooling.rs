//! Max-pooling.

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp1, Layout, Shape, Tensor, WithDType};

use crate::candles::{self, Operations};
use crate::element::{Element, check_element_types, elements, with_element, with_elements};
use crate::{Error, Result};

const OPERATION: &str = "max_pool2d";

/// The maximum of each `size` × `size` window, with stride `size`; pixels beyond the last whole window are
/// left out.
///
/// `input` is `[batch, channels, height, width]`, the result `[batch, channels, height / size, width / size]`.
/// A window's gradient goes to its maximum alone, and to the first one in reading order where several are
/// equal, as in PyTorch. A NaN counts as larger than any number. (On a graphics card, which of several equal ones it is and
/// whether a NaN counts is the card's choice.)
///
/// # Errors
///
/// If `input` does not have four dimensions or is smaller than a window, or for another element type than
/// `f32` and `f64`.
pub fn max_pool2d(input: &Tensor, size: usize) -> Result<Tensor> {
    max_pool2d_by(Operations::on(input.device()), input, size)
}

pub(crate) fn max_pool2d_by(operations: Operations, input: &Tensor, size: usize) -> Result<Tensor> {
    check_element_types(OPERATION, &[input])?;
    let &[_, _, height, width] = input.dims() else {
        let got = input.dims().to_vec();
        return Err(Error::Rank { operation: OPERATION, argument: "input", expected: 4, got });
    };
    if size == 0 {
        return Err(Error::Empty { operation: OPERATION, argument: "size" });
    }
    if size > height || size > width {
        return Err(Error::Window { operation: OPERATION, window: size, height, width });
    }
    Ok(match operations {
        Operations::Ours => input.contiguous()?.apply_op1(MaxPool { size })?,
        Operations::Candles => candles::max_pool2d(input, size)?,
    })
}

struct MaxPool {
    size: usize,
}

impl MaxPool {
    /// Calls `f` with the maximum of each window, in order, and its position in `input`.
    fn for_each_maximum<T: Element>(
        &self,
        input: &[T],
        height: usize,
        width: usize,
        f: impl FnMut(usize, T),
    ) {
        // A constant bound lets the compiler unroll the window that nearly every network uses.
        match self.size {
            2 => for_each_maximum::<T>(2, input, height, width, f),
            size => for_each_maximum::<T>(size, input, height, width, f),
        }
    }
}

#[inline(always)]
fn for_each_maximum<T: Element>(
    size: usize,
    input: &[T],
    height: usize,
    width: usize,
    mut f: impl FnMut(usize, T),
) {
    let (rows, columns) = (height / size, width / size);
    for (plane, pixels) in input.chunks_exact(height * width).enumerate() {
        for row in 0..rows {
            let first = row * size * width;
            let band = &pixels[first..first + size * width];
            for column in 0..columns {
                let corner = column * size;
                let (mut position, mut maximum) = (corner, band[corner]);
                for y in 0..size {
                    let start = y * width + corner;
                    for (x, value) in band[start..start + size].iter().enumerate() {
                        if *value > maximum || is_nan(*value) {
                            (position, maximum) = (start + x, *value);
                        }
                    }
                }
                f(plane * height * width + first + position, maximum);
            }
        }
    }
}

#[expect(clippy::eq_op, reason = "the element trait has no is_nan, and only a NaN differs from itself")]
fn is_nan<T: Element>(value: T) -> bool {
    value != value
}

impl CustomOp1 for MaxPool {
    fn name(&self) -> &'static str {
        OPERATION
    }

    fn cpu_fwd(&self, input: &CpuStorage, layout: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        let (batch, channels, height, width) = layout.shape().dims4()?;
        let shape = (batch, channels, height / self.size, width / self.size);
        let output = with_element!(OPERATION, input.dtype(), T => {
            let mut output: Vec<T> = Vec::with_capacity(shape.0 * shape.1 * shape.2 * shape.3);
            self.for_each_maximum(elements(input, layout)?, height, width, |_, maximum| output.push(maximum));
            Ok(T::to_cpu_storage_owned(output))
        })?;
        Ok((output, shape.into()))
    }

    fn bwd(
        &self,
        input: &Tensor,
        _output: &Tensor,
        output_gradient: &Tensor,
    ) -> candle_core::Result<Option<Tensor>> {
        let (_, _, height, width) = input.dims4()?;
        with_element!(OPERATION, input.dtype(), T => {
            // The positions are found again rather than kept: that costs less than a second graph-sized buffer.
            let gradient = with_elements([input, output_gradient], |[input, output_gradient]| {
                let mut gradient = vec![T::ZERO; input.len()];
                let mut window = output_gradient.iter();
                self.for_each_maximum(input, height, width, |position, _| {
                    if let Some(value) = window.next() {
                        gradient[position] = *value;
                    }
                });
                gradient
            })?;
            Ok(Some(Tensor::from_vec(gradient, input.shape(), input.device())?))
        })
    }
}
