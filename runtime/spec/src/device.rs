//! Devices to compute on.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The device on which a participant computes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Device {
    /// The processor.
    #[default]
    Cpu,
    /// The CUDA device of this number.
    Cuda(usize),
}

/// A text that names no device.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no device: write `cpu` or `cuda:0`")]
pub struct UnknownDevice(String);

impl FromStr for Device {
    type Err = UnknownDevice;

    fn from_str(text: &str) -> Result<Self, UnknownDevice> {
        if text == "cpu" {
            return Ok(Device::Cpu);
        }
        let number = text.strip_prefix("cuda:").and_then(|number| number.parse().ok());
        number.map(Device::Cuda).ok_or_else(|| UnknownDevice(text.to_owned()))
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Device::Cpu => f.write_str("cpu"),
            Device::Cuda(number) => write!(f, "cuda:{number}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_read_as_they_are_written() {
        for device in [Device::Cpu, Device::Cuda(3)] {
            assert_eq!(device.to_string().parse(), Ok(device));
        }
        assert!("gpu".parse::<Device>().is_err());
    }
}
