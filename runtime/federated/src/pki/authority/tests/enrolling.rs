//! Tokens and requests, from the site through the director to the authority and back.

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa};

use super::making::common_name;
use super::*;

#[test]
fn a_site_enrols_through_the_director() {
    let mut place = Place::new();
    let relay = place.relay();
    let enrolling = place.enrolling("Bengaluru");
    assert_eq!(enrolling.authority(), place.authority.trust().thumbprint());
    let id = relay.receive(None, enrolling.request().clone(), place.now).unwrap();
    assert_eq!(relay.reply(&id), Some(EnrollReply::Pending));
    // The administrator's machine trusts nothing that the director says.
    let [PendingRequest { request, .. }] = relay.pending().try_into().unwrap();
    let reviewed = place.authority.review(&request, place.now).unwrap();
    let expected = Reviewed {
        name: "Bengaluru".into(),
        role: Role::Envoy,
        renewal: false,
        thumbprint: enrolling.thumbprint(),
    };
    assert_eq!(reviewed, expected);
    let answer = place.authority.sign(&request, DAY, place.now).unwrap();
    relay.answer(vec![answer]).unwrap();
    assert!(relay.pending().is_empty());
    // The director is restarted, and the site asks again.
    let relay = place.relay();
    assert_eq!(relay.receive(None, enrolling.request().clone(), place.now).unwrap(), id);
    let Some(EnrollReply::Answered(Verdict::Granted(granted))) = relay.reply(&id) else {
        panic!("no answer")
    };
    let identity = enrolling.finish(&granted, place.now).unwrap();
    assert_eq!((identity.name().as_str(), identity.role()), ("Bengaluru", Role::Envoy));
    let roster = identity.roster().unwrap().verify(identity.authority(), place.now).unwrap();
    assert_eq!(roster.get("Bengaluru").unwrap().key, identity.signing_key().unwrap().public());
    assert_eq!(roster, place.roster());
}

#[tokio::test]
async fn a_site_is_told_as_soon_as_there_is_an_answer() {
    let mut place = Place::new();
    let relay = place.relay();
    let request = place.enrolling("Bengaluru").request().clone();
    let id = relay.receive(None, request.clone(), place.now).unwrap();
    let answer = place.authority.refuse(&request, "who is this?", place.now).unwrap();
    let (told, ()) = tokio::join!(relay.answered(&id), async { relay.answer(vec![answer]).unwrap() });
    assert_eq!(told, Some(Verdict::Refused { reason: "who is this?".into() }));
    // The token of a refused request is worth nothing any more.
    assert_eq!(code(place.authority.sign(&request, DAY, place.now)), "token-used");
}

#[test]
fn an_interrupted_enrolment_makes_the_same_request_and_gets_the_same_certificate() {
    let mut place = Place::new();
    let token = place.token("Bengaluru");
    let start = |place: &Place| Enrolling::start(&place.path("Bengaluru"), token.clone(), place.now).unwrap();
    let first = start(&place).request().clone();
    let second = start(&place);
    assert_eq!(*second.request(), first);
    let granted = place.sign(&first).unwrap();
    assert_eq!(place.sign(&first).unwrap(), granted);
    // Even when the token has ended in the meantime.
    place.now += 2 * DAY.0;
    assert_eq!(place.sign(&first).unwrap().certificate, granted.certificate);
    place.now -= 2 * DAY.0;
    second.finish(&granted, place.now).unwrap();
    let again = Enrolling::start(&place.path("Bengaluru"), token, place.now).unwrap_err();
    assert_eq!(again.code(), "exists");
}

#[test]
fn a_director_cannot_put_its_own_key_into_a_request() {
    let mut place = Place::new();
    let relay = place.relay();
    let honest = place.enrolling("Bengaluru").request().clone();
    let forged_csr = enrolment::csr(&"Bengaluru".into(), &Key::generate().unwrap()).unwrap();
    let forged = EnrollRequest { csr: ByteBuf::from(forged_csr), ..honest.clone() };
    assert_eq!(code(place.authority.review(&forged, place.now)), "wrong-proof");
    // A refusal of the forgery leaves the token to the site.
    place.authority.refuse(&forged, "forged", place.now).unwrap();
    // And no answer is passed on that is not for the request's key.
    relay.receive(None, honest.clone(), place.now).unwrap();
    let other = place.enrolling("Portland").request().clone();
    let answer = place.authority.sign(&other, DAY, place.now).unwrap();
    let crossed = Answer { request: honest.id(), verdict: answer.verdict };
    assert_eq!(code(relay.answer(vec![crossed])), "wrong-name");
    place.sign(&honest).unwrap();
}

#[test]
fn a_token_is_good_once() {
    let mut place = Place::new();
    let relay = place.relay();
    let token = place.token("Bengaluru");
    let request = |place: &Place, dir: &str| {
        Enrolling::start(&place.path(dir), token.clone(), place.now).unwrap().request().clone()
    };
    let (first, second) = (request(&place, "first"), request(&place, "second"));
    relay.receive(None, first.clone(), place.now).unwrap();
    assert_eq!(code(relay.receive(None, second.clone(), place.now)), "token-used");
    assert_eq!(code(place.relay().receive(None, second.clone(), place.now)), "token-used");
    place.sign(&first).unwrap();
    assert_eq!(code(place.authority.review(&second, place.now)), "token-used");
    // Also after the certificate that it gave is revoked.
    place.authority.revoke(&"Bengaluru".into(), place.now).unwrap();
    assert_eq!(code(place.authority.review(&second, place.now)), "token-used");
}

