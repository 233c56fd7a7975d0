//! `federation down`.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgMatches, Args, Command, FromArgMatches};

use super::layout::{Layout, Part};
use super::process::{self, FederationError, Running};
use crate::args::Shape;
use crate::console::Console;
use crate::error::CliError;
use crate::json;
use crate::remote::connection::federation_dir;

#[derive(Args, Debug)]
#[group(skip)]
struct DownArgs {
    /// Folder that `federation up` made [default: $VEILFLOW_FEDERATION, or a folder of yours]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Leaves logs, keys and state where they are
    #[arg(long)]
    keep: bool,
    /// How it is printed
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = Shape::Table)]
    output: Shape,
}

pub(super) fn command(binary: &str) -> Command {
    DownArgs::augment_args(Command::new("down"))
        .about("Ends the federation that `federation up` started, and removes its folder")
        .after_help(format!("Example:\n  {binary} federation down"))
}

/// What was ended.
#[derive(serde::Serialize)]
struct Down {
    ended: Vec<String>,
    /// Those that did not end when they were asked to.
    killed: Vec<String>,
}

/// How long a part may take to finish what it does.
const PATIENCE: Duration = Duration::from_secs(20);

pub(super) fn down(matches: &ArgMatches, console: &mut Console) -> Result<(), CliError> {
    let args = DownArgs::from_arg_matches(matches).map_err(|error| CliError::Usage(Box::new(error)))?;
    let layout = Layout::new(args.dir.unwrap_or_else(federation_dir));
    if !layout.mark().exists() {
        return Err(FederationError::None { root: layout.root().to_owned() }.into());
    }
    let mut down = Down { ended: Vec::new(), killed: Vec::new() };
    // The envoys first: a director that is gone would only be dialled.
    end(envoys(&layout)?, &mut down)?;
    end(vec![layout.director()], &mut down)?;
    let connection = layout.connection();
    if let Err(error) = fs::remove_file(&connection)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        return Err(FederationError::File { path: connection, error }.into());
    }
    if !args.keep {
        remove(&layout)?;
    }
    console.print(&match args.output {
        Shape::Json => json::pretty(&down)?,
        Shape::Table => {
            let mut text = format!("ended: {}\n", list(&down.ended));
            if !down.killed.is_empty() {
                text.push_str(&format!("killed, since they did not end: {}\n", list(&down.killed)));
            }
            if args.keep {
                text.push_str(&format!("kept: {}\n", layout.root().display()));
            }
            text
        }
    })
}

fn list(names: &[String]) -> String {
    if names.is_empty() { "nothing ran".to_owned() } else { names.join(", ") }
}

fn envoys(layout: &Layout) -> Result<Vec<Part>, FederationError> {
    layout.started().map_err(|error| FederationError::File { path: layout.envoys(), error })
}

/// Asks all of them to end, and waits for each.
fn end(parts: Vec<Part>, down: &mut Down) -> Result<(), FederationError> {
    let mut ending: Vec<(String, Running)> = Vec::new();
    for part in parts {
        if let Some(running) = process::running(&part)? {
            running.terminate()?;
            ending.push((part.name, running));
        }
    }
    for (name, running) in ending {
        let ended = if running.wait(PATIENCE)? { &mut down.ended } else { &mut down.killed };
        ended.push(name);
    }
    Ok(())
}

/// Refuses to touch a federation of which something runs.
pub(super) fn refuse_running(layout: &Layout) -> Result<(), FederationError> {
    for part in envoys(layout)?.into_iter().chain([layout.director()]) {
        if process::running(&part)?.is_some() {
            return Err(FederationError::Runs { root: layout.root().to_owned() });
        }
    }
    Ok(())
}

/// Removes a folder that carries our mark.
pub(super) fn remove(layout: &Layout) -> Result<(), FederationError> {
    let root = layout.root().to_owned();
    fs::remove_dir_all(&root).map_err(|error| FederationError::File { path: root, error })
}
