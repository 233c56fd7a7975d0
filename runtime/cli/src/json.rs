//! JSON for programs.

use serde::ser::{Serialize, SerializeMap, Serializer};
use veilflow_spec::{Cell, Name, Row};

use crate::ended::Ended;
use crate::error::CliError;
use crate::results::{Results, Round};
use crate::usage::Usage;

/// Everything about a run, in the order in which it is written. Numbers have all their digits; one that is not finite is
/// null.
#[derive(serde::Serialize)]
pub(crate) struct Summary<'a> {
    flow: &'a str,
    seed: u64,
    /// In the order of the command line.
    participants: &'a [Name],
    rows: Vec<KeyedRow<'a>>,
    rounds: Vec<Round>,
    model_sha256: Option<String>,
    #[serde(flatten)]
    usage: Usage,
}

/// A row as an object whose keys are the columns' titles in snake_case.
struct KeyedRow<'a>(Vec<(String, &'a Cell)>);

impl Serialize for KeyedRow<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (key, cell) in &self.0 {
            map.serialize_entry(key, cell)?;
        }
        map.end()
    }
}

impl<'a> Summary<'a> {
    /// What is written of a run that ended with its report.
    pub(crate) fn of(ended: &'a Ended) -> Self {
        let titles = ended.results.titles();
        let keys = Results::keys(&titles);
        let row = |row: &'a Row| {
            let cells = titles
                .iter()
                .zip(&keys)
                .filter_map(|(title, key)| Some((key.clone(), Results::cell(row, title)?)));
            KeyedRow(cells.collect())
        };
        Self {
            flow: &ended.flow,
            seed: ended.seed,
            participants: &ended.participants,
            rows: ended.results.rows.iter().map(row).collect(),
            rounds: ended.results.rounds(),
            model_sha256: ended.digest(),
            usage: ended.usage,
        }
    }
}

/// A value as text, for people too.
pub(crate) fn pretty(value: &impl Serialize) -> Result<String, CliError> {
    let text = serde_json::to_string_pretty(value).map_err(|error| CliError::Output(error.into()))?;
    Ok(text + "\n")
}

/// A value on a line of its own.
pub(crate) fn line(value: &impl Serialize) -> Result<String, CliError> {
    let text = serde_json::to_string(value).map_err(|error| CliError::Output(error.into()))?;
    Ok(text + "\n")
}
