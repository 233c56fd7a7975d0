//! `pki`, as far as it needs no director.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde_json::Value;
use tempfile::TempDir;
use veilflow_cli::Registry;
use veilflow_federated::pki::{
    Authority, Enrolling, Identity, Passphrase, Revocations, Role, SignedRoster, Token, Trust, Validity,
    Verdict,
};

use crate::toy::{Outcome, veilflow_of};

/// A folder with an authority in it.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        let outcome = place.run(&["init", "--name", "Trial", "--valid", "2y"]);
        assert!(outcome.out.contains("Trial") && outcome.out.contains("SHA-256"), "{}", outcome.out);
        assert!(outcome.err.contains("not encrypted"), "{}", outcome.err);
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn ca(&self) -> PathBuf {
        self.path("ca")
    }

    fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    fn attempt(&self, arguments: &[&str]) -> Outcome {
        let ca = self.text("ca");
        let (first, rest) = arguments.split_first().unwrap();
        let arguments: Vec<_> = ["pki", first, "--ca", &ca].into_iter().chain(rest.iter().copied()).collect();
        veilflow_of(&Registry::new(), &arguments)
    }

    fn run(&self, arguments: &[&str]) -> Outcome {
        let outcome = self.attempt(arguments);
        assert_eq!(outcome.code, 0, "{arguments:?}: {}", outcome.err);
        outcome
    }

    fn refused(&self, arguments: &[&str], texts: &[&str]) {
        let outcome = self.attempt(arguments);
        assert!(outcome.code > 0 && outcome.out.is_empty(), "{arguments:?}: {}", outcome.out);
        for text in texts {
            assert!(outcome.err.contains(text), "{arguments:?} does not say {text:?}: {}", outcome.err);
        }
    }

    fn issue(&self, name: &str, role: &str) -> Identity {
        self.run(&["issue", "--name", name, "--role", role, "--out", &self.text(name)]);
        Identity::load(&self.path(name)).unwrap()
    }

    fn trust(&self) -> Trust {
        Trust::load(&self.ca().join("authority.pem")).unwrap()
    }

    fn roster(&self, more: &[&str]) -> Value {
        let arguments: Vec<_> = ["roster", "--output", "json"].iter().chain(more).copied().collect();
        serde_json::from_str(&self.run(&arguments).out).unwrap()
    }
}

fn exists(path: &Path) -> bool {
    path.exists()
}

#[test]
fn identities_are_issued_listed_and_revoked() {
    let place = Place::new();
    let dir = place.text("director");
    let director = [
        "issue",
        "--name",
        "director",
        "--role",
        "director",
        "--hosts",
        "localhost,127.0.0.1",
        "--out",
        &dir,
    ];
    assert!(place.run(&director).out.contains("director is director until"));
    assert!(exists(&place.path("director/key.pem")) && exists(&place.path("director/revocations.cbor")));
    let envoy = place.issue("Bengaluru", "envoy");
    assert_eq!((envoy.name().as_str(), envoy.role()), ("Bengaluru", Role::Envoy));
    let table = place.run(&["roster"]).out;
    for text in ["Bengaluru", "envoy", "valid", "Roster of Trial", &envoy.thumbprint().to_string()] {
        assert!(table.contains(text), "{text}: {table}");
    }
    let before = place.roster(&[]);
    assert_eq!(before["roster"]["members"].as_array().unwrap().len(), 2);
    assert_eq!(before["authority"], place.trust().thumbprint().to_string());
    let said = place.run(&["revoke", "--name", "Bengaluru"]).out;
    assert!(said.contains("one certificate revoked") && said.contains("revocations.cbor"), "{said}");
    let revocations = Revocations::open(&place.ca().join("revocations.cbor"), &place.trust()).unwrap();
    assert!(revocations.is_revoked(&envoy.peer().serial));
    let after = place.roster(&[]);
    assert_eq!(after["roster"]["members"].as_array().unwrap().len(), 1);
    assert_eq!(after["certificates"][1]["state"], "revoked");
    assert!(after["roster"]["version"].as_u64() > before["roster"]["version"].as_u64());
    place.refused(&["revoke", "--name", "Bengaluru"], &["Bengaluru", "pki roster"]);
}

#[test]
fn a_token_enrols_a_site_once() {
    let place = Place::new();
    let said = place.run(&["token", "--name", "Bengaluru", "--role", "envoy", "--valid", "24h"]);
    assert!(said.err.contains("envoy enroll"), "{}", said.err);
    let token: Token = said.out.parse().unwrap();
    assert_eq!(token.authority(), place.trust().thumbprint());
    let object = place.run(&["token", "--name", "Portland", "--output", "json"]).out;
    let object: Value = serde_json::from_str(&object).unwrap();
    let other: Token = object["token"].as_str().unwrap().parse().unwrap();
    assert_eq!((other.claims().name.as_str(), &object["role"]), ("Portland", &"envoy".into()));
    let now = SystemTime::now();
    let site = Enrolling::start(&place.path("site"), token, now).unwrap();
    let mut authority = Authority::open(&place.ca(), None).unwrap();
    let valid: Validity = "30d".parse().unwrap();
    let Verdict::Granted(granted) = authority.sign(site.request(), valid, now).unwrap().verdict else {
        panic!("refused")
    };
    site.finish(&granted, now).unwrap().check(Role::Envoy, now).unwrap();
    drop(authority);
    place.refused(&["token", "--name", "Bengaluru"], &["Bengaluru has a valid certificate", "pki renew"]);
}

