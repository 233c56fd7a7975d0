//! Where the network computes.

use veilflow::spec::Device;

use crate::Result;

/// candle's name for a device.
///
/// # Errors
///
/// If the program was built without it, or it is not there.
pub(crate) fn open(device: Device) -> Result<candle_core::Device> {
    Ok(match device {
        Device::Cpu => candle_core::Device::Cpu,
        Device::Cuda(number) => veilflow_nn::cuda(number)?,
        Device::Metal(number) => veilflow_nn::metal(number)?,
    })
}
