//! The command line as a process: Ctrl-C, and a reader that goes away.
//!
//! The test starts itself as the command line, so it has no harness of its own.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Duration;

use veilflow_cli::{App, Cohort, FlowOf, Registry, Setup, clap};
use veilflow_spec::{Context, Flow, Foreach, Inputs, Result, Tensor};

#[derive(clap::Args)]
struct Options {
    /// Never gets ready
    #[arg(long)]
    stuck: bool,
    /// How long each batch takes, in milliseconds
    #[arg(long, default_value_t = 1)]
    batch: u64,
    /// How many batches there are
    #[arg(long, default_value_t = u64::MAX)]
    batches: u64,
}

struct Slow;

struct Site(Duration, u64);

impl Site {
    fn work(&mut self, (): (), cx: &Context) -> Result<()> {
        for batch in 0..self.1 {
            cx.check_cancelled()?;
            cx.progress(batch, self.1, "images");
            std::thread::sleep(self.0);
        }
        Ok(())
    }
}

fn start(_: &mut (), (): (), cx: &Context) -> Result<Foreach<()>> {
    cx.note("a note");
    Ok(Foreach::all(()))
}

fn join(_: &mut (), _: Inputs<()>, _: &Context) -> Result<Tensor> {
    Ok(Tensor::vector(vec![]))
}

impl App for Slow {
    const NAME: &'static str = "slow";
    const ABOUT: &'static str = "Works until it is told to stop";
    type Options = Options;
    type Aggregator = ();
    type Collaborator = Site;
    type Params = ();
    type Report = Tensor;

    fn flow(_: &Options, _: &Cohort) -> Result<FlowOf<Self>> {
        Ok(Flow::new("slow", 1).start(start).foreach(Site::work).join(join).end())
    }

    fn setup(options: &Options, _: &Cohort) -> Result<Setup<Self>> {
        if options.stuck {
            writeln!(std::io::stderr(), "stuck")?;
            std::thread::sleep(Duration::from_secs(60));
        }
        let (batch, batches) = (Duration::from_millis(options.batch), options.batches);
        Ok(Setup::new((), (), move |_| Ok(Site(batch, batches))))
    }
}

const AS_PROGRAM: &str = "VEILFLOW_TEST_AS_PROGRAM";

fn main() -> ExitCode {
    if std::env::var_os(AS_PROGRAM).is_some() {
        return veilflow_cli::main(Registry::new().app(Slow));
    }
    #[cfg(unix)]
    {
        ctrl_c_cancels_the_run();
        a_second_ctrl_c_ends_what_does_not_stop();
    }
    a_pipe_that_is_closed_is_no_panic();
    ExitCode::SUCCESS
}

fn program(arguments: &[&str]) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(arguments).env(AS_PROGRAM, "1").stdin(Stdio::null());
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Reads standard error up to a line that holds `text`.
#[cfg(unix)]
fn wait_for(lines: &mut impl BufRead, text: &str) {
    let mut line = String::new();
    while !line.contains(text) {
        line.clear();
        assert_ne!(lines.read_line(&mut line).unwrap(), 0, "the program never said {text:?}");
    }
}

#[cfg(unix)]
fn press_ctrl_c(child: &Child) {
    use nix::sys::signal::{Signal, kill};
    use nix::unistd::Pid;
    kill(Pid::from_raw(child.id().try_into().unwrap()), Signal::SIGINT).unwrap();
}

#[cfg(unix)]
fn ctrl_c_cancels_the_run() {
    let mut child = program(&["run", "slow"]);
    let mut err = BufReader::new(child.stderr.take().unwrap());
    wait_for(&mut err, "work");
    press_ctrl_c(&child);
    let mut rest = String::new();
    err.read_to_string(&mut rest).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130), "{rest}");
    assert!(rest.contains("cancelling the run"), "{rest}");
    assert!(rest.contains("error: cancelled after") && rest.contains("`work`"), "{rest}");
}

#[cfg(unix)]
fn a_second_ctrl_c_ends_what_does_not_stop() {
    let mut child = program(&["run", "slow", "--stuck"]);
    let mut err = BufReader::new(child.stderr.take().unwrap());
    wait_for(&mut err, "stuck");
    press_ctrl_c(&child);
    wait_for(&mut err, "cancelling the run");
    press_ctrl_c(&child);
    assert_eq!(child.wait().unwrap().code(), Some(130));
}

fn a_pipe_that_is_closed_is_no_panic() {
    for arguments in [&["completions", "bash"][..], &["run", "slow", "--batches", "3"]] {
        let mut child = program(arguments);
        drop(child.stdout.take());
        let mut err = String::new();
        child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(0), "{err}");
        assert!(!err.contains("panicked"), "{err}");
    }
}
