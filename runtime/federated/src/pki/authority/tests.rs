//! Identities, tokens, requests, renewals and revocations, from one end to the other.

use std::time::{Duration, SystemTime};

use tempfile::TempDir;

use super::*;
use crate::pki::enrolment::{self, EnrollReply, Enrolling};
use crate::pki::{Identity, PendingRequest, Relay, Revocations};

const DAY: Validity = Validity(Duration::from_secs(24 * 3600));
const YEAR: Validity = Validity(Duration::from_secs(365 * 24 * 3600));

/// A federation in a folder, and its time.
struct Place {
    dir: TempDir,
    authority: Authority,
    now: SystemTime,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let now = SystemTime::now();
        let authority = Authority::create(&dir.path().join("ca"), "trial", YEAR, None, now).unwrap();
        Self { dir, authority, now }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn issue(&mut self, name: &str, role: Role, hosts: &[&str]) -> Result<Identity, PkiError> {
        let dir = self.path(name);
        self.authority.issue(&order(name, role, hosts), &dir, self.now)?;
        Identity::load(&dir)
    }

    fn token(&mut self, name: &str) -> Token {
        let token = self.authority.token(&name.into(), Role::Envoy, DAY, self.now).unwrap();
        // As the site gets it.
        token.to_text().unwrap().parse().unwrap()
    }

    fn enrolling(&mut self, name: &str) -> Enrolling {
        let token = self.token(name);
        Enrolling::start(&self.path(name), token, self.now).unwrap()
    }

    fn sign(&mut self, request: &EnrollRequest) -> Result<Granted, PkiError> {
        match self.authority.sign(request, DAY, self.now)?.verdict {
            Verdict::Granted(granted) => Ok(granted),
            Verdict::Refused { reason } => panic!("refused: {reason}"),
        }
    }

    fn relay(&self) -> Relay {
        Relay::open(&self.path("requests.cbor"), self.authority.trust()).unwrap()
    }

    fn roster(&self) -> Roster {
        self.authority.roster().unwrap().verify(self.authority.trust(), self.now).unwrap()
    }
}

fn order(name: &str, role: Role, hosts: &[&str]) -> Order {
    let hosts = hosts.iter().map(ToString::to_string).collect();
    Order { name: name.into(), role, hosts, valid: DAY }
}

fn code<T: std::fmt::Debug>(result: Result<T, PkiError>) -> &'static str {
    result.unwrap_err().code()
}

#[test]
fn an_issued_identity_is_what_it_was_ordered_to_be() {
    let mut place = Place::new();
    let director = place.issue("director", Role::Director, &["localhost", "127.0.0.1", "::1"]).unwrap();
    let envoy = place.issue("São Paulo", Role::Envoy, &[]).unwrap();
    assert_eq!((director.name().as_str(), director.role()), ("director", Role::Director));
    assert_eq!((envoy.name().as_str(), envoy.role()), ("São Paulo", Role::Envoy));
    envoy.check(Role::Envoy, place.now).unwrap();
    assert_eq!(code(envoy.check(Role::Client, place.now)), "wrong-role");
    assert_eq!(code(envoy.check(Role::Envoy, place.now + 2 * DAY.0)), "expired");
    assert_eq!(code(envoy.check(Role::Envoy, place.now - DAY.0)), "not-yet-valid");
    assert!(!envoy.is_due(place.now) && envoy.is_due(place.now + DAY.0 * 3 / 4));
    let roster = place.roster();
    let member = roster.get("São Paulo").unwrap();
    assert_eq!((member.role, member.key), (Role::Envoy, envoy.signing_key().unwrap().public()));
    assert_eq!(member.thumbprint(), envoy.thumbprint());
    // SecAgg trusts envoys, and nobody else.
    let identities = roster.identities();
    assert!(identities.get("São Paulo").is_some() && identities.get("director").is_none());
    assert_eq!(identities.enrolled(), 1);
}

