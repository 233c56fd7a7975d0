//! The configuration of a part that runs for long: a TOML file, and flags of the same names that come first.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::builder::NonEmptyStringValueParser;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use toml::{Table, Value};
use veilflow_federated::Registry;

use crate::error::CliError;

/// A key of the file that is a flag too.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setting {
    /// Its place in the file: `policy.min-cohort` is `min-cohort` below `[policy]`, and the flag `--min-cohort`.
    pub(crate) key: &'static str,
    pub(crate) kind: Kind,
    pub(crate) help: &'static str,
}

/// What a key holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A text, and what stands for it in `--help`.
    Text(&'static str),
    /// A path, on the command line relative to the working folder.
    Path(&'static str),
    Number,
    Switch,
    /// Texts, on the command line with commas between.
    List(&'static str),
}

impl Setting {
    fn flag(&self) -> &'static str {
        self.key.rsplit('.').next().unwrap_or(self.key)
    }

    fn arg(&self) -> Arg {
        let arg = Arg::new(self.flag()).long(self.flag()).help(self.help);
        let text = NonEmptyStringValueParser::new();
        match self.kind {
            Kind::Text(name) => arg.value_name(name).value_parser(text),
            Kind::Path(name) => arg.value_name(name).value_parser(value_parser!(PathBuf)),
            Kind::Number => arg.value_name("N").value_parser(value_parser!(i64)),
            Kind::Switch => arg.action(ArgAction::SetTrue),
            Kind::List(name) => {
                arg.value_name(name).value_parser(text).value_delimiter(',').action(ArgAction::Append)
            }
        }
    }

    /// What the command line says; `None` where it says nothing.
    fn value(&self, matches: &ArgMatches) -> Result<Option<Value>, CliError> {
        let flag = self.flag();
        let text = |path: PathBuf| {
            path.into_os_string().into_string().map_err(|_| CliError::NotText { flag: format!("--{flag}") })
        };
        Ok(match self.kind {
            Kind::Text(_) => matches.get_one::<String>(flag).cloned().map(Value::String),
            Kind::Path(_) => {
                let path = matches.get_one::<PathBuf>(flag);
                // The file's own paths are relative to the file.
                let path = path.map(|path| std::path::absolute(path).unwrap_or_else(|_| path.clone()));
                path.map(text).transpose()?.map(Value::String)
            }
            Kind::Number => matches.get_one::<i64>(flag).copied().map(Value::Integer),
            Kind::Switch => matches.get_flag(flag).then_some(Value::Boolean(true)),
            Kind::List(_) => matches
                .get_many::<String>(flag)
                .map(|items| Value::Array(items.cloned().map(Value::String).collect())),
        })
    }
}

/// Adds `--config` and a flag for each setting.
pub(crate) fn arguments(command: Command, settings: &[Setting]) -> Command {
    let config = Arg::new("config")
        .long("config")
        .value_name("FILE")
        .value_parser(value_parser!(PathBuf))
        .help("Reads the configuration from a TOML file; flags given here come first");
    command.arg(config).args(settings.iter().map(Setting::arg))
}

/// A configuration as text, and what errors call it.
#[derive(Debug)]
pub(crate) struct Text {
    pub(crate) path: PathBuf,
    pub(crate) text: String,
}

/// The file with what the command line says in its place. Whether the keys are known is for its reader to say.
pub(crate) fn read(matches: &ArgMatches, settings: &[Setting]) -> Result<Text, CliError> {
    let path = matches.get_one::<PathBuf>("config");
    let given = settings.iter().map(|setting| Ok(Some((setting.key, setting.value(matches)?))));
    let given = given.collect::<Result<Vec<_>, CliError>>()?;
    let given: Vec<_> = given.into_iter().flatten().filter_map(|(key, value)| Some((key, value?))).collect();
    let text = match path {
        Some(path) => std::fs::read_to_string(path)
            .map_err(|error| CliError::Settings { path: path.clone(), reason: error.to_string() })?,
        None => String::new(),
    };
    let path = path.cloned().unwrap_or_else(|| PathBuf::from("the flags"));
    if given.is_empty() {
        return Ok(Text { path, text });
    }
    let mut table: Table = text.parse().map_err(|error: toml::de::Error| CliError::Settings {
        path: path.clone(),
        reason: error.to_string(),
    })?;
    for (key, value) in given {
        put(&mut table, key, value).ok_or_else(|| wrong_section(&path, key))?;
    }
    Ok(Text { path, text: table.to_string() })
}

/// Checks the settings of a place with the flows that have them.
pub(crate) fn check_places(
    flows: &Registry,
    places: &BTreeMap<String, BTreeMap<String, String>>,
    path: &Path,
) -> Result<(), CliError> {
    for (flow, place) in places {
        let Some(deployed) = flows.get(flow) else {
            let known: Vec<_> = flows.flows().map(|flow| flow.name().to_owned()).collect();
            let reason = format!("[flows.{flow}]: {}", crate::suggest::unknown("flow", flow, &known));
            return Err(CliError::Settings { path: path.to_owned(), reason });
        };
        let checked = deployed.check_place(place);
        checked.map_err(|error| CliError::Place { path: path.to_owned(), error })?;
    }
    Ok(())
}

fn wrong_section(path: &Path, key: &str) -> CliError {
    let section = key.split('.').next().unwrap_or(key);
    CliError::Settings {
        path: path.to_owned(),
        reason: format!("`{section}` has to be a section, [{section}]"),
    }
}

/// Puts a value in its place, whether the file writes the key with dashes or underscores.
fn put(table: &mut Table, key: &str, value: Value) -> Option<()> {
    let Some((section, rest)) = key.split_once('.') else {
        table.remove(&key.replace('-', "_"));
        table.insert(key.to_owned(), value);
        return Some(());
    };
    let section = table.entry(section).or_insert_with(|| Value::Table(Table::new()));
    put(section.as_table_mut()?, rest, value)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTINGS: [Setting; 6] = [
        Setting { key: "director", kind: Kind::Text("URL"), help: "" },
        Setting { key: "state-dir", kind: Kind::Path("DIR"), help: "" },
        Setting { key: "slots", kind: Kind::Number, help: "" },
        Setting { key: "insecure-loopback", kind: Kind::Switch, help: "" },
        Setting { key: "policy.allowed-flows", kind: Kind::List("FLOWS"), help: "" },
        Setting { key: "policy.min-cohort", kind: Kind::Number, help: "" },
    ];

    fn merged(flags: &[&str]) -> Result<Text, CliError> {
        let command = arguments(Command::new("start").no_binary_name(true), &SETTINGS);
        read(&command.try_get_matches_from(flags).unwrap(), &SETTINGS)
    }

    #[test]
    fn flags_come_before_the_file_and_reach_its_sections() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("site.toml");
        std::fs::write(&file, "slots = 1\nstate_dir = 'state'\nother = 1\n[policy]\nmin-cohort = 3\n")
            .unwrap();
        let config = file.to_str().unwrap();
        assert_eq!(merged(&["--config", config]).unwrap().text, std::fs::read_to_string(&file).unwrap());

        let flags = ["--slots=2", "--state-dir=/s", "--insecure-loopback", "--allowed-flows=a,b"];
        let text = merged(&[&["--config", config][..], &flags].concat()).unwrap();
        assert_eq!(text.path, file);
        let expected = "slots = 2\nstate-dir = '/s'\nother = 1\ninsecure-loopback = true\n\
                        [policy]\nmin-cohort = 3\nallowed-flows = ['a', 'b']";
        assert_eq!(text.text.parse::<Table>().unwrap(), expected.parse::<Table>().unwrap());
        // Without a file the flags are all there is.
        let alone = merged(&["--director=https://d", "--min-cohort=4"]).unwrap();
        let expected = "director = 'https://d'\n[policy]\nmin-cohort = 4";
        assert_eq!(alone.text.parse::<Table>().unwrap(), expected.parse::<Table>().unwrap());
    }

    #[test]
    fn a_path_on_the_command_line_is_relative_to_where_it_was_written() {
        let text = merged(&["--state-dir", "state"]).unwrap().text;
        let expected = std::env::current_dir().unwrap().join("state");
        assert_eq!(text.parse::<Table>().unwrap()["state-dir"].as_str(), expected.to_str());
    }

    #[test]
    fn a_file_that_cannot_be_used_is_named() {
        let missing = merged(&["--config", "nowhere.toml"]).unwrap_err();
        assert!(missing.to_string().contains("nowhere.toml"), "{missing}");
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("site.toml");
        for (content, says) in [("policy = 1", "[policy]"), ("slots = ", "site.toml")] {
            std::fs::write(&file, content).unwrap();
            let error = merged(&["--config", file.to_str().unwrap(), "--min-cohort=4"]).unwrap_err();
            assert!(error.to_string().contains(says), "{error}");
        }
    }
}
