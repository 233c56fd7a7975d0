//! What a program that writes a flow needs: `use veilflow::prelude::*`.

pub use crate::checkpoint::Checkpoint;
pub use crate::context::Context;
pub use crate::error::{Result, StepError};
pub use crate::flow::Flow;
pub use crate::inputs::Inputs;
pub use crate::message::Message;
pub use crate::name::Name;
pub use crate::quorum::Quorum;
pub use crate::secure::{Averaged, SecureSum, Sum};
pub use crate::tensor::Tensor;
pub use crate::transition::{Branch, Each, Foreach, Loop};
/// Derives [`Averaged`](trait@Averaged).
pub use veilflow_derive::Averaged;
/// Derives [`Message`](trait@Message).
pub use veilflow_derive::Message;
/// Derives [`SecureSum`](trait@SecureSum).
pub use veilflow_derive::SecureSum;