#[test]
fn a_certificate_is_renewed_by_file() {
    let place = Place::new();
    let identity = place.issue("Bengaluru", "envoy");
    let (file, dir) = (place.text("new.pem"), place.text("Bengaluru"));
    place.run(&["renew", "--name", "Bengaluru", "--valid", "2y", "--out", &file]);
    let said = place.run(&["renew", "--identity", &dir, "--certificate", &file]).out;
    assert!(said.contains("Bengaluru is valid until"), "{said}");
    let renewed = Identity::load(&place.path("Bengaluru")).unwrap();
    assert!(renewed.peer().not_after > identity.peer().not_after);
    place.refused(&["renew", "--name", "Nobody", "--out", &file], &["Nobody", "pki roster"]);
    // Not into somebody else's identity.
    place.issue("Portland", "envoy");
    let other = place.text("Portland");
    place.refused(&["renew", "--identity", &other, "--certificate", &file], &["does not belong"]);
}

#[test]
fn a_request_that_was_made_elsewhere_is_signed() {
    let place = Place::new();
    // Made by other tools: a token's request has a certificate request in it.
    let token: Token = place.run(&["token", "--name", "Ada", "--role", "client"]).out.parse().unwrap();
    let site = Enrolling::start(&place.path("ada"), token, SystemTime::now()).unwrap();
    std::fs::write(place.path("ada.csr"), &*site.request().csr).unwrap();
    let (csr, out) = (place.text("ada.csr"), place.text("signed"));
    let order = ["issue", "--name", "Ada", "--role", "client", "--csr", &csr, "--out", &out];
    place.run(&order);
    assert!(!exists(&place.path("signed/key.pem")));
    std::fs::copy(place.path("ada/key.pem"), place.path("signed/key.pem")).unwrap();
    assert_eq!(Identity::load(&place.path("signed")).unwrap().role(), Role::Client);
    let other = ["issue", "--name", "Bob", "--role", "client", "--csr", &csr, "--out", &out];
    place.refused(&other, &["is for Ada", "Bob was expected"]);
}

#[test]
fn a_new_roster_is_signed_on_request() {
    let place = Place::new();
    place.issue("Bengaluru", "envoy");
    let file = place.text("roster.cbor");
    let signed = place.roster(&["--sign", "10d", "--out", &file]);
    let roster = SignedRoster::from_bytes(std::fs::read(&file).unwrap());
    let roster = roster.verify(&place.trust(), SystemTime::now()).unwrap();
    assert_eq!(signed["roster"]["version"], roster.version());
    let days = roster.not_after().duration_since(roster.issued()).unwrap().as_secs() / (24 * 3600);
    assert_eq!(days, 10);
    assert_eq!(place.roster(&[])["roster"]["version"], roster.version());
}

#[test]
fn mistakes_say_what_to_do() {
    let place = Place::new();
    let out = place.text("x");
    place.refused(&["init"], &["is there already"]);
    place.refused(&["issue", "--name", "d", "--role", "director", "--out", &out], &["--hosts"]);
    place.refused(
        &["issue", "--name", "a", "--role", "boss", "--out", &out],
        &["director, envoy, client or admin"],
    );
    place.refused(&["token", "--name", "a", "--valid", "soon"], &["24h"]);
    place.refused(&["token", "--name", "d", "--role", "director"], &["pki issue"]);
    place.refused(&["requests"], &["--director"]);
    place.refused(&["revoke", "--name", "a", "--director", "https://localhost:1"], &["--identity"]);
    place.refused(&["renew"], &["--name"]);
    place.refused(&["sine"], &["sign"]);
    let elsewhere = place.text("nowhere");
    let outcome = veilflow_of(&Registry::new(), &["pki", "roster", "--ca", &elsewhere]);
    assert!(outcome.code > 0 && outcome.err.contains("authority.pem"), "{}", outcome.err);
    // An identity that is no administrator's asks nobody anything.
    place.issue("Bengaluru", "envoy");
    let dir = place.text("Bengaluru");
    place.refused(&["renew", "--identity", &dir], &["--certificate", "--director"]);
    place.refused(&["requests", "--director", "https://localhost:1", "--identity", &dir], &["admin"]);
}

#[test]
fn an_encrypted_authority_says_which_variable_opens_it() {
    let dir = tempfile::tempdir().unwrap();
    let phrase = Passphrase::new("correct".to_owned());
    let year: Validity = "1y".parse().unwrap();
    drop(Authority::create(dir.path(), "trial", year, phrase.as_ref(), SystemTime::now()).unwrap());
    let outcome = veilflow_of(&Registry::new(), &["pki", "roster", "--ca", dir.path().to_str().unwrap()]);
    assert!(outcome.code > 0 && outcome.err.contains("VEILFLOW_CA_PASSPHRASE"), "{}", outcome.err);
}
