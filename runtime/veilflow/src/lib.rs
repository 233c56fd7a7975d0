#![doc = include_str!("../../../README.md")]
#![forbid(unsafe_code)]

/// What a flow is written with.
pub mod prelude {
    pub use veilflow_engine::{LocalRuntime, Resources, RunError, SecAgg};
    pub use veilflow_federated::client::FederatedRuntime;
    pub use veilflow_spec::Cell;
    pub use veilflow_spec::prelude::*;
}

/// The command line for a registry of flows.
pub use veilflow_cli as cli;
pub use veilflow_engine as engine;
/// Director, envoys and their client.
pub use veilflow_federated as federated;
/// SecAgg as client and server roles.
pub use veilflow_secagg as secagg;
pub use veilflow_spec as spec;

#[doc(hidden)]
pub use veilflow_spec::__private;
