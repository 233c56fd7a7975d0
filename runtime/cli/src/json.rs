//! One JSON object for programs.

use serde::ser::{Serialize, SerializeMap, Serializer};
use veilflow_spec::{Name, Row};

use crate::results::{Results, Round};
use crate::usage::Usage;

/// Everything about a run, in the order in which it is written.
#[derive(serde::Serialize)]
pub(crate) struct Summary<'a> {
    pub(crate) flow: &'a str,
    pub(crate) seed: u64,
    /// In the order of the command line.
    pub(crate) participants: &'a [Name],
    rows: Vec<KeyedRow<'a>>,
    rounds: Vec<Round>,
    pub(crate) model_sha256: Option<String>,
    #[serde(flatten)]
    pub(crate) usage: Usage,
}

/// A row as an object whose keys are the columns' titles in snake_case.
struct KeyedRow<'a> {
    row: &'a Row,
    titles: &'a [&'a str],
    keys: &'a [String],
}

impl Serialize for KeyedRow<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (title, key) in self.titles.iter().zip(self.keys) {
            if let Some(cell) = Results::cell(self.row, title) {
                map.serialize_entry(key, cell)?;
            }
        }
        map.end()
    }
}

/// What is known of a run beside its results.
pub(crate) struct About<'a> {
    pub(crate) flow: &'a str,
    pub(crate) seed: u64,
    pub(crate) participants: &'a [Name],
    pub(crate) model_sha256: Option<String>,
    pub(crate) usage: Usage,
}

/// The object as text. Numbers have all their digits; one that is not finite is null.
pub(crate) fn object(about: About<'_>, results: &Results) -> Result<String, serde_json::Error> {
    let titles = results.titles();
    let keys = Results::keys(&titles);
    let row = |row| KeyedRow { row, titles: &titles, keys: &keys };
    let summary = Summary {
        flow: about.flow,
        seed: about.seed,
        participants: about.participants,
        rows: results.rows.iter().map(row).collect(),
        rounds: results.rounds(),
        model_sha256: about.model_sha256,
        usage: about.usage,
    };
    Ok(serde_json::to_string_pretty(&summary)? + "\n")
}
