//! The element types that the layers compute in, and their way in and out of candle's storage.

use candle_core::{CpuStorage, DType, Layout, Storage, Tensor, WithDType, bail};

use crate::{Error, Result};

/// `f32`, which models are trained in, or `f64`, in which finite differences are exact enough to check a
/// gradient.
pub(crate) trait Element: WithDType {
    const ZERO: Self;
    fn exp(self) -> Self;
    fn ln(self) -> Self;
}

// `libm` and not `std`: the latter calls the platform's library, whose last bit differs between systems.
impl Element for f32 {
    const ZERO: Self = 0.0;
    fn exp(self) -> Self {
        libm::expf(self)
    }
    fn ln(self) -> Self {
        libm::logf(self)
    }
}

impl Element for f64 {
    const ZERO: Self = 0.0;
    fn exp(self) -> Self {
        libm::exp(self)
    }
    fn ln(self) -> Self {
        libm::log(self)
    }
}

/// Runs `$body`, an expression of candle's `Result`, with `$T` bound to the element type that `$dtype` names.
macro_rules! with_element {
    ($operation:expr, $dtype:expr, $T:ident => $body:expr) => {
        match $dtype {
            candle_core::DType::F32 => {
                type $T = f32;
                $body
            }
            candle_core::DType::F64 => {
                type $T = f64;
                $body
            }
            other => Err(candle_core::Error::wrap(crate::Error::ElementType {
                operation: $operation,
                got: vec![other],
            })),
        }
    };
}
pub(crate) use with_element;

/// Refuses tensors that are not all `f32` or all `f64`.
pub(crate) fn check_element_types(operation: &'static str, tensors: &[&Tensor]) -> Result<()> {
    let got: Vec<DType> = tensors.iter().map(|tensor| tensor.dtype()).collect();
    let supported = matches!(got.first(), Some(DType::F32 | DType::F64));
    if supported && got.windows(2).all(|pair| pair[0] == pair[1]) {
        Ok(())
    } else {
        Err(Error::ElementType { operation, got })
    }
}

/// The elements of a contiguous tensor, as a custom operation's forward pass receives it.
pub(crate) fn elements<'a, T: Element>(
    storage: &'a CpuStorage,
    layout: &Layout,
) -> candle_core::Result<&'a [T]> {
    let all = T::cpu_storage_as_slice(storage)?;
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&all[start..end]),
        None => bail!("internal error: a layer received a tensor that is not contiguous"),
    }
}

/// Calls `f` with the elements of contiguous CPU tensors, as a backward pass receives them.
pub(crate) fn with_elements<T: Element, R, const N: usize>(
    tensors: [&Tensor; N],
    f: impl FnOnce([&[T]; N]) -> R,
) -> candle_core::Result<R> {
    let tensors = tensors.map(|tensor| tensor.contiguous());
    let mut guards = Vec::with_capacity(N);
    for tensor in &tensors {
        match tensor {
            Ok(tensor) => guards.push(tensor.storage_and_layout()),
            Err(error) => bail!("{error}"),
        }
    }
    let mut slices: [&[T]; N] = [&[]; N];
    for (slice, (storage, layout)) in slices.iter_mut().zip(&guards) {
        match &**storage {
            Storage::Cpu(storage) => *slice = elements(storage, layout)?,
            _ => bail!("the layers of veilflow-nn run on the CPU only"),
        }
    }
    Ok(f(slices))
}
