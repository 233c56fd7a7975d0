//! What runs together.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What a participant needs while it runs a step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Resources {
    cpus: usize,
    device_share: f64,
}

impl Default for Resources {
    /// One processor, and no share of a device.
    fn default() -> Self {
        Self { cpus: 1, device_share: 0.0 }
    }
}

impl Resources {
    /// So many processors, at least one.
    pub fn cpus(cpus: usize) -> Self {
        Self { cpus: cpus.max(1), ..Self::default() }
    }

    /// A share of the runtime's device, from 0 (none) to 1 (all of it). Who asks for a quarter runs beside
    /// three others.
    pub fn with_device_share(mut self, share: f64) -> Self {
        self.device_share = share;
        self
    }

    pub(super) fn processors(&self) -> usize {
        self.cpus
    }

    pub(super) fn device_share(&self) -> f64 {
        self.device_share
    }

    /// The share in the pool's units, rounded up so that shares never add up to more than the device.
    fn device_units(&self) -> u32 {
        // Shares outside [0, 1] are refused before a run starts.
        (self.device_share * f64::from(DEVICE_UNITS)).ceil() as u32
    }
}

/// A device is given out in thousandths.
const DEVICE_UNITS: u32 = 1000;

/// The processors and the device that participants share.
pub(super) struct Pool {
    cpus: Arc<Semaphore>,
    device: Arc<Semaphore>,
    size: usize,
}

/// What a participant holds while it runs.
pub(super) struct Held {
    _cpus: OwnedSemaphorePermit,
    _device: Option<OwnedSemaphorePermit>,
}

impl Pool {
    pub(super) fn new(cpus: usize) -> Self {
        let device = Arc::new(Semaphore::new(DEVICE_UNITS as usize));
        Self { cpus: Arc::new(Semaphore::new(cpus)), device, size: cpus }
    }

    pub(super) fn cpus(&self) -> usize {
        self.size
    }

    /// Waits its turn, in the order of asking. The device is asked for first and by everybody in the same
    /// order, so nobody waits for one who waits for them. `None` where the pool is closed, which it never is.
    pub(super) async fn acquire(&self, resources: Resources) -> Option<Held> {
        let device = match resources.device_units() {
            0 => None,
            units => Some(Arc::clone(&self.device).acquire_many_owned(units).await.ok()?),
        };
        let cpus = u32::try_from(resources.cpus).ok()?;
        let cpus = Arc::clone(&self.cpus).acquire_many_owned(cpus).await.ok()?;
        Some(Held { _cpus: cpus, _device: device })
    }
}
