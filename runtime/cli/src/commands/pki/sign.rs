//! `pki sign`.

use std::io::BufRead;
use std::path::PathBuf;
use std::time::SystemTime;

use clap::{Args, Command};
use serde_bytes::ByteBuf;
use veilflow_federated::pki::{Answer, Authority, Publication, Reviewed, SigningPolicy, Validity};
use veilflow_spec::Name;

use super::director::{Director, DirectorArgs};
use super::requests::{Waiting, kind};
use super::{AuthorityArgs, PkiCommandError, YEAR, example};
use crate::console::{Console, Log};
use crate::error::CliError;

#[derive(Args, Debug)]
#[group(skip)]
pub(super) struct SignArgs {
    #[command(flatten)]
    authority: AuthorityArgs,
    #[command(flatten)]
    director: DirectorArgs,
    /// Signs what this TOML file names, and leaves the rest
    #[arg(long, value_name = "FILE", conflicts_with = "accept")]
    policy: Option<PathBuf>,
    /// Signs what these ask, names with commas between, and leaves the rest
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    accept: Vec<String>,
    /// For how long the certificates are valid [default: the policy's, or 1y]
    #[arg(long, value_name = "TIME")]
    valid: Option<Validity>,
}

pub(super) fn command(binary: &str) -> Command {
    SignArgs::augment_args(Command::new("sign"))
        .about("Answers the requests for certificates that wait at the director")
        .after_help(format!(
            "Without --policy and --accept it asks about each. A policy:\n  valid = \"1y\"\n  renewals = true\n  \
             [[enroll]]\n  role = \"envoy\"\n  names = [\"Bengaluru\", \"Portland\"]\n\n{}",
            example(binary, "sign --director https://director.example:50050 --identity admin")
        ))
}

/// How it is decided.
enum Decides {
    Policy(SigningPolicy),
    Names(Vec<Name>),
    Asked,
}

/// What is decided about a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Decision {
    Sign,
    Refuse,
    Leave,
}

pub(super) fn sign(args: &SignArgs, console: &mut Console) -> Result<(), CliError> {
    let decides = match (&args.policy, args.accept.as_slice()) {
        (Some(path), _) => Decides::Policy(SigningPolicy::load(path).map_err(PkiCommandError::Policy)?),
        (None, []) => Decides::Asked,
        (None, names) => Decides::Names(names.iter().map(|name| Name::from(name.as_str())).collect()),
    };
    let of_policy = match &decides {
        Decides::Policy(policy) => policy.valid,
        _ => None,
    };
    let valid = args.valid.or(of_policy).unwrap_or(YEAR);
    let mut authority = args.authority.open()?;
    let director = Director::connect(&args.director)?;
    let pending = director.call(|connection| async move { connection.pending().await })?;
    let (mut answers, mut report) = (Vec::new(), String::new());
    let mut left = 0;
    for pending in pending {
        let now = SystemTime::now();
        let waiting = Waiting::review(&mut authority, pending, now);
        let log = console.log().clone();
        let decision = decide(&decides, &waiting, &log, &mut std::io::stdin().lock())?;
        match answer(&mut authority, &waiting, decision, valid, now)? {
            Some((line, answer)) => {
                report.push_str(&line);
                answers.push(answer);
            }
            None => left += 1,
        }
    }
    if !answers.is_empty() {
        let publication = Publication { answers, ..lists(&authority)? };
        director.call(|connection| async move { connection.publish(publication).await })?;
    }
    if report.is_empty() {
        report.push_str("nothing was signed\n");
    }
    if left > 0 {
        report.push_str(&format!("{left} left waiting: `pki requests` lists them\n"));
    }
    console.print(&report)
}

/// The authority's newest lists, for a director.
pub(super) fn lists(authority: &Authority) -> Result<Publication, CliError> {
    Ok(Publication {
        answers: Vec::new(),
        roster: Some(ByteBuf::from(authority.roster()?.to_bytes())),
        revocations: Some(ByteBuf::from(authority.revocations()?)),
    })
}

/// The answer, and a line about it; none where it is left.
fn answer(
    authority: &mut Authority,
    waiting: &Waiting,
    decision: Decision,
    valid: Validity,
    now: SystemTime,
) -> Result<Option<(String, Answer)>, CliError> {
    let request = &waiting.pending.request;
    let id = request.id();
    Ok(match (&waiting.found, decision) {
        (_, Decision::Leave) => None,
        // Nobody can sign these; whoever sent them is told why.
        (Err(error), _) => {
            let answer = authority.refuse(request, &error.to_string(), now)?;
            Some((format!("refused {id}: {error}\n"), answer))
        }
        (Ok(found), Decision::Sign) => {
            let answer = authority.sign(request, valid, now)?;
            Some((format!("signed {} ({}, {})\n", found.name, found.role, kind(found)), answer))
        }
        (Ok(found), Decision::Refuse) => {
            let answer = authority.refuse(request, "the administrator refused it", now)?;
            Some((format!("refused {}\n", found.name), answer))
        }
    })
}

fn decide(
    decides: &Decides,
    waiting: &Waiting,
    log: &Log,
    input: &mut impl BufRead,
) -> Result<Decision, PkiCommandError> {
    let Ok(found) = &waiting.found else { return Ok(Decision::Refuse) };
    let allowed = |yes| if yes { Decision::Sign } else { Decision::Leave };
    match decides {
        Decides::Policy(policy) => Ok(allowed(policy.allows(found))),
        Decides::Names(names) => Ok(allowed(names.contains(&found.name))),
        Decides::Asked => ask(found, log, input),
    }
}

/// Asks the administrator. Where nobody answers, the request is left.
fn ask(found: &Reviewed, log: &Log, input: &mut impl BufRead) -> Result<Decision, PkiCommandError> {
    log.line(format_args!(
        "{} asks for a certificate as {} ({}), with the key\n  {}\nDoes the site show the same key? [y]es, [n]o: refuse, [l]ater:",
        found.name,
        found.role,
        kind(found),
        found.thumbprint
    ));
    let mut line = String::new();
    loop {
        line.clear();
        if input.read_line(&mut line).map_err(PkiCommandError::Input)? == 0 {
            return Ok(Decision::Leave);
        }
        match line.trim().to_ascii_lowercase().as_str() {
            "y" | "yes" => return Ok(Decision::Sign),
            "n" | "no" => return Ok(Decision::Refuse),
            "l" | "later" => return Ok(Decision::Leave),
            _ => log.line("y, n or l:"),
        }
    }
}

#[cfg(test)]
mod tests {
    use veilflow_federated::pki::{Role, Thumbprint};

    use super::*;

    #[test]
    fn an_administrator_is_asked_until_the_answer_is_clear() {
        let found = Reviewed {
            name: "Bengaluru".into(),
            role: Role::Envoy,
            renewal: false,
            thumbprint: Thumbprint::of(b"key"),
        };
        let console = Console::new(Vec::new(), std::io::sink());
        let asked = |typed: &str| ask(&found, console.log(), &mut typed.as_bytes()).unwrap();
        assert_eq!(asked("y\n"), Decision::Sign);
        assert_eq!(asked("\nmaybe\nNo\n"), Decision::Refuse);
        assert_eq!(asked("later\n"), Decision::Leave);
        // Nobody is there.
        assert_eq!(asked(""), Decision::Leave);
        assert_eq!(asked("yess"), Decision::Leave);
    }
}
