//! candle's devices beside the processor, in programs that were built for them.

use std::sync::{Mutex, PoisonError};

use candle_core::Device;

use crate::{Error, Result};

/// The CUDA device of this number, which is opened once.
///
/// # Errors
///
/// If the program was built without the feature `cuda`, or there is no such device.
pub fn cuda(number: usize) -> Result<Device> {
    static OPENED: Opened = Mutex::new(Vec::new());
    let (name, needs) = (format!("cuda:{number}"), "NVIDIA's CUDA toolkit, with `nvcc` in the PATH");
    if !cfg!(feature = "cuda") {
        return Err(Error::NotBuilt { device: name, backend: "CUDA", feature: "cuda", needs });
    }
    open(&OPENED, number, name, Device::new_cuda)
}

/// The Metal device of this number, which is opened once.
///
/// # Errors
///
/// If the program was built without the feature `metal`, or there is no such device.
pub fn metal(number: usize) -> Result<Device> {
    static OPENED: Opened = Mutex::new(Vec::new());
    let (name, needs) = (format!("metal:{number}"), "macOS");
    if !cfg!(feature = "metal") {
        return Err(Error::NotBuilt { device: name, backend: "Metal", feature: "metal", needs });
    }
    open(&OPENED, number, name, Device::new_metal)
}

/// Devices by their numbers. Each that is opened loads its kernels anew, so that all networks share one.
type Opened = Mutex<Vec<(usize, Device)>>;

fn open(
    opened: &Opened,
    number: usize,
    name: String,
    new: fn(usize) -> candle_core::Result<Device>,
) -> Result<Device> {
    let mut opened = opened.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, device)) = opened.iter().find(|(other, _)| *other == number) {
        return Ok(device.clone());
    }
    let device = new(number).map_err(|source| Error::Device { device: name, source })?;
    opened.push((number, device.clone()));
    Ok(device)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(not(feature = "cuda"))]
    fn a_program_without_cuda_says_how_to_build_one() {
        assert_eq!(
            cuda(0).unwrap_err().to_string(),
            "cuda:0: this program was built without CUDA; build it with `cargo build --release --features cuda`, which \
             needs NVIDIA's CUDA toolkit, with `nvcc` in the PATH"
        );
    }

    #[test]
    fn a_device_that_cannot_be_opened_is_an_error() {
        let opened = Opened::default();
        let refuse = |_| candle_core::bail!("no such device");
        let error = open(&opened, 9, "cuda:9".to_owned(), refuse).unwrap_err();
        assert!(error.to_string().starts_with("cuda:9 cannot be opened: no such device"), "{error}");
        assert!(open(&opened, 0, "cpu".to_owned(), |_| Ok(Device::Cpu)).unwrap().is_cpu());
        assert!(open(&opened, 0, "cpu".to_owned(), refuse).is_ok(), "it is open already");
    }
}
