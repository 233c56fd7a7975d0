//! The certificate of a running envoy: renewed in time, and used without losing a task. Time is the test's.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tempfile::TempDir;
use tokio::time::Instant;

use super::stage::{AGREES, Sent, Stage, config};
use crate::envoy::config::EnvoyConfig;
use crate::envoy::member::Member;
use crate::envoy::notice::Notice;
use crate::pki::{
    Authority, Clock, EnrollReply, EnrollRequest, Identity, Order, Renewal, Role, Validity, Verdict,
};

const HOUR: Duration = Duration::from_secs(3600);

/// A site with a certificate for nine hours.
struct World {
    folder: TempDir,
    authority: Authority,
    clock: Clock,
}

impl World {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let (began, started) = (SystemTime::now(), Instant::now());
        let year = Validity(365 * 24 * HOUR);
        let mut authority = Authority::create(&folder.path().join("ca"), "trial", year, None, began).unwrap();
        let order = Order {
            name: "Bengaluru".into(),
            role: Role::Envoy,
            hosts: Vec::new(),
            valid: Validity(9 * HOUR),
        };
        authority.issue(&order, &folder.path().join("identity"), began).unwrap();
        Self { folder, authority, clock: Arc::new(move || began + started.elapsed()) }
    }

    fn identity(&self) -> Identity {
        Identity::load(&self.folder.path().join("identity")).unwrap()
    }

    /// The site's envoy, which says nothing for days on end.
    fn stage(&self, more: &str) -> Stage {
        let config = EnvoyConfig {
            identity: Some(self.folder.path().join("identity")),
            state: self.folder.path().join("state"),
            insecure_loopback: false,
            ..config(&format!("{more}\n{AGREES}[connection]\nkeepalive = '30d'\n"))
        };
        let member = Member::open(&config).unwrap();
        Stage::member(config, Arc::clone(&self.clock), member)
    }

    fn left(&self) -> Duration {
        self.identity().peer().not_after.duration_since((self.clock)()).unwrap()
    }

    fn sign(&mut self, request: &EnrollRequest) -> EnrollReply {
        let answer = self.authority.sign(request, Validity(9 * HOUR), (self.clock)()).unwrap();
        EnrollReply::Answered(answer.verdict)
    }
}

/// What the envoy tells of its certificate next.
async fn told(stage: &mut Stage) -> Renewal {
    stage
        .noticed(|notice| match notice {
            Notice::Certificate(renewal) => Some(renewal),
            _ => None,
        })
        .await
}

#[tokio::test(start_paused = true)]
async fn a_certificate_is_renewed_in_time_and_the_next_connection_goes_on_with_the_task() {
    for (more, expected) in [("", 3 * HOUR), ("renew-before = '5h'", 5 * HOUR)] {
        let mut world = World::new();
        let mut stage = world.stage(more);
        let before = world.identity();
        let mut director = stage.attached(&[]).await;
        let (request, answer) = director.asked().await;
        // Certificates end at whole seconds.
        let left = world.left();
        assert!(left <= expected && left > expected - Duration::from_secs(2), "{left:?}");
        assert_eq!(told(&mut stage).await, Renewal::Asked { not_after: before.peer().not_after });
        let sent = Sent::new();
        director.say(sent.task("1")).await;
        let running = stage.performing().await;
        answer.send(world.sign(&request)).unwrap();
        // A new connection at once, under the new certificate; the task never noticed.
        let mut director = stage.attached(&[sent.id]).await;
        let renewed = world.identity();
        assert_eq!(told(&mut stage).await, Renewal::Renewed { not_after: renewed.peer().not_after });
        assert!(renewed.peer().not_after > before.peer().not_after);
        running.end(Ok(b"one"));
        assert_eq!(director.done().await.1.unwrap(), b"one");
        // The next one is asked for when its time has come, and not before.
        director.nothing_is_asked();
        let (next, _answer) = director.asked().await;
        assert_ne!(next.id(), request.id());
        assert!(world.left() <= expected, "{:?}", world.left());
    }
}

#[tokio::test(start_paused = true)]
async fn a_refused_renewal_is_asked_for_again_and_one_by_hand_is_used() {
    let mut world = World::new();
    let mut stage = world.stage("");
    let mut director = stage.attached(&[]).await;
    let (request, answer) = director.asked().await;
    let refused = Instant::now();
    answer.send(EnrollReply::Answered(Verdict::Refused { reason: "who\nis this?".into() })).unwrap();
    let (again, answer) = director.asked().await;
    assert_eq!((again.id(), refused.elapsed() >= HOUR), (request.id(), true));
    assert!(matches!(told(&mut stage).await, Renewal::Asked { .. }));
    let failed = told(&mut stage).await;
    assert!(failed.to_string().contains("the administrator refused: who is this?"), "{failed}");
    // The director lets it wait, and it asks again and again, but not without a pause.
    let waits = Instant::now();
    answer.send(EnrollReply::Pending).unwrap();
    let (_, _answer) = director.asked().await;
    assert!(waits.elapsed() >= Duration::from_secs(30));
    // Meanwhile somebody at the site puts a certificate in place.
    let granted = world.authority.renew(&"Bengaluru".into(), Validity(9 * HOUR), (world.clock)()).unwrap();
    let by_hand = world.identity().install(&granted.certificate).unwrap();
    stage.attached(&[]).await;
    let expected = Renewal::Renewed { not_after: by_hand.peer().not_after };
    while told(&mut stage).await != expected {}
}
