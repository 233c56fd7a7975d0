//! How much memory a large model takes: a flow that sends one to each envoy and gets one back from each, over TLS between
//! processes of their own. Prints the peak of each process as a multiple of the model, and how long the run took.
//!
//! `cargo bench -p veilflow-federated --bench large_model -- MIB ENVOYS` (2048 and 1, unless it is said)
#![allow(clippy::expect_used, clippy::print_stdout, reason = "a benchmark that cannot run says so and stops")]

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Instant;

use nix::sys::resource::{UsageWho, getrusage};
use veilflow_engine::remote::{HostedRun, SiteSettings, SiteTasks, hosted_cbor, site_tasks};
use veilflow_federated::client::FederatedRuntime;
use veilflow_federated::director::{Director, DirectorConfig};
use veilflow_federated::envoy::{Envoy, EnvoyConfig, Notice, SiteLog};
use veilflow_federated::pki::{Identity, Throwaway, throwaway};
use veilflow_federated::{Deployed, Registry, Terms};
use veilflow_spec::{Context, Flow, FlowDescription, Foreach, Inputs, Name, Result, StepError, Tensor};

/// How many values make a MiB.
const MIB: usize = (1 << 20) / size_of::<f32>();

/// The aggregator: it keeps nothing.
#[derive(Clone, serde::Serialize, serde::Deserialize)]
struct Server;

impl Server {
    fn start(&mut self, mib: u64, _: &Context) -> Result<Foreach<Tensor>> {
        let values = usize::try_from(mib).map_err(StepError::msg)? * MIB;
        // No two chunks are equal: equal ones would cross once.
        Ok(Foreach::all(Tensor::vector((0_u32..).take(values).map(value).collect())))
    }

    fn join(&mut self, models: Inputs<Tensor>, _: &Context) -> Result<u64> {
        models.values().try_fold(0, |sum, model| {
            for (number, got) in (0_u32..).zip(model.values()) {
                if *got != value(number) + 1.0 {
                    return Err(StepError::msg(format!("value {number} came back as {got}")));
                }
            }
            Ok(sum + model.values().len() as u64)
        })
    }
}

fn value(number: u32) -> f32 {
    (number % 16_777_213) as f32
}

/// A site: its training adds 1, in place.
struct Site;

impl Site {
    fn train(&mut self, model: Tensor, _: &Context) -> Result<Tensor> {
        let mut values = model.into_values();
        values.iter_mut().for_each(|value| *value += 1.0);
        Ok(Tensor::vector(values))
    }
}

fn flow() -> Flow<Server, Site, u64, u64> {
    Flow::new("large-model", 1).start(Server::start).foreach(Site::train).join(Server::join).end()
}

struct Compiled;

impl Deployed for Compiled {
    fn name(&self) -> &str {
        "large-model"
    }

    fn about(&self) -> &str {
        "sends a model to every site and gets one back"
    }

    fn collaborators(&self) -> Vec<Name> {
        Vec::new()
    }

    fn describe(&self, _: &Terms) -> Result<FlowDescription> {
        Ok(flow().describe())
    }

    fn host(
        &self,
        _: &Terms,
        _: &BTreeMap<String, String>,
        params: Option<&[u8]>,
    ) -> Result<Box<dyn HostedRun>> {
        hosted_cbor(flow(), Server, params.ok_or_else(|| StepError::msg("without a size"))?)
    }

    fn site(
        &self,
        _: &Terms,
        _: &BTreeMap<String, String>,
        settings: SiteSettings,
    ) -> Result<Arc<dyn SiteTasks>> {
        Ok(site_tasks(&flow(), |_| Ok(Site), settings)?)
    }
}

fn registry() -> Registry {
    Registry::new().with(Arc::new(Compiled))
}

struct Problems;

impl SiteLog for Problems {
    fn notice(&self, notice: &Notice) {
        if let Notice::Declined { reason, .. } = notice {
            println!("declined: {reason}");
        }
    }
}

/// Says a line to the parent.
fn say(line: &str) {
    println!("{line}");
    std::io::stdout().flush().expect("a parent");
}

/// Waits until the parent hangs up, then says the process's peak in KiB.
fn until_told() {
    std::io::stdin().read_to_end(&mut Vec::new()).expect("a parent");
}

fn peak() -> u64 {
    let usage = getrusage(UsageWho::RUSAGE_SELF).expect("a process can always ask about itself");
    // KiB, but for macOS, where it is bytes.
    u64::try_from(usage.max_rss()).unwrap_or(0) / if cfg!(target_os = "macos") { 1024 } else { 1 }
}

