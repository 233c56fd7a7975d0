//! How many connections there are, and from where.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::limits::Limits;
use super::log::Incident;

#[derive(Default)]
struct Counts {
    all: usize,
    unauthenticated: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// Counts the connections.
#[derive(Clone, Default)]
pub(crate) struct Census(Arc<Mutex<Counts>>);

/// A connection's place. It is free again when this is dropped.
pub(crate) struct Place {
    census: Census,
    address: IpAddr,
    unauthenticated: bool,
}

impl Census {
    /// Gives a new connection its place, where there is one.
    pub(crate) fn admit(&self, address: IpAddr, limits: &Limits) -> Result<Place, Incident> {
        let address = address.to_canonical();
        let mut counts = self.lock();
        if counts.all >= limits.connections {
            return Err(Incident::TooMany("there are as many connections as `connections` allows"));
        }
        if counts.unauthenticated >= limits.unauthenticated {
            return Err(Incident::TooMany("there are as many connections without a certificate as allowed"));
        }
        let here = counts.by_address.get(&address).copied().unwrap_or(0);
        if here >= limits.connections_per_address {
            return Err(Incident::TooMany("this address has as many connections as allowed"));
        }
        counts.by_address.insert(address, here + 1);
        counts.all += 1;
        counts.unauthenticated += 1;
        Ok(Place { census: self.clone(), address, unauthenticated: true })
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// The connection has shown a certificate.
    pub(crate) fn authenticated(&mut self) {
        if std::mem::take(&mut self.unauthenticated) {
            self.census.lock().unauthenticated -= 1;
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.census.lock();
        counts.all -= 1;
        if self.unauthenticated {
            counts.unauthenticated -= 1;
        }
        if let Some(here) = counts.by_address.get_mut(&self.address) {
            *here -= 1;
            if *here == 0 {
                counts.by_address.remove(&self.address);
            }
        }
    }
}
