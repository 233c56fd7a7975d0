//! Configuration files: TOML in which an unknown key is an error that says which one was probably meant.
//!
//! A reader asks for its keys one by one; what is left over at [`Keys::finish`] is unknown. So there is no second list
//! of keys that could be forgotten. An underscore is as good as a dash.

use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use toml::{Table, Value};

use crate::units::Span;

/// What is wrong with a configuration file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// It cannot be read.
    #[error("{}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is not TOML.
    #[error("{} is not TOML: {source}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: Box<toml::de::Error>,
    },
    /// A key that means nothing.
    #[error("{}: {}", path.display(), unknown("key", key, known))]
    UnknownKey {
        /// The file.
        path: PathBuf,
        /// The key, with its table's name.
        key: String,
        /// Those that there are.
        known: Vec<String>,
    },
    /// The same key, once with dashes and once with underscores.
    #[error("{}: key `{key}` is there twice, with dashes and with underscores: keep one of them", path.display())]
    Twice {
        /// The file.
        path: PathBuf,
        /// The key.
        key: String,
    },
    /// A key that must be there.
    #[error("{}: key `{key}` is missing: {what}", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
        /// The key.
        key: String,
        /// What it says.
        what: String,
    },
    /// A value of another type.
    #[error("{}: key `{key}`: expected {expected}, found {got}", path.display())]
    Type {
        /// The file.
        path: PathBuf,
        /// The key.
        key: String,
        /// What it has to be.
        expected: &'static str,
        /// What it is.
        got: &'static str,
    },
    /// A value that cannot be.
    #[error("{}: key `{key}`: {reason}", path.display())]
    Value {
        /// The file.
        path: PathBuf,
        /// The key.
        key: String,
        /// Why, and what could be.
        reason: String,
    },
}

impl ConfigError {
    /// The error in one word.
    pub fn code(&self) -> &'static str {
        match self {
            ConfigError::Read { .. } => "config-unreadable",
            ConfigError::Syntax { .. } => "config-syntax",
            ConfigError::UnknownKey { .. } => "config-unknown-key",
            ConfigError::Twice { .. } => "config-key-twice",
            ConfigError::Missing { .. } => "config-key-missing",
            ConfigError::Type { .. } => "config-type",
            ConfigError::Value { .. } => "config-value",
        }
    }
}

/// The keys of a file, or of a table in it, that nobody has asked for yet.
#[derive(Debug)]
pub struct Keys {
    path: PathBuf,
    /// `policy.` inside `[policy]`.
    prefix: String,
    left: BTreeMap<String, Value>,
    asked: Vec<String>,
}