#[test]
fn tokens_that_are_not_in_order_are_refused() {
    let mut place = Place::new();
    let relay = place.relay();
    let request = place.enrolling("Bengaluru").request().clone();
    let late = place.now + 2 * DAY.0;
    assert_eq!(code(relay.receive(None, request.clone(), late)), "expired");
    assert_eq!(code(place.authority.review(&request, late)), "expired");
    // A changed name, role or time breaks the signature.
    let Warrant::Token { claims, proof } = &request.warrant else { panic!("a token") };
    for position in [0, 63, 64, claims.len() - 1] {
        let mut claims = claims.clone();
        claims[position] ^= 1;
        let warrant = Warrant::Token { claims, proof: *proof };
        let tampered = EnrollRequest { warrant, csr: request.csr.clone() };
        assert_eq!(code(relay.receive(None, tampered.clone(), place.now)), "wrong-authority");
        assert_eq!(code(place.authority.review(&tampered, place.now)), "wrong-authority");
    }
    // Another federation's.
    let mut other = Place::new();
    let foreign = other.enrolling("Bengaluru").request().clone();
    assert_eq!(code(relay.receive(None, foreign.clone(), place.now)), "wrong-authority");
    assert_eq!(code(place.authority.review(&foreign, place.now)), "wrong-authority");
    // A request for somebody else.
    let key = Key::generate().unwrap();
    let csr = ByteBuf::from(enrolment::csr(&"Portland".into(), &key).unwrap());
    let stolen = EnrollRequest { csr, ..request.clone() };
    assert_eq!(code(relay.receive(None, stolen.clone(), place.now)), "wrong-name");
    assert_eq!(code(place.authority.review(&stolen, place.now)), "wrong-name");
    // One that the authority forgot, since its name was revoked.
    place.issue("Portland", Role::Envoy, &[]).unwrap();
    let text = place.token("Chennai");
    place.authority.ledger.forget_tokens(&"Chennai".into());
    let request = Enrolling::start(&place.path("Chennai"), text, place.now).unwrap().request().clone();
    assert_eq!(code(place.authority.review(&request, place.now)), "token-unknown");
}

#[test]
fn the_text_of_a_token_is_read_whole_or_not_at_all() {
    let mut place = Place::new();
    let token = place.token("Bengaluru");
    let text = token.to_text().unwrap();
    assert!(text.starts_with("veilflow1.") && !text.contains(['\n', ' ', '/', '+']));
    for bad in
        ["", "veilflow1.", &text[1..], &text[..text.len() - 3], &format!("{}!", *text), &"x".repeat(9999)]
    {
        assert!(bad.parse::<Token>().is_err(), "{bad}");
    }
    assert!(!format!("{token:?}").contains("secret: "));
}

#[test]
fn an_answer_that_is_not_the_authoritys_is_refused_at_the_site() {
    let mut place = Place::new();
    let site = place.enrolling("Bengaluru");
    let good = place.sign(site.request()).unwrap();
    // A director's own authority, with a certificate for the site's own request.
    let mut evil = Place::new();
    let forged =
        evil.authority.issue_for(&order("Bengaluru", Role::Envoy, &[]), &site.request().csr, evil.now);
    let finish = |granted: Granted| {
        // The same folder and token make the same site.
        let token = site.token().clone();
        Enrolling::start(&place.path("Bengaluru"), token, place.now).unwrap().finish(&granted, place.now)
    };
    let forged = forged.unwrap();
    assert_eq!(code(finish(forged.clone())), "wrong-authority");
    let Granted { certificate, roster, revocations, .. } = forged;
    for mixed in [
        Granted { certificate, ..good.clone() },
        Granted { roster, ..good.clone() },
        Granted { revocations, ..good.clone() },
    ] {
        assert_eq!(code(finish(mixed)), "wrong-authority");
    }
    finish(good.clone()).unwrap();
}

#[test]
fn requests_that_are_no_requests_are_refused() {
    let mut place = Place::new();
    let relay = place.relay();
    let good = place.enrolling("Bengaluru").request().clone();
    let with = |csr: Vec<u8>| EnrollRequest { csr: ByteBuf::from(csr), ..good.clone() };
    let mut tampered = good.csr.to_vec();
    let last = tampered.len() - 1;
    tampered[last] ^= 1;
    let mut longer = good.csr.to_vec();
    longer.push(0);
    // One that asks to be an authority, and one with a name among its hosts.
    let key = Key::generate().unwrap();
    let mut params = CertificateParams::default();
    params.distinguished_name = common_name("Bengaluru");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = params.serialize_request(&key).unwrap().der().to_vec();
    params.is_ca = IsCa::NoCa;
    params.distinguished_name.push(DnType::OrganizationName, "x");
    let two_names = params.serialize_request(&key).unwrap().der().to_vec();
    for csr in [Vec::new(), b"nonsense".to_vec(), tampered, longer, authority, two_names] {
        let request = with(csr);
        assert_eq!(code(relay.receive(None, request.clone(), place.now)), "malformed");
        assert_eq!(code(place.authority.review(&request, place.now)), "malformed");
    }
    assert_eq!(code(relay.receive(None, with(vec![0; 100_000]), place.now)), "too-large");
    assert_eq!(code(place.authority.review(&with(vec![0; 100_000]), place.now)), "too-large");
}