async fn director(folder: &Path, identity: &Path) {
    let mut config = DirectorConfig::new(folder, identity);
    config.listen = ([127, 0, 0, 1], 0).into();
    let log: veilflow_federated::director::Log = Arc::new(|line| {
        if let veilflow_federated::director::Line::Problem(problem) = line {
            println!("director: {problem}");
        }
    });
    let director = Director::start(config, registry(), log).await.expect("a director");
    say(&format!("https://{}", director.address()));
    tokio::task::spawn_blocking(until_told).await.expect("a parent");
    director.shutdown().await.expect("a clean end");
}

async fn envoy(folder: &Path, identity: &Path, url: &str, name: &str) {
    let text = format!(
        "name = '{name}'\ndirector = '{url}'\nidentity = '{}'\nstate-dir = '{}'\n[policy]\nallowed-flows = ['*']\n\
         allow-plain = true\n[roster]\nadditions = 'accept'\n",
        identity.display(),
        folder.display()
    );
    let config = EnvoyConfig::parse(Path::new("envoy.toml"), &text).expect("a configuration");
    let envoy = Envoy::start(config, registry(), Arc::new(Problems)).await.expect("an envoy");
    say("started");
    tokio::task::spawn_blocking(until_told).await.expect("a parent");
    envoy.shutdown();
    envoy.wait().await;
}

/// A process of this program in another role.
struct Role {
    name: String,
    child: Child,
    lines: BufReader<std::process::ChildStdout>,
}

impl Role {
    fn start(name: &str, arguments: &[&str]) -> (Self, String) {
        let program = std::env::current_exe().expect("this program");
        let mut child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a process");
        let lines = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut role = Self { name: name.to_owned(), child, lines };
        let first = role.line();
        (role, first)
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).expect("a line");
        line.trim().to_owned()
    }

    /// Ends it, and prints its peak beside the model.
    fn end(mut self, model_kib: u64) {
        drop(self.child.stdin.take());
        let mut rest = String::new();
        self.lines.read_to_string(&mut rest).expect("its last words");
        assert!(self.child.wait().expect("its end").success(), "{}: {rest}", self.name);
        for line in rest.lines() {
            match line.strip_prefix("peak ").and_then(|peak| peak.parse::<u64>().ok()) {
                Some(peak) => report(&self.name, peak, model_kib),
                None => println!("{}: {line}", self.name),
            }
        }
    }
}

fn report(name: &str, peak: u64, model_kib: u64) {
    println!(
        "{name:<10} {:>7} MiB at its peak, {:.2} x the model",
        peak / 1024,
        peak as f64 / model_kib as f64
    );
}

async fn measure(mib: u64, envoys: usize) {
    let folder = tempfile::tempdir().expect("a folder");
    let names: Vec<Name> = (0..envoys).map(|number| format!("Site{number}").into()).collect();
    let keys: Throwaway = throwaway(&folder.path().join("keys"), &names).expect("a federation");
    let path = |path: &Path| path.to_str().expect("a path in UTF-8").to_owned();
    let place = |name: &str| path(&folder.path().join(name));
    let (director, url) = Role::start("director", &["director", &place("director"), &path(&keys.director)]);
    let mut roles = vec![director];
    for name in &names {
        let arguments = ["envoy", &place(name.as_str()), &path(&keys.envoys[name]), &url, name.as_str()];
        roles.push(Role::start(name.as_str(), &arguments).0);
    }
    let identity = Identity::load(&keys.client).expect("a client");
    let runtime = FederatedRuntime::connect(&url, identity).await.expect("a director").participants(names);
    let began = Instant::now();
    let values = runtime.run(&flow(), mib).await.expect("a report");
    assert_eq!(values, mib * (MIB * envoys) as u64);
    println!("{mib} MiB to {envoys} and back: {:.1} s", began.elapsed().as_secs_f64());
    for role in roles {
        role.end(mib * 1024);
    }
}

fn main() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let arguments: Vec<String> =
        std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["director", folder, identity] => runtime.block_on(director(folder.as_ref(), identity.as_ref())),
        ["envoy", folder, identity, url, name] => {
            runtime.block_on(envoy(folder.as_ref(), identity.as_ref(), url, name));
        }
        sizes => {
            let number = |at: usize, otherwise: u64| {
                sizes.get(at).map_or(otherwise, |size| size.parse().expect("MIB ENVOYS"))
            };
            let envoys = usize::try_from(number(1, 1)).expect("a number of envoys");
            // As a test it only shows that it runs.
            let large = std::env::args().any(|argument| argument == "--bench");
            runtime.block_on(measure(number(0, if large { 2048 } else { 16 }), envoys));
            return;
        }
    }
    say(&format!("peak {}", peak()));
}
