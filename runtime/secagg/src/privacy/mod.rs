//! Distributed differential privacy: every client adds a share of the noise before it masks.
//!
//! | module | what it does |
//! |---|---|
//! | [`accountant`] | what a session costs in (ε, δ), and what many cost together |
//! | [`discrete_gaussian`] | the noise, exact |
//! | [`noise_source`] | random bits from the operating system, for the noise and nothing else |

mod accountant;
mod discrete_gaussian;
mod noise_source;

pub use accountant::{PrivacyAccountant, PrivacyCost};
