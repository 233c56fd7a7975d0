//! Row 4 of `SECURITY.md`, at a site that pins the authority's roster.

use std::time::{Duration, SystemTime};

use tempfile::TempDir;

use super::*;
use crate::pki::{Authority, Order, Validity, throwaway};

const YEAR: Validity = Validity(Duration::from_secs(365 * 24 * 3600));

struct World {
    folder: TempDir,
    authority: Authority,
    bengaluru: Identity,
}

impl World {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let made = throwaway(&folder.path().join("pki"), &["Bengaluru".into(), "Portland".into()]).unwrap();
        let authority = Authority::open(&made.authority, None).unwrap();
        let bengaluru = Identity::load(&made.envoys[&Name::from("Bengaluru")]).unwrap();
        Self { folder, authority, bengaluru }
    }

    fn pin(&self, additions: Additions) -> RosterPin {
        RosterPin::open(&self.folder.path().join("state"), &self.bengaluru, additions).unwrap()
    }

    fn enrol(&mut self, name: &str) {
        let order = Order { name: name.into(), role: Role::Envoy, hosts: Vec::new(), valid: YEAR };
        let folder = self.folder.path().join(format!("new-{name}"));
        self.authority.issue(&order, &folder, SystemTime::now()).unwrap();
    }

    fn roster(&self) -> Vec<u8> {
        self.authority.roster().unwrap().to_bytes().to_vec()
    }
}

fn trusted(pin: &RosterPin) -> Vec<String> {
    let entries = pin.entries().unwrap();
    entries.iter().filter(|entry| entry.trusted).map(|entry| entry.name.to_string()).collect()
}

fn now() -> SystemTime {
    SystemTime::now()
}

#[test]
fn row_04_nobody_new_is_trusted_before_the_site_has_approved() {
    let mut world = World::new();
    let pin = world.pin(Additions::Approve);
    // What came with the identity is pinned; of it the site trusts itself.
    pin.offer(&world.roster(), now()).unwrap();
    assert_eq!(trusted(&pin), ["Bengaluru"]);
    assert_eq!(pin.approve(&["Portland".into()]).unwrap(), ["Portland"]);
    world.enrol("Leuven");
    let pinned = pin.offer(&world.roster(), now()).unwrap().unwrap();
    assert_eq!((pinned.waiting.as_slice(), pinned.removed.as_slice()), (&["Leuven".into()][..], &[][..]));
    let identities = pin.identities(now()).unwrap();
    assert!(identities.get("Portland").is_some() && identities.get("Leuven").is_none());
    // Who waits counts among those who may work for the director.
    assert_eq!(identities.enrolled(), 3);
    // From another process, as by `veilflow envoy roster`.
    assert_eq!(world.pin(Additions::Approve).approve(&[]).unwrap(), ["Leuven"]);
    assert!(pin.identities(now()).unwrap().get("Leuven").is_some());
    let unknown = pin.approve(&["Lueven".into()]).unwrap_err();
    assert!(unknown.to_string().contains("did you mean `Leuven`?"), "{unknown}");
    // Only sites take part in sessions, so only they are there.
    assert_eq!(pin.entries().unwrap().len(), 3);
}

#[test]
fn row_04_who_is_gone_is_gone_at_once_and_comes_back_as_somebody_new() {
    let mut world = World::new();
    let pin = world.pin(Additions::Approve);
    pin.offer(&world.roster(), now()).unwrap();
    pin.approve(&[]).unwrap();
    world.authority.revoke(&"Portland".into(), now()).unwrap();
    let pinned = pin.offer(&world.roster(), now()).unwrap().unwrap();
    assert_eq!(pinned.removed, ["Portland"]);
    assert!(pin.identities(now()).unwrap().get("Portland").is_none());
    // The same name, another key.
    world.enrol("Portland");
    let pinned = pin.offer(&world.roster(), now()).unwrap().unwrap();
    assert_eq!(pinned.waiting, ["Portland"]);
    assert!(pin.identities(now()).unwrap().get("Portland").is_none());
    pin.approve(&["Portland".into()]).unwrap();
    assert!(pin.identities(now()).unwrap().get("Portland").is_some());
}

#[test]
fn a_site_may_leave_additions_to_the_authority() {
    let mut world = World::new();
    let pin = world.pin(Additions::Accept);
    pin.offer(&world.roster(), now()).unwrap();
    world.enrol("Leuven");
    let pinned = pin.offer(&world.roster(), now()).unwrap().unwrap();
    assert_eq!(pinned.waiting, Vec::<Name>::new());
    assert_eq!(trusted(&pin), ["Bengaluru", "Leuven", "Portland"]);
    // Should it think again, it keeps whom it has trusted.
    let pin = world.pin(Additions::Approve);
    world.enrol("Oslo");
    pin.offer(&world.roster(), now()).unwrap();
    assert_eq!(trusted(&pin), ["Bengaluru", "Leuven", "Portland"]);
}

#[test]
fn row_04_no_director_goes_back_to_an_older_roster_or_invents_one() {
    let mut world = World::new();
    let pin = world.pin(Additions::Accept);
    let old = world.roster();
    world.enrol("Leuven");
    let new = world.roster();
    let version = pin.offer(&new, now()).unwrap().unwrap().version;
    assert_eq!((pin.offer(&new, now()).unwrap(), pin.version().unwrap()), (None, version));
    let error = pin.offer(&old, now()).unwrap_err();
    assert!(matches!(error, RosterError::Older { have, got } if have == version && got < have), "{error}");
    // After a restart too.
    assert_eq!(world.pin(Additions::Accept).offer(&old, now()).unwrap_err().code(), "roster-older");
    for forged in [World::new().roster(), b"nothing".to_vec(), Vec::new()] {
        assert!(pin.offer(&forged, now()).is_err());
    }
    let mut bent = world.authority.sign_roster(YEAR, now()).unwrap().to_bytes().to_vec();
    let middle = bent.len() / 2;
    bent[middle] ^= 1;
    assert!(pin.offer(&bent, now()).is_err());
    assert_eq!(pin.version().unwrap(), version);
}

#[test]
fn a_roster_ends_and_with_it_the_sessions() {
    let mut world = World::new();
    let pin = world.pin(Additions::Accept);
    let short = Validity(Duration::from_secs(3600));
    let signed = world.authority.sign_roster(short, now()).unwrap();
    pin.offer(signed.to_bytes(), now()).unwrap();
    assert_eq!(pin.identities(now()).unwrap().enrolled(), 2);
    let later = now() + Duration::from_secs(2 * 3600);
    assert!(pin.identities(later).is_err());
    // One that has ended is not pinned, however new it is.
    let ended = world.authority.sign_roster(short, now()).unwrap();
    assert!(pin.offer(ended.to_bytes(), later).is_err());
    // The next one is.
    let fresh = world.authority.sign_roster(YEAR, now()).unwrap();
    assert!(pin.offer(fresh.to_bytes(), later).unwrap().is_some());
    assert!(pin.identities(later).is_ok());
}

#[test]
fn approvals_that_were_damaged_are_an_error_and_approve_nobody() {
    let world = World::new();
    let pin = world.pin(Additions::Approve);
    pin.offer(&world.roster(), now()).unwrap();
    pin.approve(&[]).unwrap();
    let path = world.folder.path().join("state").join(APPROVED);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes.truncate(bytes.len() - 1);
    std::fs::write(&path, bytes).unwrap();
    assert_eq!(pin.identities(now()).unwrap_err().code(), "roster-damaged");
}
