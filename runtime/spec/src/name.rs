//! Names of participants.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The name of a participant: what an operator calls a site, and what its certificate says.
///
/// Cheap to clone. Any text converts into a name; a runtime refuses names that are not
/// [valid](Name::validate) before it starts anything.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Name(Arc<str>);

/// The longest name in bytes.
pub const MAX_NAME_BYTES: usize = 64;

/// Why a text is not a participant's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{name:?} cannot be a participant's name: use 1 to {MAX_NAME_BYTES} letters, digits, `-`, `_`, `.` or \
     spaces inside"
)]
pub struct InvalidName {
    /// What was given.
    pub name: String,
}

impl Name {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Checks that the name can stand in tables, files, certificates and on a command line.
    ///
    /// # Errors
    /// [`InvalidName`] where it is empty, longer than [`MAX_NAME_BYTES`], starts or ends with a space, or
    /// holds anything but letters, digits, `-`, `_`, `.` and spaces.
    pub fn validate(&self) -> Result<(), InvalidName> {
        let allowed = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | ' ');
        let good = !self.0.is_empty()
            && self.0.len() <= MAX_NAME_BYTES
            && self.0.trim() == &*self.0
            && self.0.chars().all(allowed);
        if good { Ok(()) } else { Err(InvalidName { name: self.0.to_string() }) }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

impl Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for Name {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Name {
    fn from(name: &str) -> Self {
        Self(name.into())
    }
}

impl From<String> for Name {
    fn from(name: String) -> Self {
        Self(name.into())
    }
}

impl From<&Name> for Name {
    fn from(name: &Name) -> Self {
        name.clone()
    }
}

impl PartialEq<str> for Name {
    fn eq(&self, other: &str) -> bool {
        &*self.0 == other
    }
}

impl PartialEq<&str> for Name {
    fn eq(&self, other: &&str) -> bool {
        &*self.0 == *other
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_would_break_a_table_or_a_flag_are_refused() {
        for good in ["Bengaluru", "site-1", "São Paulo", "a"] {
            assert_eq!(Name::from(good).validate(), Ok(()), "{good:?}");
        }
        for bad in ["", " a", "a ", "a,b", "a@b", "a\nb", "a/b", &"x".repeat(65)] {
            assert!(Name::from(bad).validate().is_err(), "{bad:?}");
        }
    }
}
