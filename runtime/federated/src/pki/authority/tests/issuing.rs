//! What is issued, to whom, and what is not.

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyUsagePurpose,
    SanType,
};

use super::making::{alternative_names, common_name, serial};
use super::*;

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
