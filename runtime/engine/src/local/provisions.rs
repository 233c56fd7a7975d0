//! What the places of a LocalRuntime provide for secure joins.
//!
//! In one process there is no authority and no machine to keep a key on: participants get throw-away identity keys, all
//! of them when the first is asked for, so a flow that signs nothing makes none. Signatures then show that the protocol
//! is followed; against the process itself they protect nothing.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use veilflow_secagg::{ClientPolicy, Identities, IdentityKey};
use veilflow_spec::{Name, Provided, Result, StepError};

use crate::error::RunError;
use crate::secure::{SecureAggregator, SecureSite, SiteIdentity, SiteJournal};

/// What is said of the sites before a run.
#[derive(Default)]
pub(super) struct Provisions {
    pub(super) policy: ClientPolicy,
    pub(super) keys: BTreeMap<Name, IdentityKey>,
    pub(super) trusted: Option<Identities>,
    pub(super) journals: BTreeMap<Name, SiteJournal>,
}

/// The places of one run.
#[derive(Clone)]
pub(super) struct Places(Arc<Inner>);

struct Inner {
    provisions: Provisions,
    names: Vec<Name>,
    enrolled: OnceLock<Result<Enrolled, veilflow_secagg::Error>>,
}

struct Enrolled {
    keys: BTreeMap<Name, Arc<IdentityKey>>,
    trusted: Arc<Identities>,
}

impl Places {
    /// The places of the collaborators of these names.
    ///
    /// # Errors
    /// Keys and journals of nobody who is there.
    pub(super) fn new(provisions: Provisions, names: &[Name]) -> Result<Self, RunError> {
        let keys = provisions.keys.keys().map(|name| ("`identity`", name));
        let journals = provisions.journals.keys().map(|name| ("`journal`", name));
        if let Some((what, name)) = keys.chain(journals).find(|(_, name)| names.binary_search(name).is_err())
        {
            let (what, name, known) = (what.to_owned(), name.clone(), names.to_vec());
            return Err(RunError::UnknownCollaborator { what, name, known });
        }
        Ok(Self(Arc::new(Inner { provisions, names: names.to_vec(), enrolled: OnceLock::new() })))
    }

    /// What a site provides. It is asked for once a run, so its journal is one for all secure joins.
    pub(super) fn site(&self, name: &Name) -> Provided {
        let provisions = &self.0.provisions;
        let journal = provisions.journals.get(name).cloned().unwrap_or_default();
        let (places, name) = (self.clone(), name.clone());
        let identity = move || places.identity(&name);
        Provided::nothing().with(SecureSite::new(provisions.policy, journal, identity))
    }

    /// What the aggregator's place provides.
    pub(super) fn aggregator(&self) -> Provided {
        let places = self.clone();
        let identities = move || Ok(Arc::clone(&places.enrolled()?.trusted));
        Provided::nothing().with(SecureAggregator::new(identities))
    }

    fn identity(&self, name: &Name) -> Result<SiteIdentity> {
        let Enrolled { keys, trusted } = self.enrolled()?;
        let key = keys.get(name).ok_or_else(|| StepError::msg(format!("{name} has no identity key")))?;
        Ok(SiteIdentity { key: Arc::clone(key), trusted: Arc::clone(trusted) })
    }

    fn enrolled(&self) -> Result<&Enrolled> {
        let enrolled = self.0.enrolled.get_or_init(|| self.0.enrol());
        enrolled.as_ref().map_err(|error| StepError::with_code(error.code(), error.clone()))
    }
}

impl Inner {
    fn enrol(&self) -> Result<Enrolled, veilflow_secagg::Error> {
        let key = |name: &Name| match self.provisions.keys.get(name) {
            Some(key) => Ok(key.clone()),
            None => IdentityKey::generate(),
        };
        let keys = self.names.iter().map(|name| Ok((name.clone(), Arc::new(key(name)?))));
        let keys: BTreeMap<_, _> = keys.collect::<Result<_, veilflow_secagg::Error>>()?;
        let public = || Identities::new(keys.iter().map(|(name, key)| (name.to_string(), key.public())));
        let trusted = Arc::new(self.provisions.trusted.clone().unwrap_or_else(public));
        Ok(Enrolled { keys, trusted })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_has_a_key_until_the_first_is_asked_for() {
        let names: Vec<Name> = (0..10_000).map(|i| Name::from(format!("site-{i:05}"))).collect();
        let places = Places::new(Provisions::default(), &names).unwrap();
        let _provided: Vec<_> = names.iter().map(|name| places.site(name)).collect();
        assert!(places.0.enrolled.get().is_none());
        let few = Places::new(Provisions::default(), &names[..3]).unwrap();
        let identity = few.identity(&names[0]).unwrap();
        assert_eq!(identity.trusted.enrolled(), 3);
        assert_eq!(identity.trusted.get(names[0].as_str()), Some(&identity.key.public()));
    }

    #[test]
    fn what_is_said_of_nobody_is_refused() {
        let journals = BTreeMap::from([(Name::from("b"), SiteJournal::default())]);
        let error =
            Places::new(Provisions { journals, ..Provisions::default() }, &["a".into()]).err().unwrap();
        assert_eq!(error.code(), "unknown-collaborator");
    }
}