#[test]
fn orders_that_make_no_sense_are_refused_and_leave_nothing() {
    let mut place = Place::new();
    for (name, role, hosts, expected) in [
        ("director", Role::Director, &[][..], "no-hosts"),
        ("Bengaluru", Role::Envoy, &["localhost"][..], "needless-hosts"),
        ("director", Role::Director, &["not a host"][..], "invalid-host"),
        ("a,b", Role::Envoy, &[][..], "invalid-name"),
    ] {
        assert_eq!(code(place.issue(name, role, hosts)), expected, "{name}");
        assert!(!place.path(name).exists(), "{name}");
    }
    let short = Order { valid: Validity(Duration::from_secs(1)), ..order("a", Role::Envoy, &[]) };
    let path = place.path("a");
    assert_eq!(code(place.authority.issue(&short, &path, place.now)), "invalid-validity");
    place.issue("Bengaluru", Role::Envoy, &[]).unwrap();
    assert_eq!(code(place.issue("Bengaluru", Role::Envoy, &[])), "name-taken");
    assert_eq!(code(place.authority.token(&"Bengaluru".into(), Role::Envoy, DAY, place.now)), "name-taken");
    assert_eq!(code(place.authority.token(&"d".into(), Role::Director, DAY, place.now)), "director-by-token");
}

#[test]
fn nothing_outlasts_the_authority() {
    let mut place = Place::new();
    let long = Order { valid: Validity(YEAR.0 * 50), ..order("a", Role::Envoy, &[]) };
    let path = place.path("a");
    let peer = place.authority.issue(&long, &path, place.now).unwrap();
    assert_eq!(peer.not_after, place.authority.trust().valid().1);
}

#[test]
fn an_authority_is_not_made_twice_nor_used_twice_at_once() {
    let place = Place::new();
    let path = place.path("ca");
    assert_eq!(code(Authority::create(&path, "other", YEAR, None, place.now).map(drop)), "exists");
    assert_eq!(code(Authority::open(&path, None).map(drop)), "locked");
    let thumbprint = place.authority.trust().thumbprint();
    drop(place.authority);
    let again = Authority::open(&path, None).unwrap();
    assert_eq!((again.federation(), again.trust().thumbprint()), ("trial", thumbprint));
}

