//! Which requests are signed without asking an administrator: a TOML file on the authority's machine.
//!
//! ```toml
//! valid = "1y"              # how long certificates are valid
//! renewals = true           # who holds a certificate gets the next one
//! [[enroll]]                # who comes with a good token
//! role = "envoy"
//! names = ["Bengaluru", "Portland"]   # without this line: everybody of that role
//! ```

use std::path::{Path, PathBuf};

use serde::Deserialize;
use veilflow_spec::{InvalidName, Name};

use super::authority::Reviewed;
use super::clock::Validity;
use super::error::PkiError;
use super::files;
use super::role::Role;

/// Which requests are signed without asking.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SigningPolicy {
    /// How long the certificates are valid; where it is not said, as long as without a policy.
    pub valid: Option<Validity>,
    /// Whether renewals are signed.
    #[serde(default)]
    pub renewals: bool,
    /// Who is signed that comes with a good token.
    #[serde(default)]
    pub enroll: Vec<EnrollRule>,
}

/// Some of those who come with a good token.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnrollRule {
    /// Of which role.
    pub role: Role,
    /// Of which names; where it is not said, of any.
    pub names: Option<Vec<Name>>,
}

/// What is wrong with a policy file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyError {
    /// It cannot be read.
    #[error(transparent)]
    Read(#[from] PkiError),
    /// It is no policy.
    #[error("{}: {error}", path.display())]
    Syntax {
        /// Which.
        path: PathBuf,
        /// Where and why.
        error: Box<toml::de::Error>,
    },
    /// It names nobody who could be.
    #[error("{}: {error}", path.display())]
    Name {
        /// Which.
        path: PathBuf,
        /// Why.
        error: InvalidName,
    },
}

impl SigningPolicy {
    /// Reads a file.
    ///
    /// # Errors
    /// Files that cannot be read, unknown keys, values that are none.
    pub fn load(path: &Path) -> Result<Self, PolicyError> {
        let text = String::from_utf8_lossy(&files::read(path)?).into_owned();
        let policy: Self = toml::from_str(&text)
            .map_err(|error| PolicyError::Syntax { path: path.to_owned(), error: Box::new(error) })?;
        let names = policy.enroll.iter().filter_map(|rule| rule.names.as_ref()).flatten();
        for name in names {
            name.validate().map_err(|error| PolicyError::Name { path: path.to_owned(), error })?;
        }
        Ok(policy)
    }

    /// Whether the policy signs this request.
    pub fn allows(&self, request: &Reviewed) -> bool {
        if request.renewal {
            return self.renewals;
        }
        self.enroll.iter().any(|rule| {
            let named = rule.names.as_ref().is_none_or(|names| names.contains(&request.name));
            rule.role == request.role && named
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pki::Thumbprint;

    fn asked(name: &str, role: Role, renewal: bool) -> Reviewed {
        Reviewed { name: name.into(), role, renewal, thumbprint: Thumbprint::of(b"key") }
    }

    fn policy(text: &str) -> Result<SigningPolicy, PolicyError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("policy.toml");
        std::fs::write(&path, text).unwrap();
        SigningPolicy::load(&path)
    }

    #[test]
    fn only_what_the_policy_names_is_signed() {
        let text = "valid = \"30d\"\nrenewals = true\n[[enroll]]\nrole = \"envoy\"\nnames = [\"Bengaluru\"]\n\
                    [[enroll]]\nrole = \"client\"\n";
        let policy = policy(text).unwrap();
        assert_eq!(policy.valid.unwrap().to_string(), "30d");
        assert!(policy.allows(&asked("Bengaluru", Role::Envoy, false)));
        assert!(policy.allows(&asked("Ada", Role::Client, false)));
        assert!(policy.allows(&asked("Portland", Role::Envoy, true)));
        assert!(!policy.allows(&asked("Portland", Role::Envoy, false)));
        assert!(!policy.allows(&asked("Bengaluru", Role::Admin, false)));
    }

    #[test]
    fn nothing_is_signed_that_nobody_allowed() {
        let policy = policy("").unwrap();
        for renewal in [false, true] {
            assert!(!policy.allows(&asked("Bengaluru", Role::Envoy, renewal)));
        }
    }

    #[test]
    fn unknown_keys_and_impossible_values_are_errors() {
        for (text, said) in [
            ("renewal = true", "renewal"),
            ("valid = \"1 month\"", "no duration"),
            ("[[enroll]]\nrole = \"boss\"", "boss"),
            ("[[enroll]]\nrole = \"envoy\"\nname = [\"a\"]", "name"),
            ("[[enroll]]\nrole = \"envoy\"\nnames = [\"a,b\"]", "a,b"),
        ] {
            let error = policy(text).unwrap_err().to_string();
            assert!(error.contains(said) && error.contains("policy.toml"), "{text}: {error}");
        }
    }
}
