//! What a simulated session came to.

use std::time::Duration;

use super::Units;
use crate::{
    cost::{ClientCost, ServerCost},
    error::Stage,
};

/// One round: what all clients together used, and the server.
#[derive(Clone, Copy, Debug)]
pub struct Phase {
    /// The round.
    pub stage: Stage,
    /// How many clients sent their message.
    pub clients: usize,
    /// Of all clients together.
    pub client_cpu: Duration,
    /// Of the server.
    pub server_cpu: Duration,
    /// What all clients together sent.
    pub upload_bytes: u64,
    /// What was sent to all clients together.
    pub download_bytes: u64,
}

impl Phase {
    /// Of one client, on average.
    pub fn mean_client_cpu(&self) -> Duration {
        let clients = u32::try_from(self.clients).unwrap_or(u32::MAX).max(1);
        self.client_cpu.checked_div(clients).unwrap_or_default()
    }
}

/// What a simulated session came to.
#[derive(Clone, Debug)]
pub struct Report {
    /// The rounds in their order.
    pub phases: Vec<Phase>,
    /// Whose inputs are in the sum.
    pub survivors: usize,
    /// Who shared keys and then sent no input.
    pub dropped: usize,
    /// The most that one client sent in all rounds.
    pub largest_upload_bytes: u64,
    /// Whether the result equalled the plain sum of the survivors' inputs, bit for bit.
    pub exact: bool,
    /// What each kind of work takes on this machine, measured between the rounds.
    pub units: Units,
    /// What one client has to do at least.
    pub client_cost: ClientCost,
    /// What the server has to do at least, with those who dropped out.
    pub server_cost: ServerCost,
}

impl Report {
    /// The least that one client can take with these units.
    pub fn client_floor(&self) -> Duration {
        self.units.client(&self.client_cost)
    }

    /// The least that the server can take with these units.
    pub fn server_floor(&self) -> Duration {
        self.units.server(&self.server_cost)
    }

    /// What the server's signature checks would take one by one, which its floor is without.
    pub fn server_signatures(&self) -> Duration {
        let checks = u32::try_from(self.server_cost.signature_checks).unwrap_or(u32::MAX);
        self.units.signature_check.saturating_mul(checks)
    }

    /// Of one client that takes part to the end: the sum of the rounds' means.
    pub fn client_cpu(&self) -> Duration {
        self.phases.iter().map(Phase::mean_client_cpu).sum()
    }

    /// Of the server, in all rounds.
    pub fn server_cpu(&self) -> Duration {
        self.phases.iter().map(|phase| phase.server_cpu).sum()
    }

    /// Of the server in the last round: it takes the answers, rebuilds secrets and removes the masks.
    pub fn unmask_cpu(&self) -> Duration {
        let unmask = self.phases.iter().filter(|phase| phase.stage == Stage::Unmask);
        unmask.map(|phase| phase.server_cpu).sum()
    }
}