impl Keys {
    /// Those of a file.
    ///
    /// # Errors
    /// A file that cannot be read or is not TOML.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path);
        let text = text.map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        Self::parse(path, &text)
    }

    /// Those of a text; `path` is what errors call it and what its paths are relative to.
    ///
    /// # Errors
    /// A text that is not TOML.
    pub fn parse(path: &Path, text: &str) -> Result<Self, ConfigError> {
        let table = text.parse::<Table>();
        let table = table
            .map_err(|source| ConfigError::Syntax { path: path.to_owned(), source: Box::new(source) })?;
        Self::of(path.to_owned(), String::new(), table)
    }

    fn of(path: PathBuf, prefix: String, table: Table) -> Result<Self, ConfigError> {
        let mut left = BTreeMap::new();
        for (key, value) in table {
            let key = key.replace('_', "-");
            if left.insert(key.clone(), value).is_some() {
                return Err(ConfigError::Twice { path, key: prefix + &key });
            }
        }
        Ok(Self { path, prefix, left, asked: Vec::new() })
    }

    fn take(&mut self, key: &str) -> Option<Value> {
        self.asked.push(key.to_owned());
        self.left.remove(key)
    }

    fn full(&self, key: &str) -> String {
        format!("{}{key}", self.prefix)
    }

    fn typed<T>(
        &mut self,
        key: &str,
        expected: &'static str,
        read: impl FnOnce(&Value) -> Option<T>,
    ) -> Result<Option<T>, ConfigError> {
        let Some(value) = self.take(key) else { return Ok(None) };
        match read(&value) {
            Some(value) => Ok(Some(value)),
            None => Err(ConfigError::Type {
                path: self.path.clone(),
                key: self.full(key),
                expected,
                got: kind(&value),
            }),
        }
    }

    /// A text.
    ///
    /// # Errors
    /// A value of another type, as for all that follow.
    pub fn text(&mut self, key: &str) -> Result<Option<String>, ConfigError> {
        self.typed(key, "a text", |value| value.as_str().map(str::to_owned))
    }

    /// A text that means something else.
    ///
    /// # Errors
    /// A text that does not.
    pub fn parsed<T: FromStr<Err: Display>>(&mut self, key: &str) -> Result<Option<T>, ConfigError> {
        let Some(text) = self.text(key)? else { return Ok(None) };
        text.parse().map(Some).map_err(|error: T::Err| self.bad(key, error.to_string()))
    }

    /// A whole number.
    ///
    /// # Errors
    /// One outside the type.
    pub fn integer<T: TryFrom<i64>>(&mut self, key: &str) -> Result<Option<T>, ConfigError> {
        let Some(number) = self.typed(key, "an integer", Value::as_integer)? else { return Ok(None) };
        let out_of_range = |_| self.bad(key, format!("{number} is out of range"));
        T::try_from(number).map(Some).map_err(out_of_range)
    }

    /// A number.
    ///
    /// # Errors
    /// See [`text`](Self::text).
    pub fn number(&mut self, key: &str) -> Result<Option<f64>, ConfigError> {
        let number = |value: &Value| value.as_float().or_else(|| value.as_integer().map(|n| n as f64));
        self.typed(key, "a number", number)
    }

    /// A time, such as `30s`: more than none.
    ///
    /// # Errors
    /// A text that is no time, or none at all.
    pub fn time(&mut self, key: &str) -> Result<Option<Duration>, ConfigError> {
        match self.parsed(key)? {
            Some(Span(Duration::ZERO)) => Err(self.bad(key, "that is no time: write 1s or more")),
            span => Ok(span.map(|Span(time)| time)),
        }
    }

    /// True or false.
    ///
    /// # Errors
    /// See [`text`](Self::text).
    pub fn switch(&mut self, key: &str) -> Result<Option<bool>, ConfigError> {
        self.typed(key, "true or false", Value::as_bool)
    }

    /// A list of texts. One text is a list of one.
    ///
    /// # Errors
    /// See [`text`](Self::text).
    pub fn texts(&mut self, key: &str) -> Result<Option<Vec<String>>, ConfigError> {
        self.typed(key, "a list of texts", |value| match value {
            Value::String(text) => Some(vec![text.clone()]),
            Value::Array(items) => items.iter().map(|item| item.as_str().map(str::to_owned)).collect(),
            _ => None,
        })
    }

    /// A path; a relative one is relative to the file.
    ///
    /// # Errors
    /// See [`text`](Self::text).
    pub fn path(&mut self, key: &str) -> Result<Option<PathBuf>, ConfigError> {
        let base = self.path.parent().map(Path::to_owned).unwrap_or_default();
        Ok(self.text(key)?.map(|path| base.join(path)))
    }

    /// A table; an empty one, where it is not there.
    ///
    /// # Errors
    /// See [`text`](Self::text).
    pub fn table(&mut self, key: &str) -> Result<Self, ConfigError> {
        let table = self.typed(key, "a table", |value| value.as_table().cloned())?;
        Self::of(self.path.clone(), format!("{}{key}.", self.prefix), table.unwrap_or_default())
    }

    /// All that is left, as tables whose names are not known beforehand.
    ///
    /// # Errors
    /// See [`text`](Self::text).
    pub fn tables(&mut self) -> Result<Vec<(String, Self)>, ConfigError> {
        let names: Vec<_> = self.left.keys().cloned().collect();
        names.into_iter().map(|name| self.table(&name).map(|table| (name, table))).collect()
    }

    /// All that is left, as texts: numbers and switches as they are written, lists with commas between.
    ///
    /// # Errors
    /// Tables and dates.
    pub fn scalars(&mut self) -> Result<BTreeMap<String, String>, ConfigError> {
        let names: Vec<_> = self.left.keys().cloned().collect();
        let read = |name: String| {
            let text = self.typed(&name, "a text, a number, true or false, or a list of these", scalar)?;
            Ok((name, text.unwrap_or_default()))
        };
        names.into_iter().map(read).collect()
    }

    /// The error of a value that cannot be.
    pub fn bad(&self, key: &str, reason: impl Into<String>) -> ConfigError {
        ConfigError::Value { path: self.path.clone(), key: self.full(key), reason: reason.into() }
    }

    /// The error of a key that must be there. `what` says what to write.
    pub fn missing(&self, key: &str, what: impl Into<String>) -> ConfigError {
        ConfigError::Missing { path: self.path.clone(), key: self.full(key), what: what.into() }
    }

    /// That nothing is left.
    ///
    /// # Errors
    /// The first key that nobody asked for.
    pub fn finish(self) -> Result<(), ConfigError> {
        let Some(key) = self.left.keys().next() else { return Ok(()) };
        let known = self.asked.iter().map(|asked| self.full(asked)).collect();
        Err(ConfigError::UnknownKey { key: self.full(key), known, path: self.path })
    }
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Integer(number) => Some(number.to_string()),
        Value::Float(number) => Some(number.to_string()),
        Value::Boolean(on) => Some(on.to_string()),
        Value::Array(items) => items.iter().map(scalar).collect::<Option<Vec<_>>>().map(|all| all.join(",")),
        Value::Datetime(_) | Value::Table(_) => None,
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

