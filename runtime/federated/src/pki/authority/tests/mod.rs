//! Identities, tokens, requests, renewals and revocations, from one end to the other.

mod enrolling;
mod issuing;
mod lists;
mod renewing;

use std::time::{Duration, SystemTime};

use tempfile::TempDir;

use super::*;
use crate::pki::enrolment::{self, Answer, EnrollReply, EnrollRequest, Enrolling, Verdict, Warrant};
use crate::pki::revocations::RevocationList;
use crate::pki::roster::{Roster, SignedRoster};
use crate::pki::token::Claims;
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