#[test]
fn the_authoritys_key_can_be_encrypted() {
    let dir = tempfile::tempdir().unwrap();
    let phrase = |text: &str| Passphrase::new(text.to_owned());
    let now = SystemTime::now();
    drop(Authority::create(dir.path(), "trial", YEAR, phrase("correct").as_ref(), now).unwrap());
    let pem = std::fs::read_to_string(dir.path().join(KEY)).unwrap();
    assert!(pem.starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----"));
    assert_eq!(code(Authority::open(dir.path(), None).map(drop)), "passphrase");
    assert_eq!(code(Authority::open(dir.path(), phrase("wrong").as_ref()).map(drop)), "passphrase");
    Authority::open(dir.path(), phrase("correct").as_ref()).unwrap();
    assert!(phrase("").is_none());
}

#[cfg(unix)]
#[test]
fn keys_are_for_their_owner_only() {
    use std::os::unix::fs::PermissionsExt as _;

    let mut place = Place::new();
    place.issue("Bengaluru", Role::Envoy, &[]).unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let key = place.path("Bengaluru").join(identity::KEY);
    for secret in [&key, &place.path("ca").join(KEY), &place.path("ca").join(LEDGER)] {
        assert_eq!(mode(secret), 0o600, "{}", secret.display());
    }
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
    assert_eq!(code(Identity::load(&place.path("Bengaluru"))), "exposed");
}

#[test]
fn a_key_and_a_certificate_that_do_not_belong_together_are_refused() {
    let mut place = Place::new();
    place.issue("a", Role::Envoy, &[]).unwrap();
    place.issue("b", Role::Envoy, &[]).unwrap();
    let copy = |from: &str, to: &str, file: &str| {
        std::fs::copy(place.path(from).join(file), place.path(to).join(file)).unwrap();
    };
    copy("a", "b", identity::CERTIFICATE);
    assert_eq!(code(Identity::load(&place.path("b"))), "wrong-key");
    // Another federation's certificate.
    let mut other = Place::new();
    other.issue("a", Role::Envoy, &[]).unwrap();
    std::fs::copy(other.path("a").join(identity::AUTHORITY), place.path("a").join(identity::AUTHORITY))
        .unwrap();
    assert_eq!(code(Identity::load(&place.path("a"))), "wrong-authority");
}

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
    let mixed = |certificate: &ByteBuf, roster: &ByteBuf| Granted {
        certificate: certificate.clone(),
        authority: good.authority.clone(),
        roster: roster.clone(),
    };
    assert_eq!(code(finish(mixed(&forged.certificate, &good.roster))), "wrong-authority");
    assert_eq!(code(finish(mixed(&good.certificate, &forged.roster))), "wrong-authority");
    finish(good.clone()).unwrap();
}

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
fn the_ledger_outlasts_the_process() {
    let mut place = Place::new();
    let request = place.enrolling("Bengaluru").request().clone();
    place.issue("Portland", Role::Envoy, &[]).unwrap();
    place.authority.revoke(&"Portland".into(), place.now).unwrap();
    let (issued, roster) = (place.authority.issued().collect::<Vec<_>>(), place.roster());
    let Place { dir, authority, now } = place;
    drop(authority);
    let authority = Authority::open(&dir.path().join("ca"), None).unwrap();
    let mut place = Place { dir, authority, now };
    assert_eq!(place.authority.issued().collect::<Vec<_>>(), issued);
    assert_eq!(place.roster(), roster);
    place.sign(&request).unwrap();
    assert!(place.roster().version() > roster.version());
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

#[test]
fn a_list_that_an_administrator_puts_into_the_file_is_read() {
    let mut place = Place::new();
    let serial = place.issue("Bengaluru", Role::Envoy, &[]).unwrap().peer().serial.clone();
    let path = place.path("list.cbor");
    let revocations = Revocations::open(&path, place.authority.trust()).unwrap();
    assert!(!revocations.reload().unwrap());
    place.authority.revoke(&"Bengaluru".into(), place.now).unwrap();
    std::fs::write(&path, place.authority.revocations().unwrap()).unwrap();
    assert!(revocations.reload().unwrap() && revocations.is_revoked(&serial));
    std::fs::write(&path, b"nonsense").unwrap();
    assert!(revocations.reload().is_err() && revocations.is_revoked(&serial));
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

#[test]
fn certificates_that_this_authority_would_not_issue_are_refused() {
    let place = Place::new();
    let issuer = Issuer::from_ca_cert_der(place.authority.trust.certificate(), &place.authority.key).unwrap();
    let key = Key::generate().unwrap();
    let name: Name = "Bengaluru".into();
    let base = || {
        let mut params = CertificateParams::default();
        params.distinguished_name = common_name(name.as_str());
        params.subject_alt_names = alternative_names(&order("Bengaluru", Role::Envoy, &[])).unwrap();
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.serial_number = Some(serial().unwrap());
        params
    };
    let read = |params: CertificateParams| Peer::from_der(params.signed_by(&key, &issuer).unwrap().der());
    read(base()).unwrap();
    let change = |change: &dyn Fn(&mut CertificateParams)| {
        let mut params = base();
        change(&mut params);
        read(params)
    };
    let uri = |text: &str| SanType::URI(text.try_into().unwrap());
    let odd: [&dyn Fn(&mut CertificateParams); 11] = [
        &|params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained),
        &|params| params.subject_alt_names.clear(),
        &|params| params.subject_alt_names = vec![uri("veilflow:envoy/Portland")],
        &|params| params.subject_alt_names = vec![uri("veilflow:boss/Bengaluru")],
        &|params| params.subject_alt_names = vec![uri("veilflow:director/Bengaluru")],
        &|params| params.subject_alt_names.push(uri("veilflow:admin/Bengaluru")),
        &|params| params.subject_alt_names.push(SanType::DnsName("localhost".try_into().unwrap())),
        &|params| params.extended_key_usages.push(ExtendedKeyUsagePurpose::ServerAuth),
        &|params| params.extended_key_usages.clear(),
        &|params| params.key_usages.push(KeyUsagePurpose::KeyCertSign),
        &|params| params.distinguished_name.push(DnType::OrganizationName, "x"),
    ];
    for (position, odd) in odd.iter().enumerate() {
        assert_eq!(code(change(odd)), "malformed", "{position}");
    }
    let nobody = change(&|params| params.distinguished_name = common_name("a,b"));
    assert_eq!(code(nobody), "invalid-name");
    for noise in [&[][..], &[0x30, 0x80], b"-----BEGIN CERTIFICATE-----"] {
        assert_eq!(code(Peer::from_der(noise)), "malformed");
    }
}