/// A sentence about a name that is not known. It lists those that are.
pub fn unknown(what: &str, name: &str, known: &[String]) -> String {
    let score = |other: &str| strsim::jaro_winkler(&name.to_lowercase(), &other.to_lowercase());
    let scored = known.iter().map(|other| (score(other), other));
    let best = scored.max_by(|(a, _), (b, _)| a.total_cmp(b)).filter(|(score, _)| *score > 0.8);
    let mut text = format!("there is no {what} `{name}`");
    if let Some((_, other)) = best {
        text.push_str(&format!(", did you mean `{other}`?"));
    }
    text + &Known(known).to_string()
}

struct Known<'a>(&'a [String]);

impl Display for Known<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            [] => f.write_str("\nThere are none."),
            known => write!(f, "\nThere are: {}", known.join(", ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(text: &str) -> Keys {
        Keys::parse(Path::new("/etc/veilflow/site.toml"), text).unwrap()
    }

    #[test]
    fn keys_are_read_by_their_types_and_paths_are_relative_to_the_file() {
        let text = "name = 'a'\nport = 7\nshare = 1\non = true\nflows = ['x', 'y']\nstate_dir = 'state'\n[t]\nk = 2\n[t.u]\n";
        let mut keys = keys(text);
        assert_eq!(keys.text("name").unwrap().as_deref(), Some("a"));
        assert_eq!(keys.integer::<u16>("port").unwrap(), Some(7));
        assert_eq!(keys.number("share").unwrap(), Some(1.0));
        assert_eq!(keys.switch("on").unwrap(), Some(true));
        assert_eq!(keys.texts("flows").unwrap().unwrap(), ["x", "y"]);
        assert_eq!(keys.path("state-dir").unwrap(), Some("/etc/veilflow/state".into()));
        assert_eq!(keys.text("absent").unwrap(), None);
        let mut table = keys.table("t").unwrap();
        assert_eq!(table.integer::<u8>("k").unwrap(), Some(2));
        let tables = table.tables().unwrap();
        assert_eq!(tables.len(), 1);
        table.finish().unwrap();
        keys.finish().unwrap();
    }

    #[test]
    fn an_unknown_key_is_an_error_that_says_which_was_meant() {
        let mut keys = keys("[policy]\nmin-cohrt = 3");
        let mut policy = keys.table("policy").unwrap();
        assert_eq!(policy.integer::<usize>("min-cohort").unwrap(), None);
        let error = policy.finish().unwrap_err();
        assert_eq!(error.code(), "config-unknown-key");
        let text = error.to_string();
        assert!(text.contains("`policy.min-cohrt`, did you mean `policy.min-cohort`?"), "{text}");
        assert!(text.starts_with("/etc/veilflow/site.toml: "), "{text}");
    }

    #[test]
    fn values_that_cannot_be_are_refused_with_the_key() {
        let code = |result: Result<_, ConfigError>| result.map(|_: Option<u8>| ()).unwrap_err();
        let wrong = code(keys("port = 'x'").integer("port"));
        assert_eq!(
            wrong.to_string(),
            "/etc/veilflow/site.toml: key `port`: expected an integer, found a text"
        );
        let wrong = code(keys("port = 300").integer("port"));
        assert_eq!((wrong.code(), wrong.to_string().contains("300 is out of range")), ("config-value", true));
        let wrong = code(keys("port = 'x'").parsed("port"));
        assert!(wrong.to_string().contains("key `port`: invalid digit"), "{wrong}");
        let twice = Keys::parse(Path::new("a.toml"), "a-b = 1\na_b = 2").unwrap_err();
        assert_eq!(twice.code(), "config-key-twice");
        assert_eq!(Keys::parse(Path::new("a.toml"), "a = ").unwrap_err().code(), "config-syntax");
        assert_eq!(Keys::read(Path::new("/nowhere/a.toml")).unwrap_err().code(), "config-unreadable");
    }

    #[test]
    fn settings_whose_names_belong_to_somebody_else_are_texts() {
        let mut keys = keys("data-dir = '/data'\nbatch = 32\nnames = ['a', 'b']\nfast = true");
        let settings = keys.scalars().unwrap();
        let expected = [("batch", "32"), ("data-dir", "/data"), ("fast", "true"), ("names", "a,b")];
        assert_eq!(settings, expected.map(|(k, v)| (k.to_owned(), v.to_owned())).into());
        assert_eq!(
            super::Keys::parse(Path::new("a"), "[t]").unwrap().scalars().unwrap_err().code(),
            "config-type"
        );
    }
}
