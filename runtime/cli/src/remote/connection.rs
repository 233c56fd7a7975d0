//! Which director a command talks to, and as whom.
//!
//! Flags come first, then the environment, then what `federation up` left behind.

use std::path::{Path, PathBuf};

use clap::Args;
use toml::Table;

use crate::error::CliError;

/// The director's address, where no flag gives it.
pub(crate) const DIRECTOR: &str = "VEILFLOW_DIRECTOR";
/// The folder with the client's identity, where no flag gives it.
pub(crate) const IDENTITY: &str = "VEILFLOW_IDENTITY";
/// The folder of the federation on this machine.
pub(crate) const FEDERATION: &str = "VEILFLOW_FEDERATION";
/// The file in that folder which says how to reach it.
pub(crate) const CONNECTION_FILE: &str = "connection.toml";

/// The flags of every command that talks to a director.
#[derive(Args, Clone, Debug, Default)]
#[group(skip)]
#[command(next_help_heading = "The director")]
pub(crate) struct ConnectionArgs {
    /// Where the director is, such as https://director.example:50050 [default: $VEILFLOW_DIRECTOR, or the federation that was started here]
    #[arg(long, value_name = "URL")]
    pub(crate) director: Option<String>,
    /// Folder with your key and certificate [default: $VEILFLOW_IDENTITY, or the federation that was started here]
    #[arg(long, value_name = "DIR")]
    pub(crate) identity: Option<PathBuf>,
    /// Talks without encryption, to a director on a loopback address only
    #[arg(long)]
    pub(crate) insecure_loopback: bool,
}

/// A director, and as whom to talk to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Access {
    pub(crate) director: String,
    /// None on a loopback address without encryption.
    pub(crate) identity: Option<PathBuf>,
}

impl ConnectionArgs {
    /// The director that the flags, this process's environment or a federation on this machine name.
    pub(crate) fn access(&self) -> Result<Access, CliError> {
        let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        self.resolve(
            variable(DIRECTOR).and_then(|url| url.into_string().ok()),
            variable(IDENTITY).map(PathBuf::from),
            &federation_dir(),
        )
    }

    fn resolve(
        &self,
        director: Option<String>,
        identity: Option<PathBuf>,
        federation: &Path,
    ) -> Result<Access, CliError> {
        let (mut director, mut identity) =
            (self.director.clone().or(director), self.identity.clone().or(identity));
        let secure = !self.insecure_loopback;
        if director.is_none() || (secure && identity.is_none()) {
            let left = read(&federation.join(CONNECTION_FILE))?;
            // The identity of one federation is nothing to another one's director.
            let same = |url: &String| left.as_ref().is_some_and(|left| left.director == *url);
            if identity.is_none() && director.as_ref().is_none_or(same) {
                identity = left.as_ref().and_then(|left| left.identity.clone());
            }
            director = director.or(left.map(|left| left.director));
        }
        let director = director.ok_or(CliError::NoDirector)?;
        match (secure, identity) {
            (true, None) => Err(CliError::NoIdentity { director }),
            (true, identity) => Ok(Access { director, identity }),
            (false, _) => Ok(Access { director, identity: None }),
        }
    }
}

/// The folder of the federation on this machine.
pub(crate) fn federation_dir() -> PathBuf {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    variable(FEDERATION).unwrap_or_else(|| {
        let state = variable("XDG_STATE_HOME")
            .filter(|path| path.is_absolute())
            .or_else(|| variable("HOME").map(|home| home.join(".local/state")))
            .or_else(|| variable("LOCALAPPDATA"));
        state.map_or_else(|| PathBuf::from(".veilflow"), |state| state.join("veilflow/federation"))
    })
}

