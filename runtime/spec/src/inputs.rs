//! What a join receives: what came back by name, and who is missing.

use std::collections::{BTreeMap, btree_map};
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::name::Name;

/// What came back from a fan-out, in the order of the names, whatever the timing was.
#[derive(Debug)]
pub struct Inputs<T> {
    arrived: BTreeMap<Name, T>,
    missing: Vec<Missing>,
}

impl<T> Inputs<T> {
    /// The inputs of a join; a runtime calls this.
    pub fn new(arrived: BTreeMap<Name, T>, mut missing: Vec<Missing>) -> Self {
        missing.sort_by(|one, other| one.participant.cmp(&other.participant));
        Self { arrived, missing }
    }

    /// How many came back.
    pub fn len(&self) -> usize {
        self.arrived.len()
    }

    /// Whether nobody came back; a quorum of at least 1 rules it out.
    pub fn is_empty(&self) -> bool {
        self.arrived.is_empty()
    }

    /// What `name` sent.
    pub fn get(&self, name: &str) -> Option<&T> {
        self.arrived.get(name)
    }

    /// Those that came back.
    pub fn names(&self) -> impl ExactSizeIterator<Item = &Name> {
        self.arrived.keys()
    }

    /// What came back.
    pub fn values(&self) -> impl ExactSizeIterator<Item = &T> {
        self.arrived.values()
    }

    /// What came back, with who sent it.
    pub fn iter(&self) -> btree_map::Iter<'_, Name, T> {
        self.arrived.iter()
    }

    /// What came back, by value.
    pub fn into_values(self) -> impl ExactSizeIterator<Item = T> {
        self.arrived.into_values()
    }

    /// Those that were addressed and did not come back, and why, in the order of their names.
    pub fn missing(&self) -> &[Missing] {
        &self.missing
    }
}

impl<T> IntoIterator for Inputs<T> {
    type Item = (Name, T);
    type IntoIter = btree_map::IntoIter<Name, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.arrived.into_iter()
    }
}

impl<'a, T> IntoIterator for &'a Inputs<T> {
    type Item = (&'a Name, &'a T);
    type IntoIter = btree_map::Iter<'a, Name, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.arrived.iter()
    }
}

/// A collaborator that was addressed and did not come back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Missing {
    /// Who.
    pub participant: Name,
    /// Why.
    pub cause: Cause,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.participant, self.cause)
    }
}

/// Why a collaborator is missing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Cause {
    /// Its step returned an error.
    Failed {
        /// The step's name.
        step: String,
        /// The error's code.
        code: String,
        /// The error's text; `None` in a confidential flow, where it stays at the site.
        text: Option<String>,
    },
    /// Its step panicked.
    Panicked {
        /// The step's name.
        step: String,
        /// The panic's message; `None` in a confidential flow, where it stays at the site.
        text: Option<String>,
    },
    /// The participant could not be built at its site.
    NotBuilt {
        /// The error's text; `None` in a confidential flow, where it stays at the site.
        text: Option<String>,
    },
    /// It had not come back when the edge's deadline passed.
    Deadline(
        /// The deadline, from the start of the fan-out.
        Duration,
    ),
    /// It still works on an earlier task whose deadline has passed.
    Busy,
    /// What it sent from this step was refused.
    Refused {
        /// The step's name.
        step: String,
        /// The error's code.
        code: String,
        /// Whether that proves that it did not follow the protocol.
        at_fault: bool,
    },
    /// A simulated dropout before this step.
    DroppedOut {
        /// The step's name.
        step: String,
    },
    /// Its site was not connected, and did not come back in time.
    Offline,
    /// Its site was started again meanwhile, and lost the task and what it depends on.
    Restarted,
    /// Its site does not run this task: its own policy forbids it, or its build of the flow is another one.
    Declined {
        /// Why, in short: `flow-mismatch`, `flow-not-allowed`.
        code: String,
        /// What the site says to it. It is about the site's configuration, never about its data.
        text: String,
    },
    /// The run was cancelled.
    Cancelled,
}

impl Cause {
    /// The same cause without anything that a site wrote: what may cross in a confidential flow.
    pub fn without_text(self) -> Self {
        match self {
            Cause::Failed { step, code, .. } => Cause::Failed { step, code, text: None },
            Cause::Panicked { step, .. } => Cause::Panicked { step, text: None },
            Cause::NotBuilt { .. } => Cause::NotBuilt { text: None },
            Cause::Deadline(_)
            | Cause::Busy
            | Cause::Refused { .. }
            | Cause::DroppedOut { .. }
            | Cause::Offline
            | Cause::Restarted
            | Cause::Declined { .. }
            | Cause::Cancelled => self,
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let withheld = "(the text stays at the site)";
        match self {
            Cause::Failed { step, text: Some(text), .. } => write!(f, "step `{step}` failed: {text}"),
            Cause::Failed { step, code, text: None } => write!(f, "step `{step}` failed: {code} {withheld}"),
            Cause::Panicked { step, text } => {
                write!(f, "step `{step}` panicked: {}", text.as_deref().unwrap_or(withheld))
            }
            Cause::NotBuilt { text } => {
                write!(f, "the participant could not be built: {}", text.as_deref().unwrap_or(withheld))
            }
            Cause::Deadline(after) => write!(f, "not back within the deadline of {after:?}"),
            Cause::Busy => f.write_str("still busy with a task whose deadline has passed"),
            Cause::Refused { step, code, at_fault } => {
                let fault = if *at_fault { ", which proves it at fault" } else { "" };
                write!(f, "what it sent from `{step}` was refused: {code}{fault}")
            }
            Cause::DroppedOut { step } => write!(f, "dropped out before step `{step}` (simulated)"),
            Cause::Offline => f.write_str("its site is not connected"),
            Cause::Restarted => f.write_str("its site was started again and lost the task"),
            Cause::Declined { code, text } => write!(f, "declined by its site: {text} ({code})"),
            Cause::Cancelled => f.write_str("cancelled"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inputs_come_in_the_order_of_the_names() {
        let arrived =
            [("Turin", 3), ("Bengaluru", 1), ("Portland", 2)].map(|(name, value)| (name.into(), value));
        let late = Missing { participant: "Oslo".into(), cause: Cause::Busy };
        let early = Missing { participant: "Cairo".into(), cause: Cause::Cancelled };
        let inputs = Inputs::new(arrived.into(), vec![late.clone(), early.clone()]);
        assert_eq!(inputs.names().map(Name::as_str).collect::<Vec<_>>(), ["Bengaluru", "Portland", "Turin"]);
        assert_eq!(inputs.values().copied().collect::<Vec<_>>(), [1, 2, 3]);
        assert_eq!((inputs.len(), inputs.is_empty()), (3, false));
        assert_eq!((inputs.get("Turin"), inputs.get("Oslo")), (Some(&3), None));
        assert_eq!(inputs.missing(), [early, late], "whatever order the runtime found them in");
        let pairs: Vec<_> = (&inputs).into_iter().map(|(name, value)| format!("{name} {value}")).collect();
        assert_eq!(pairs, ["Bengaluru 1", "Portland 2", "Turin 3"]);
        assert_eq!(inputs.into_values().collect::<Vec<_>>(), [1, 2, 3]);
    }
}
