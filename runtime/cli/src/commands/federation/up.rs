//! `federation up`.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{ArgMatches, Args, Command, FromArgMatches};
use veilflow_federated::pki;

use super::layout::{self, Layout};
use super::process::{self, FederationError};
use crate::args::{Collaborators, Shape};
use crate::console::Console;
use crate::error::CliError;
use crate::json;
use crate::remote::connection::{self, DIRECTOR, FEDERATION, IDENTITY, federation_dir};

#[derive(Args, Debug)]
#[group(skip)]
struct UpArgs {
    /// The sites: names separated by commas, or a number of them
    #[arg(long, value_name = "NAMES|N", default_value = "Bengaluru,Portland")]
    envoys: Collaborators,
    /// Folder for its keys, configurations, logs and state [default: $VEILFLOW_FEDERATION, or a folder of yours]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// How the federation is printed
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = Shape::Table)]
    output: Shape,
}

pub(super) fn command(binary: &str) -> Command {
    UpArgs::augment_args(Command::new("up"))
        .about("Starts a director and envoys on this machine, with throw-away keys")
        .after_help(format!("Example:\n  {binary} federation up --envoys Bengaluru,Portland"))
}

/// A federation that came up.
#[derive(serde::Serialize)]
struct Up<'a> {
    director: &'a str,
    identity: &'a Path,
    dir: &'a Path,
    envoys: Vec<String>,
}

/// How long a part may take until it is ready.
const PATIENCE: Duration = Duration::from_secs(60);

/// Names that the authority gives to others than envoys.
const TAKEN: [&str; 5] = ["director", "client", "admin", "authority", "."];

pub(super) fn up(binary: &str, matches: &ArgMatches, console: &mut Console) -> Result<(), CliError> {
    let args = UpArgs::from_arg_matches(matches).map_err(|error| CliError::Usage(Box::new(error)))?;
    let names = args.envoys.0;
    if let Some(name) = names.iter().find(|name| TAKEN.contains(&name.as_str()) || name.as_str() == "..") {
        return Err(FederationError::Name { name: name.to_string() }.into());
    }
    let root = args.dir.unwrap_or_else(federation_dir);
    let layout =
        prepared(std::path::absolute(&root).map_err(|error| FederationError::File { path: root, error })?)?;

    let authority = pki::throwaway(&layout.pki(), &names)?;
    let director = layout.director();
    write(&director.config, &layout::director_config("127.0.0.1:0", &authority.director, &director.state))?;
    let serving = process::start(&director, &["director", "start"])?;
    let url = serving.ready(PATIENCE)?;
    // The port that it got, so that it can be started again by hand.
    let listen = url.trim_start_matches("https://");
    write(&director.config, &layout::director_config(listen, &authority.director, &director.state))?;

    let mut attached = Vec::new();
    for (name, identity) in &authority.envoys {
        let envoy = layout.envoy(name);
        write(&envoy.config, &layout::envoy_config(name, &url, identity, &envoy.state))?;
        attached.push(process::start(&envoy, &["envoy", "start"])?);
    }
    for envoy in &attached {
        envoy.ready(PATIENCE)?;
    }
    write(&layout.connection(), &connection::file(&url, &authority.client))?;
    serving.keep();
    attached.into_iter().for_each(process::Started::keep);

    let envoys: Vec<_> = names.iter().map(ToString::to_string).collect();
    let default = layout.root() == std::path::absolute(federation_dir()).unwrap_or_default();
    console.print(&match args.output {
        Shape::Json => json::pretty(&Up {
            director: &url,
            identity: &authority.client,
            dir: layout.root(),
            envoys,
        })?,
        Shape::Table => {
            let dir = layout.root().display();
            let find = if default { String::new() } else { format!("  export {FEDERATION}='{dir}'\n") };
            let identity = authority.client.display();
            format!(
                "A federation of {} is up at {url}, in {dir}.\n\nCommands find it by themselves:\n{find}  {binary} envoys\n  \
                 {binary} run FLOW --runtime federated\n  {binary} experiment list\n  {binary} federation down\n\n\
                 Programs of your own find it with\n  export {DIRECTOR}={url} {IDENTITY}='{identity}'\n",
                envoys.join(", ")
            )
        }
    })
}

/// A folder with nothing of an earlier federation in it.
fn prepared(root: PathBuf) -> Result<Layout, FederationError> {
    let file = |path: &Path| {
        let path = path.to_owned();
        move |error| FederationError::File { path, error }
    };
    let layout = Layout::new(root);
    let root = layout.root().to_owned();
    let is_empty =
        |root: &Path| fs::read_dir(root).map(|mut entries| entries.next().is_none()).unwrap_or(true);
    if layout.mark().exists() {
        super::down::refuse_running(&layout)?;
        super::down::remove(&layout)?;
    } else if !is_empty(&root) {
        return Err(FederationError::NotOurs { root });
    }
    fs::create_dir_all(layout.envoys()).map_err(file(&root))?;
    #[cfg(unix)]
    {
        // Keys lie in there.
        use std::os::unix::fs::PermissionsExt as _;
        fs::set_permissions(&root, fs::Permissions::from_mode(0o700)).map_err(file(&root))?;
    }
    write(
        &layout.mark(),
        "Made by `veilflow federation up`; `veilflow federation down` removes this folder.\n",
    )?;
    Ok(layout)
}

fn write(path: &Path, text: &str) -> Result<(), FederationError> {
    fs::write(path, text).map_err(|error| FederationError::File { path: path.to_owned(), error })
}
