//! Where the files of a federation on this machine lie.

use std::path::{Path, PathBuf};

use toml::{Table, Value};
use veilflow_spec::Name;

use crate::remote::connection::CONNECTION_FILE;

/// The folder of a federation that `federation up` made.
pub(super) struct Layout {
    root: PathBuf,
}

/// What a part of a federation is called and where its files lie.
pub(super) struct Part {
    /// The director, or the envoy's name.
    pub(super) name: String,
    /// Its configuration.
    pub(super) config: PathBuf,
    /// What it says.
    pub(super) log: PathBuf,
    /// Its process's number. The process holds a lock on this file as long as it lives.
    pub(super) pid: PathBuf,
    /// What it keeps.
    pub(super) state: PathBuf,
}

impl Layout {
    pub(super) fn new(root: PathBuf) -> Self {
        Self { root }
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// The file that says that `federation up` made the folder.
    pub(super) fn mark(&self) -> PathBuf {
        self.root.join("federation.mark")
    }

    pub(super) fn connection(&self) -> PathBuf {
        self.root.join(CONNECTION_FILE)
    }

    /// Keys and certificates.
    pub(super) fn pki(&self) -> PathBuf {
        self.root.join("pki")
    }

    pub(super) fn director(&self) -> Part {
        self.part(&self.root, "director")
    }

    /// In a folder of their own, so that no name of a site is that of another file.
    pub(super) fn envoys(&self) -> PathBuf {
        self.root.join("envoys")
    }

    pub(super) fn envoy(&self, name: &Name) -> Part {
        self.part(&self.envoys(), name.as_str())
    }

    fn part(&self, folder: &Path, name: &str) -> Part {
        let file = |ending| folder.join(format!("{name}.{ending}"));
        Part {
            name: name.to_owned(),
            config: file("toml"),
            log: file("log"),
            pid: file("pid"),
            state: file("state"),
        }
    }

    /// The envoys that were started.
    pub(super) fn started(&self) -> std::io::Result<Vec<Part>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(self.envoys())? {
            let path = entry?.path();
            if path.extension().is_some_and(|ending| ending == "pid") {
                names.extend(path.file_stem().map(|stem| stem.to_string_lossy().into_owned()));
            }
        }
        names.sort();
        Ok(names.iter().map(|name| self.envoy(&Name::from(name.as_str()))).collect())
    }
}

/// The director's configuration.
pub(super) fn director_config(listen: &str, identity: &Path, state: &Path) -> String {
    table([("listen", listen), ("identity", &text(identity)), ("state-dir", &text(state))])
}

/// An envoy's configuration, which agrees to everything that can be tried out here.
pub(super) fn envoy_config(name: &Name, director: &str, identity: &Path, state: &Path) -> String {
    let keys = table([
        ("name", name.as_str()),
        ("director", director),
        ("identity", &text(identity)),
        ("state-dir", &text(state)),
    ]);
    format!(
        "# Agrees to all that can be tried out. A site that protects something says more: see examples/federation.\n{keys}\n\
         [policy]\nallowed-flows = [\"*\"]\nallow-plain = true\nmin-cohort = 2\nmin-security = \"semi-honest\"\n\
         # The same experiment twice masks the same inputs twice, of which another cohort's sum could tell one.\n\
         allow-remasking = true\n\n\
         [roster]\nadditions = \"accept\"\n"
    )
}

fn table<const N: usize>(keys: [(&str, &str); N]) -> String {
    let keys = keys.map(|(key, value)| (key.to_owned(), Value::String(value.to_owned())));
    Table::from_iter(keys).to_string()
}

fn text(path: &Path) -> String {
    path.display().to_string()
}