/// What a connection file says; `None` where there is none.
fn read(path: &Path) -> Result<Option<Access>, CliError> {
    let wrong = |reason: String| CliError::Connection { path: path.to_owned(), reason };
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(wrong(error.to_string())),
    };
    let mut table: Table = text.parse().map_err(|error: toml::de::Error| wrong(error.to_string()))?;
    let mut take = |key: &str| match table.remove(key) {
        Some(toml::Value::String(text)) => Ok(Some(text)),
        None => Ok(None),
        Some(_) => Err(wrong(format!("`{key}` has to be a text"))),
    };
    let (director, identity) = (take("director")?, take("identity")?);
    if let Some(key) = table.keys().next() {
        return Err(wrong(format!("there is no key `{key}`\nThere are: director, identity")));
    }
    let director = director.ok_or_else(|| wrong("`director` is missing".to_owned()))?;
    let folder = path.parent().unwrap_or(Path::new(""));
    Ok(Some(Access { director, identity: identity.map(|identity| folder.join(identity)) }))
}

/// The text of a connection file.
pub(crate) fn file(director: &str, identity: &Path) -> String {
    let mut table = Table::new();
    table.insert("director".to_owned(), director.into());
    table.insert("identity".to_owned(), identity.display().to_string().into());
    table.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access(director: &str, identity: Option<&str>) -> Access {
        Access { director: director.to_owned(), identity: identity.map(PathBuf::from) }
    }

    #[test]
    fn flags_come_before_the_environment_and_that_before_the_federation_here() {
        let folder = tempfile::tempdir().unwrap();
        let text = file("https://127.0.0.1:7", Path::new("pki/client"));
        std::fs::write(folder.path().join(CONNECTION_FILE), text).unwrap();
        let nothing = ConnectionArgs::default();
        let own = folder.path().join("pki/client");
        let here = nothing.resolve(None, None, folder.path()).unwrap();
        assert_eq!(here, Access { director: "https://127.0.0.1:7".to_owned(), identity: Some(own.clone()) });

        let variables = (Some("https://env".to_owned()), Some(PathBuf::from("env")));
        let of_variables = nothing.resolve(variables.0.clone(), variables.1.clone(), folder.path()).unwrap();
        assert_eq!(of_variables, access("https://env", Some("env")));
        let flags = ConnectionArgs { director: Some("https://flag".to_owned()), ..ConnectionArgs::default() };
        let of_flags = flags.resolve(variables.0.clone(), variables.1, folder.path()).unwrap();
        assert_eq!(of_flags, access("https://flag", Some("env")));

        // Another director is not shown the identity of the federation here.
        let other = flags.resolve(None, None, folder.path()).unwrap_err();
        assert!(matches!(other, CliError::NoIdentity { .. }), "{other}");
        let same =
            ConnectionArgs { director: Some("https://127.0.0.1:7".to_owned()), ..ConnectionArgs::default() };
        assert_eq!(same.resolve(None, None, folder.path()).unwrap().identity, Some(own));
        let insecure = ConnectionArgs { insecure_loopback: true, ..flags };
        assert_eq!(insecure.resolve(None, None, folder.path()).unwrap(), access("https://flag", None));
    }

    #[test]
    fn what_is_missing_says_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let nobody = ConnectionArgs::default().resolve(None, None, folder.path()).unwrap_err();
        assert!(nobody.to_string().contains("--director"), "{nobody}");
        let next = nobody.hint().unwrap();
        assert!(next.contains("federation up") && next.contains(DIRECTOR), "{next}");
        assert_eq!(nobody.exit_code(), crate::error::USAGE);
    }

    #[test]
    fn a_connection_file_with_mistakes_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(CONNECTION_FILE);
        for (text, says) in [
            ("directr = 'x'", "no key `directr`"),
            ("identity = 'x'", "`director` is missing"),
            ("director = 1", "`director` has to be a text"),
            ("director = ", "connection.toml"),
        ] {
            std::fs::write(&path, text).unwrap();
            let error = ConnectionArgs::default().resolve(None, None, folder.path()).unwrap_err();
            assert!(error.to_string().contains(says), "{text}: {error}");
        }
    }
}
