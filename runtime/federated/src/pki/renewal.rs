//! Renewing a certificate before it ends, while its process runs: at a site and at the director alike.

use std::fmt;
use std::time::{Duration, SystemTime};

use futures_util::future::BoxFuture;
use serde::{Serialize, Serializer};
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use super::clock::{Clock, Date, seconds};
use super::enrolment::{EnrollRequest, Verdict, renewal};
use super::error::PkiError;
use super::files::Watched;
use super::identity::{CERTIFICATE, Identity};
use crate::level::Level;

/// What becomes of a certificate that ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "renewal", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Renewal {
    /// Its renewal is asked for, and waits for the authority.
    Asked {
        /// When it ends; in seconds since 1970 where it is serialized.
        #[serde(serialize_with = "since_1970")]
        not_after: SystemTime,
    },
    /// A newer one is in its place.
    Renewed {
        /// When that ends, likewise.
        #[serde(serialize_with = "since_1970")]
        not_after: SystemTime,
    },
    /// There is no newer one yet. It is asked for again in an hour.
    Failed {
        /// Why.
        reason: String,
    },
}

/// Whole seconds since 1970.
fn since_1970<S: Serializer>(time: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(seconds(*time))
}

impl Renewal {
    /// How much it matters.
    pub fn level(&self) -> Level {
        match self {
            Renewal::Renewed { .. } => Level::Info,
            Renewal::Asked { .. } | Renewal::Failed { .. } => Level::Warn,
        }
    }

    /// The event in one word.
    pub fn code(&self) -> &'static str {
        match self {
            Renewal::Asked { .. } => "renewal-asked",
            Renewal::Renewed { .. } => "renewed",
            Renewal::Failed { .. } => "renewal-failed",
        }
    }
}

/// One line.
impl fmt::Display for Renewal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Renewal::Asked { not_after } => {
                let end = Date(seconds(*not_after));
                write!(f, "the certificate ends on {end}: its renewal waits for the authority (`pki sign`)")
            }
            Renewal::Renewed { not_after } => {
                write!(f, "the certificate is renewed, until {}", Date(seconds(*not_after)))
            }
            Renewal::Failed { reason } => {
                // Others may have written it.
                let reason: String = reason.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
                write!(f, "the certificate is not renewed: {reason}; it is asked for again in an hour")
            }
        }
    }
}

/// How often the time is looked at: a machine may have slept, and its clock may be set.
const HOUR: Duration = Duration::from_secs(3600);

/// How a request reaches the authority, and its answer the site.
type Ask = Box<dyn Fn(EnrollRequest) -> BoxFuture<'static, Result<Verdict, String>> + Send + Sync>;

/// What renews a certificate.
pub(crate) struct Renewer {
    /// With how much of its time left; a third, where it is not said.
    pub(crate) before: Option<Duration>,
    pub(crate) clock: Clock,
    pub(crate) ask: Ask,
    /// Told what happens on the way.
    pub(crate) tell: Box<dyn Fn(Renewal) + Send + Sync>,
}

impl Renewer {
    /// Returns when the certificate in the identity's folder is a newer one: asked for in time, or put there by hand.
    pub(crate) async fn renewed(&self, identity: &Identity) -> Identity {
        let renewed = tokio::select! {
            asked = self.asked(identity) => asked,
            by_hand = self.by_hand(identity) => by_hand,
        };
        (self.tell)(Renewal::Renewed { not_after: renewed.peer().not_after });
        renewed
    }

    async fn asked(&self, identity: &Identity) -> Identity {
        loop {
            while let Ok(left) = identity.renews_at(self.before).duration_since((self.clock)())
                && !left.is_zero()
            {
                sleep(left.min(HOUR)).await;
            }
            (self.tell)(Renewal::Asked { not_after: identity.peer().not_after });
            match self.ask_for(identity).await {
                Ok(renewed) => return renewed,
                Err(reason) => (self.tell)(Renewal::Failed { reason }),
            }
            sleep(HOUR).await;
        }
    }

    async fn ask_for(&self, identity: &Identity) -> Result<Identity, String> {
        let request = renewal(identity).map_err(|error| error.to_string())?;
        match (self.ask)(request).await? {
            Verdict::Granted(granted) => {
                let own = identity.clone();
                blocking(move || own.install(&granted.certificate)).await
            }
            Verdict::Refused { reason } => Err(format!("the administrator refused: {reason}")),
        }
    }

    async fn by_hand(&self, identity: &Identity) -> Identity {
        let mut file = Watched::new(identity.dir().join(CERTIFICATE));
        loop {
            file.replaced().await;
            let own = identity.clone();
            match blocking(move || own.reloaded()).await {
                Ok(Some(renewed)) => return renewed,
                Ok(None) => {}
                Err(reason) => (self.tell)(Renewal::Failed { reason }),
            }
        }
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, PkiError> + Send + 'static,
) -> Result<T, String> {
    let done = spawn_blocking(work).await.map_err(|error| error.to_string())?;
    done.map_err(|error| error.to_string())
}
