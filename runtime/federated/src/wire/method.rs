//! The calls, their paths, and who may make them.

use std::fmt;

use super::error::Refusal;
use crate::pki::{Peer, Role};

macro_rules! methods {
    ($($method:ident $path:literal),* $(,)?) => {
        /// A call.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Method {
            $(#[doc = concat!("`", $path, "`.")] $method,)*
        }

        impl Method {
            /// Its path in a request.
            pub(crate) fn path(self) -> &'static str {
                match self {
                    $(Method::$method => concat!("/veilflow.Director/", $path),)*
                }
            }

            /// The call of this path.
            pub(crate) fn of(path: &str) -> Option<Self> {
                match path {
                    $(concat!("/veilflow.Director/", $path) => Some(Method::$method),)*
                    _ => None,
                }
            }
        }
    };
}

methods! {
    Attach "Attach",
    Submit "Submit",
    List "List",
    Show "Show",
    Follow "Follow",
    Cancel "Cancel",
    Envoys "Envoys",
    Fetch "Fetch",
    Store "Store",
    Missing "Missing",
    Enroll "Enroll",
    Pending "Pending",
    Publish "Publish",
}

impl Method {
    /// Who may make it; everybody, with or without a certificate, where this is none.
    fn roles(self) -> Option<&'static [Role]> {
        match self {
            Method::Attach => Some(&[Role::Envoy]),
            Method::Fetch | Method::Store | Method::Missing => {
                Some(&[Role::Envoy, Role::Client, Role::Admin])
            }
            Method::Submit
            | Method::List
            | Method::Show
            | Method::Follow
            | Method::Cancel
            | Method::Envoys => Some(&[Role::Client, Role::Admin]),
            Method::Pending | Method::Publish => Some(&[Role::Admin]),
            Method::Enroll => None,
        }
    }

    /// Lets the peer make this call, or says why not.
    pub(crate) fn authorize(self, peer: Option<&Peer>) -> Result<(), Refusal> {
        let Some(roles) = self.roles() else { return Ok(()) };
        let Some(peer) = peer else {
            return Err(Refusal::Unauthenticated(format!(
                "{self} needs a certificate of the federation: enrol first, then call with the identity"
            )));
        };
        if roles.contains(&peer.role) {
            return Ok(());
        }
        let allowed: Vec<_> = roles.iter().map(ToString::to_string).collect();
        Err(Refusal::Denied(format!(
            "{} is {} {}, and {self} is for {}",
            peer.name,
            if peer.role == Role::Envoy || peer.role == Role::Admin { "an" } else { "a" },
            peer.role,
            allowed.join(", ")
        )))
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.path().rsplit('/').next().unwrap_or_default())
    }
}
