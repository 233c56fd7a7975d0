//! Certificates that are prolonged.

use super::*;

#[test]
fn a_certificate_is_renewed_with_the_same_key() {
    let mut place = Place::new();
    let relay = place.relay();
    let identity = place.issue("Bengaluru", Role::Envoy, &[]).unwrap();
    let other = place.issue("Portland", Role::Envoy, &[]).unwrap();
    let before = place.roster();
    place.now += DAY.0 * 3 / 4;
    let request = enrolment::renewal(&identity).unwrap();
    // Only the holder of the certificate may ask.
    assert_eq!(code(relay.receive(None, request.clone(), place.now)), "not-itself");
    assert_eq!(code(relay.receive(Some(other.peer()), request.clone(), place.now)), "not-itself");
    relay.receive(Some(identity.peer()), request.clone(), place.now).unwrap();
    assert!(place.authority.review(&request, place.now).unwrap().renewal);
    // However often somebody asks, one request waits.
    let warrant = Warrant::Renewal { serial: ByteBuf::from([1]) };
    let odd = EnrollRequest { warrant, csr: request.csr.clone() };
    relay.receive(Some(identity.peer()), odd, place.now).unwrap();
    relay.receive(Some(identity.peer()), request.clone(), place.now).unwrap();
    assert_eq!(relay.pending().len(), 1);
    let granted = place.sign(&request).unwrap();
    let renewed = identity.install(&granted.certificate).unwrap();
    assert_eq!(renewed.thumbprint(), identity.thumbprint());
    assert!(renewed.peer().not_after > identity.peer().not_after);
    assert_ne!(renewed.peer().serial, identity.peer().serial);
    assert_eq!(Identity::load(&place.path("Bengaluru")).unwrap().peer(), renewed.peer());
    // The next renewal is another request.
    assert_ne!(enrolment::renewal(&renewed).unwrap().id(), request.id());
    // Nobody has to approve a new roster for it.
    assert!(!place.roster().changes_since(&before).unwrap().adds());
    assert_eq!(code(other.install(&granted.certificate)), "wrong-key");
    // By hand, too; and never for those who have nothing to renew.
    let granted = place.authority.renew(&"Portland".into(), YEAR, place.now).unwrap();
    other.install(&granted.certificate).unwrap();
    assert_eq!(code(place.authority.renew(&"Nobody".into(), YEAR, place.now)), "unknown-name");
    let stranger = ByteBuf::from(enrolment::csr(&"Portland".into(), &Key::generate().unwrap()).unwrap());
    let request = EnrollRequest { warrant: Warrant::Renewal { serial: ByteBuf::new() }, csr: stranger };
    assert_eq!(code(place.authority.review(&request, place.now)), "unknown-name");
}

#[test]
fn a_renewal_is_asked_for_in_time_and_not_over_and_over() {
    let mut place = Place::new();
    let day = DAY.0;
    for (valid, before, left) in [
        (30 * day, None, 10 * day),
        (90 * day, Some(5 * day), 5 * day),
        // Longer than the certificate is good for.
        (60 * day, Some(90 * day), 40 * day),
        (Duration::from_secs(60), None, Duration::from_secs(20)),
    ] {
        let name = format!("for {}", Validity(valid));
        let order = Order { valid: Validity(valid), ..order(&name, Role::Envoy, &[]) };
        let path = place.path(&name);
        let peer = place.authority.issue(&order, &path, place.now).unwrap();
        let renews = Identity::load(&path).unwrap().renews_at(before);
        assert_eq!(peer.not_after.duration_since(renews).unwrap(), left, "{name}");
    }
}

#[test]
fn a_request_is_good_as_long_as_the_certificate_that_it_names() {
    let mut place = Place::new();
    let identity = place.issue("Bengaluru", Role::Envoy, &[]).unwrap();
    let request = enrolment::renewal(&identity).unwrap();
    place.now += DAY.0 * 3 / 4;
    let renewed = identity.install(&place.sign(&request).unwrap().certificate).unwrap();
    // A director that kept it cannot prolong the certificate for ever.
    place.now += DAY.0 / 2;
    assert_eq!(code(place.authority.review(&request, place.now)), "unknown-name");
    let next = enrolment::renewal(&renewed).unwrap();
    assert!(place.authority.review(&next, place.now).unwrap().renewal);
    // Nor does it go by another's.
    let other = place.issue("Portland", Role::Envoy, &[]).unwrap();
    let warrant = Warrant::Renewal { serial: ByteBuf::from(other.peer().serial.clone()) };
    let mixed = EnrollRequest { warrant, csr: next.csr };
    assert_eq!(code(place.authority.review(&mixed, place.now)), "unknown-name");
}
