//! The site's certificate, renewed before it ends: the request goes through the director, which only relays it.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep_until};

use crate::pki::{EnrollReply, EnrollRequest, Identity, Renewal, Renewer, Verdict};
use crate::wire::WireError;

use super::member::Member;
use super::notice::Notice;
use super::site::Site;

/// Who passes a request for a certificate on: a connection to the director.
pub(super) trait Relays: Send + Sync {
    /// Asks, and waits as long as the director lets it wait.
    fn enroll(&self, request: EnrollRequest) -> BoxFuture<'static, Result<EnrollReply, WireError>>;
}

/// A director that does not let it wait is asked no more often than this.
const PACE: Duration = Duration::from_secs(30);

/// Returns when there is a newer certificate; none, where the one that there is cannot be read.
pub(super) async fn renewed(site: Arc<Site>, member: Member, relay: Arc<dyn Relays>) -> Option<Identity> {
    let log = Arc::clone(&site.log);
    let tell = move |renewal| log.notice(&Notice::Certificate(renewal));
    let now = (site.clock)();
    let current = spawn_blocking(move || member.current(now)).await;
    let reason = match current {
        Ok(Ok(identity)) => {
            let renewer = Renewer {
                before: site.config.renew_before,
                clock: Arc::clone(&site.clock),
                ask: Box::new(move |request| Box::pin(answered(Arc::clone(&relay), request))),
                tell: Box::new(tell),
            };
            return Some(renewer.renewed(&identity).await);
        }
        Ok(Err(error)) => error.to_string(),
        Err(error) => error.to_string(),
    };
    tell(Renewal::Failed { reason });
    None
}

async fn answered(relay: Arc<dyn Relays>, request: EnrollRequest) -> Result<Verdict, String> {
    loop {
        let asked = Instant::now();
        match relay.enroll(request.clone()).await {
            Ok(EnrollReply::Answered(verdict)) => return Ok(verdict),
            Ok(EnrollReply::Pending) => {}
            // Where the connection is lost, this ends with it.
            Err(error) if error.is_transient() => {}
            Err(error) => return Err(error.to_string()),
        }
        sleep_until(asked + PACE).await;
    }
}
