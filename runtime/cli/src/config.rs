//! `--config FILE.toml`: the flags of a run, from a file.
//!
//! A key is a flag's long name without its dashes: `batch-size = 32`. An underscore is as good as a dash
//! (`batch_size`), since that is how TOML is mostly written. A flag on the command line replaces the key of
//! the file, lists included.

use std::any::TypeId;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command};
use toml::{Table, Value};
use veilflow_spec::Device;

use crate::args::Collaborators;

/// What is wrong with a configuration file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum ConfigError {
    #[error("--config {}: {error}", path.display())]
    Read { path: PathBuf, error: std::io::Error },
    #[error("{} is not TOML: {error}", path.display())]
    Syntax { path: PathBuf, error: Box<toml::de::Error> },
    #[error("{}: {}", path.display(), crate::suggest::unknown("key", key, known))]
    UnknownKey { path: PathBuf, key: String, known: Vec<String> },
    #[error("{}: `{first}` and `{second}` are the same key: keep one of them", path.display())]
    Twice { path: PathBuf, first: String, second: String },
    #[error("{}: key `{key}`: expected {expected}, found {got}", path.display())]
    Type { path: PathBuf, key: String, expected: &'static str, got: &'static str },
    #[error("{}: key `{key}`: {reason}", path.display())]
    Value { path: PathBuf, key: String, reason: String },
}

/// Flags that the file cannot hold: it would point at itself, or at help.
const NOT_KEYS: [&str; 3] = ["config", "help", "version"];

/// The arguments that the file adds to those on the command line.
///
/// `command` is the flow's own command in its relaxed form, `given` what was found on the command line.
pub(crate) fn arguments(
    path: &Path,
    command: &Command,
    given: &ArgMatches,
) -> Result<Vec<OsString>, ConfigError> {
    let text =
        std::fs::read_to_string(path).map_err(|error| ConfigError::Read { path: path.to_owned(), error })?;
    let table: Table = text
        .parse()
        .map_err(|error| ConfigError::Syntax { path: path.to_owned(), error: Box::new(error) })?;
    let flags: BTreeMap<&str, &Arg> = command
        .get_arguments()
        .filter_map(|arg| arg.get_long().map(|long| (long, arg)))
        .filter(|(long, _)| !NOT_KEYS.contains(long))
        .collect();
    let mut seen: BTreeMap<String, String> = BTreeMap::new();
    let mut arguments = Vec::new();
    for (key, value) in &table {
        let flag = key.replace('_', "-");
        let Some(arg) = flags.get(flag.as_str()) else {
            let known = flags.keys().map(ToString::to_string).collect();
            return Err(ConfigError::UnknownKey { path: path.to_owned(), key: key.clone(), known });
        };
        if let Some(first) = seen.insert(flag.clone(), key.clone()) {
            return Err(ConfigError::Twice { path: path.to_owned(), first, second: key.clone() });
        }
        let own = argument(arg, &flag, value).map_err(|expected| ConfigError::Type {
            path: path.to_owned(),
            key: key.clone(),
            expected,
            got: kind(value),
        })?;
        if let Some(own) = own {
            // Alone first, so that the error is about the file and not about a flag that nobody wrote.
            let alone = [OsString::from(command.get_name()), own.clone()];
            if let Err(error) = command.clone().try_get_matches_from(alone) {
                let reason = reason(&error);
                return Err(ConfigError::Value { path: path.to_owned(), key: key.clone(), reason });
            }
            if given.value_source(arg.get_id().as_str()) != Some(ValueSource::CommandLine) {
                arguments.push(own);
            }
        }
    }
    Ok(arguments)
}

/// A key as an argument; `None` for a switch that is off. The error says what was expected.
fn argument(arg: &Arg, flag: &str, value: &Value) -> Result<Option<OsString>, &'static str> {
    if matches!(arg.get_action(), ArgAction::SetTrue | ArgAction::Count) {
        let on = value.as_bool().ok_or("true or false")?;
        return Ok(on.then(|| format!("--{flag}").into()));
    }
    let parser = arg.get_value_parser().type_id();
    let names = parser == TypeId::of::<Collaborators>();
    let list = names || arg.get_value_delimiter() == Some(',');
    let text = match value {
        Value::Array(items) if list => {
            // A list of one number is one name, not a number of them; no name is only digits, though.
            let texts = items.iter().map(|item| scalar(item).ok_or("a list of texts"));
            texts.collect::<Result<Vec<_>, _>>()?.join(",")
        }
        value => {
            let expected = expected(arg, names, list);
            let fits = match expected {
                "an integer" => value.is_integer(),
                "a number" => value.is_integer() || value.is_float(),
                "true or false" => value.is_bool(),
                "a text" | "a text or a list of texts" => value.is_str(),
                _ => true,
            };
            scalar(value).filter(|_| fits).ok_or(expected)?
        }
    };
    Ok(Some(format!("--{flag}={text}").into()))
}

/// What a flag holds, as far as its type tells.
fn expected(arg: &Arg, names: bool, list: bool) -> &'static str {
    let parser = arg.get_value_parser().type_id();
    let is = |ids: &[TypeId]| ids.iter().any(|id| parser == *id);
    macro_rules! ids {
        ($($type:ty),*) => { &[$(TypeId::of::<$type>()),*] };
    }
    if names {
        "a number or a list of names"
    } else if is(ids!(u8, u16, u32, u64, usize, i8, i16, i32, i64, isize)) {
        "an integer"
    } else if is(ids!(f32, f64)) {
        "a number"
    } else if is(ids!(bool)) {
        "true or false"
    } else if list {
        "a text or a list of texts"
    } else if is(ids!(String, PathBuf, OsString, Device)) {
        "a text"
    } else {
        "a text or a number"
    }
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Integer(number) => Some(number.to_string()),
        Value::Float(number) => Some(number.to_string()),
        Value::Boolean(on) => Some(on.to_string()),
        Value::Datetime(_) | Value::Array(_) | Value::Table(_) => None,
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::String(_) => "a text",
        Value::Integer(_) => "an integer",
        Value::Float(_) => "a number",
        Value::Boolean(_) => "true or false",
        Value::Datetime(_) => "a date",
        Value::Array(_) => "a list",
        Value::Table(_) => "a table",
    }
}

/// What clap says of a value, without its frame.
pub(crate) fn reason(error: &clap::Error) -> String {
    let text = error.to_string();
    let lines = text.lines().map(str::trim).take_while(|line| !line.is_empty());
    let joined = lines.collect::<Vec<_>>().join(" ");
    joined.strip_prefix("error: ").unwrap_or(&joined).to_owned()
}
