//! Distributed differential privacy (Kairouz, Liu and Steinke, ICML 2021): every participant clips what it contributes
//! and adds a share of the noise before it masks, so that nobody sees a sum without noise, the server included.
//!
//! | module | what it does |
//! |---|---|
//! | [`parameters`] | what is asked for: norm, noise, δ |
//! | [`noise`] | how much noise that is for a plan, in quantization steps |
//! | [`discrete_gaussian`] | sampling it, exactly |
//! | [`noise_source`] | random bits for it, from the operating system |
//! | [`accountant`] | what a session costs in (ε, δ), and what many cost together |
//!
//! Clipping and conditional rounding are in [`quantize`](crate::quantize), where all rounding is; that a sum has enough
//! noise in it is checked with the survivors, in [`consistency_check`](crate::consistency_check).
//!
//! Not defended against: participants that add no noise, beyond the number that is assumed to work for the server.

mod accountant;
mod discrete_gaussian;
mod noise;
mod noise_source;
mod parameters;
#[cfg(test)]
mod tests;

pub use accountant::{PrivacyAccountant, PrivacyCost};
pub(crate) use noise::{Noise, Setting, largest_range_with_noise};
pub(crate) use noise_source::NoiseSource;
pub use parameters::Privacy;
