//! Rosters and revocations.

use super::*;

#[test]
fn a_revoked_name_is_out_at_once_and_may_come_back_with_another_key() {
    let mut place = Place::new();
    let identity = place.issue("Bengaluru", Role::Envoy, &[]).unwrap();
    let renewed = place.authority.renew(&"Bengaluru".into(), DAY, place.now).unwrap();
    let renewed = identity.install(&renewed.certificate).unwrap();
    let revocations = Revocations::open(&place.path("revocations.cbor"), place.authority.trust()).unwrap();
    let old_list = place.authority.revocations().unwrap();
    assert!(revocations.update(&old_list).unwrap());
    let before = place.roster();
    assert_eq!(place.authority.revoke(&"Bengaluru".into(), place.now).unwrap(), 2);
    assert!(revocations.update(&place.authority.revocations().unwrap()).unwrap());
    for identity in [&identity, &renewed] {
        assert!(revocations.is_revoked(&identity.peer().serial));
    }
    assert_eq!(place.roster().changes_since(&before).unwrap().removed, ["Bengaluru"]);
    assert_eq!(code(before.changes_since(&place.roster())), "stale");
    let request = enrolment::renewal(&renewed).unwrap();
    assert_eq!(code(place.authority.review(&request, place.now)), "unknown-name");
    assert_eq!(code(place.authority.revoke(&"Bengaluru".into(), place.now)), "unknown-name");
    // Nobody can bring the older list back, here or after a restart.
    assert_eq!(code(revocations.update(&old_list)), "stale");
    let again = Revocations::open(&place.path("revocations.cbor"), place.authority.trust()).unwrap();
    assert_eq!(again.version(), revocations.version());
    let token = place.token("Bengaluru");
    let enrolling = Enrolling::start(&place.path("new"), token, place.now).unwrap();
    let granted = place.sign(enrolling.request()).unwrap();
    let identity = enrolling.finish(&granted, place.now).unwrap();
    assert!(!again.is_revoked(&identity.peer().serial));
    // Its other key is a change that sites approve.
    assert_eq!(place.roster().changes_since(&before).unwrap().changed, ["Bengaluru"]);
    assert!(place.roster().changes_since(&before).unwrap().adds());
}

#[test]
fn revoking_a_name_ends_its_unused_tokens() {
    let mut place = Place::new();
    let request = place.enrolling("Bengaluru").request().clone();
    let path = place.path("by hand");
    place.authority.issue(&order("Bengaluru", Role::Envoy, &[]), &path, place.now).unwrap();
    assert_eq!(code(place.authority.review(&request, place.now)), "name-taken");
    place.authority.revoke(&"Bengaluru".into(), place.now).unwrap();
    assert_eq!(code(place.authority.review(&request, place.now)), "token-unknown");
}

#[test]
fn a_roster_ends_and_is_signed_anew() {
    let mut place = Place::new();
    place.issue("Bengaluru", Role::Envoy, &[]).unwrap();
    let signed = place.authority.sign_roster(DAY, place.now).unwrap();
    let trust = place.authority.trust().clone();
    let roster = signed.verify(&trust, place.now).unwrap();
    assert_eq!(code(signed.verify(&trust, place.now + 2 * DAY.0)), "expired");
    // What was pinned can still be compared with.
    assert_eq!(signed.read(&trust).unwrap(), roster);
    for position in [0, 63, 64, signed.to_bytes().len() - 1] {
        let mut bytes = signed.to_bytes().to_vec();
        bytes[position] ^= 1;
        assert_eq!(code(SignedRoster::from_bytes(bytes).verify(&trust, place.now)), "wrong-authority");
    }
    assert_eq!(code(SignedRoster::from_bytes([1; 10]).verify(&trust, place.now)), "malformed");
    let other = Place::new();
    assert_eq!(code(signed.verify(other.authority.trust(), place.now)), "wrong-authority");
    // No statement is taken for another kind of statement.
    assert_eq!(code(RevocationList::verify(signed.to_bytes(), &trust)), "wrong-authority");
    assert_eq!(
        code(Claims::verify(&place.authority.revocations().unwrap(), &trust, place.now)),
        "wrong-authority"
    );
    let newer = place.authority.sign_roster(DAY, place.now).unwrap().verify(&trust, place.now).unwrap();
    assert_eq!(newer.version(), roster.version() + 1);
    assert_eq!(newer.changes_since(&roster).unwrap(), Default::default());
}

#[tokio::test]
async fn an_open_connection_learns_of_its_revocation() {
    let mut place = Place::new();
    let serial = place.issue("Bengaluru", Role::Envoy, &[]).unwrap().peer().serial.clone();
    let revocations = Revocations::none(place.authority.trust());
    let connection = revocations.clone();
    let waits = tokio::spawn(async move { connection.until_revoked(&serial).await });
    place.issue("Portland", Role::Envoy, &[]).unwrap();
    place.authority.revoke(&"Portland".into(), place.now).unwrap();
    revocations.update(&place.authority.revocations().unwrap()).unwrap();
    tokio::task::yield_now().await;
    assert!(!waits.is_finished());
    place.authority.revoke(&"Bengaluru".into(), place.now).unwrap();
    revocations.update(&place.authority.revocations().unwrap()).unwrap();
    tokio::time::timeout(Duration::from_secs(10), waits).await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_list_that_an_administrator_puts_into_the_file_is_read() {
    let mut place = Place::new();
    let serial = place.issue("Bengaluru", Role::Envoy, &[]).unwrap().peer().serial.clone();
    let path = place.path("list.cbor");
    let revocations = Revocations::open(&path, place.authority.trust()).unwrap();
    let (tell, mut refused) = tokio::sync::mpsc::unbounded_channel();
    let watched = revocations.clone();
    tokio::spawn(async move { watched.watch(|error| tell.send(error.code()).unwrap()).await });
    place.authority.revoke(&"Bengaluru".into(), place.now).unwrap();
    let list = place.authority.revocations().unwrap();
    std::fs::write(&path, &list).unwrap();
    tokio::time::timeout(Duration::from_secs(60), revocations.until_revoked(&serial)).await.unwrap();
    std::fs::write(&path, b"nonsense").unwrap();
    assert_eq!(refused.recv().await, Some("malformed"));
    assert!(revocations.is_revoked(&serial) && revocations.current().to_bytes() == list);
}
