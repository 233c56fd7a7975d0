//! The loops that a network spends its time in, for any instruction set.

mod correlate;
mod linear_gradient;
mod peak;
mod pool;
mod spread;
mod weight_gradient;

pub(crate) use correlate::{Correlate, Finish, Packed, Window};
pub(crate) use linear_gradient::LinearGradient;
pub(crate) use peak::Peak;
pub(crate) use pool::{MaxPool, Rectify};
pub(crate) use spread::{Gate, Spread};
pub(crate) use weight_gradient::WeightGradient;
