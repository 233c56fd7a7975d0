//! The collaborators of a hosted run: the port behind a courier.

use std::any::Any;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use veilflow_spec::graph::{Broadcast, Close, Payload};
use veilflow_spec::{Cause, Codec, Name, Result, StepError};

use super::courier::{Courier, Delivery, Parcel};
use crate::port::{Arrived, Port, Task};

/// A broadcast, and how it travels. Whoever it is on its way to holds it.
type Encoded = (Weak<dyn Any + Send + Sync>, Weak<Parcel>);

/// The collaborators, behind a courier.
pub(super) struct RemotePort {
    names: Vec<Name>,
    courier: Arc<dyn Courier>,
    /// The last broadcast as it travels: encoded once, whoever gets it.
    last: Mutex<Option<Encoded>>,
}

impl RemotePort {
    pub(super) fn new(names: Vec<Name>, courier: Arc<dyn Courier>) -> Self {
        Self { names, courier, last: Mutex::new(None) }
    }

    fn parcel(&self, broadcast: &Broadcast, encode: impl FnOnce() -> Result<Vec<u8>>) -> Result<Arc<Parcel>> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((of, parcel)) = &*last
            && of.upgrade().is_some_and(|of| Arc::ptr_eq(&of, broadcast))
            && let Some(parcel) = parcel.upgrade()
        {
            return Ok(parcel);
        }
        let parcel = Arc::new(Parcel::new(encode()?));
        *last = Some((Arc::downgrade(broadcast), Arc::downgrade(&parcel)));
        Ok(parcel)
    }

    /// A payload as it travels: what a protocol's setup has for the site, and the message.
    fn parcels(&self, codec: &Codec, payload: Payload) -> Result<(Option<Arc<Parcel>>, Arc<Parcel>)> {
        Ok(match payload {
            Payload::Owned(value) => (None, Arc::new(Parcel::new(codec.encode(&*value)?))),
            Payload::Shared(value) => (None, self.parcel(&value, || codec.encode(&*value))?),
            Payload::Entering { setup, message } => {
                let setup = match *setup {
                    Payload::Owned(value) => codec.encode(&*value)?,
                    Payload::Shared(value) => codec.encode(&*value)?,
                    Payload::Entering { .. } => return Err(StepError::msg("a setup inside a setup")),
                };
                let message = self.parcel(message.message(), || message.encode())?;
                (Some(Arc::new(Parcel::new(setup))), message)
            }
        })
    }
}

impl<C: Send + 'static> Port<C> for RemotePort {
    fn names(&self) -> &[Name] {
        &self.names
    }

    async fn perform(&self, task: Task<C>) -> Result<Arrived, Cause> {
        let Some(first) = task.steps.first() else { return Err(Cause::Cancelled) };
        let Some(codec) = first.input() else { return Err(Cause::Cancelled) };
        let failed = |error: StepError| Cause::Failed {
            step: first.info().name.to_string(),
            code: error.code().to_owned(),
            text: Some(error.to_string()),
        };
        let (setup, message) = self.parcels(codec, task.payload).map_err(failed)?;
        let Task { name, key, cancellation, .. } = task;
        let delivery = Delivery { to: name, task: key, setup, message, cancellation };
        self.courier.deliver(delivery).await.map(Arrived::Encoded)
    }

    fn close(&self, join: &Arc<str>, _close: &Close) {
        self.courier.close(join);
    }
}
