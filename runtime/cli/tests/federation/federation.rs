//! A federation of processes: a director, envoys, clients, each behind a proxy, with a throw-away authority.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use veilflow_federated::pki::{Throwaway, throwaway};
use veilflow_spec::Name;

use crate::gate::{GATE, Gate};
use crate::process::{Ended, Process};
use crate::proxy::Proxy;
use crate::wait::PATIENCE;

/// Within so many seconds a part ends that was asked to.
pub(crate) const SECONDS: Duration = Duration::from_secs(15);

/// A federation. Its processes end with it.
pub(crate) struct Federation {
    directory: TempDir,
    pub(crate) keys: Throwaway,
    pub(crate) gate: Gate,
    pub(crate) director: Option<Process>,
    envoys: BTreeMap<String, Process>,
    /// Between each envoy and the director.
    proxies: BTreeMap<String, Proxy>,
    /// Between all clients and the director.
    clients: Option<Proxy>,
    settings: Settings,
}

/// What differs from scenario to scenario.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// More of the director's configuration.
    pub(crate) director: &'static str,
    /// More of the envoys' configurations.
    pub(crate) envoy: &'static str,
    /// The flows that an envoy allows, where it is not all.
    pub(crate) allowed: BTreeMap<&'static str, &'static str>,
}

impl Default for Settings {
    /// Who is gone has a second to come back.
    fn default() -> Self {
        Self { director: "reconnect-grace = \"1s\"\n", envoy: "", allowed: BTreeMap::new() }
    }
}

impl Federation {
    /// Starts a director and these envoys, and waits until all are there.
    pub(crate) fn start(names: &[&str]) -> Self {
        Self::with(names, Settings::default())
    }

    pub(crate) fn with(names: &[&str], settings: Settings) -> Self {
        let mut federation = Self::prepare(names, settings);
        federation.start_director();
        for name in names {
            federation.start_envoy(name);
        }
        federation
    }

    /// Keys and folders, and nothing that runs.
    pub(crate) fn prepare(names: &[&str], settings: Settings) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let names: Vec<Name> = names.iter().map(|name| Name::from(*name)).collect();
        let keys = throwaway(&directory.path().join("pki"), &names).unwrap();
        Self {
            directory,
            keys,
            gate: Gate::new(),
            director: None,
            envoys: BTreeMap::new(),
            proxies: BTreeMap::new(),
            clients: None,
            settings,
        }
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Starts the director, on another port each time: the proxies lead to it.
    pub(crate) fn start_director(&mut self) {
        let config = self.path().join("director.toml");
        let text = format!(
            "listen = \"127.0.0.1:0\"\nidentity = {:?}\nstate-dir = {:?}\n{}",
            self.keys.director,
            self.path().join("director.state"),
            self.settings.director,
        );
        fs::write(&config, text).unwrap();
        let director = self.program("director", &["director", "start", "--config", text_of(&config)]);
        let address = director.line("ready", |line| {
            line.strip_prefix("ready: https://").map(|address| address.parse().unwrap())
        });
        self.director = Some(director);
        for proxy in self.proxies.values().chain(&self.clients) {
            proxy.retarget(address);
        }
        if self.clients.is_none() {
            self.clients = Some(Proxy::new(address));
        }
    }

    /// SIGKILL.
    pub(crate) fn kill_director(&mut self) {
        self.director.take().unwrap().kill();
    }

    /// Where clients find the director, whatever its port is.
    pub(crate) fn url(&self) -> String {
        format!("https://{}", self.clients.as_ref().unwrap().address())
    }

    /// The clients' way to the director.
    pub(crate) fn clients(&self) -> &Proxy {
        self.clients.as_ref().unwrap()
    }

    /// Writes an envoy's configuration; `identity` may be another's.
    pub(crate) fn envoy_config(&mut self, name: &str, identity: &Path) -> PathBuf {
        let target = self.clients().target();
        let proxy = self.proxies.entry(name.to_owned()).or_insert_with(|| Proxy::new(target));
        let address = proxy.address();
        self.write_envoy_config(name, identity, address)
    }

    /// The same without a proxy.
    pub(crate) fn direct_config(&self, name: &str, identity: &Path) -> PathBuf {
        self.write_envoy_config(name, identity, self.clients().target())
    }

    fn write_envoy_config(&self, name: &str, identity: &Path, director: SocketAddr) -> PathBuf {
        let config = self.path().join(format!("{name}.toml"));
        let allowed = self.settings.allowed.get(name).copied().unwrap_or("*");
        let text = format!(
            "name = {name:?}\ndirector = \"https://{director}\"\nidentity = {identity:?}\nstate-dir = {:?}\n\
             [policy]\nallowed-flows = [{allowed:?}]\nallow-plain = true\n\
             [roster]\nadditions = \"accept\"\n{}",
            self.path().join(format!("{name}.state")),
            self.settings.envoy,
        );
        fs::write(&config, text).unwrap();
        config
    }

    /// Starts an envoy and waits until it is attached.
    pub(crate) fn start_envoy(&mut self, name: &str) {
        let identity = self.keys.envoys[&Name::from(name)].clone();
        let config = self.envoy_config(name, &identity);
        let envoy = self.program(name, &["envoy", "start", "--config", text_of(&config)]);
        envoy.says("ready: ");
        self.envoys.insert(name.to_owned(), envoy);
    }

    /// SIGKILL.
    pub(crate) fn kill_envoy(&mut self, name: &str) {
        self.envoys.remove(name).unwrap().kill();
    }

    pub(crate) fn envoy(&self, name: &str) -> &Process {
        &self.envoys[name]
    }

    /// Waits until an envoy that lost its connection has one again.
    pub(crate) fn reattached(&self, name: &str) {
        let envoy = self.envoy(name);
        envoy.says("not attached");
        envoy.line("attached again", |line| {
            (line.contains("attached to the director") && !line.contains("not attached")).then_some(())
        });
    }

    /// To be waited for by its owner.
    pub(crate) fn take_envoy(&mut self, name: &str) -> Process {
        self.envoys.remove(name).unwrap()
    }

    /// The way between an envoy and the director.
    pub(crate) fn proxy(&self, name: &str) -> &Proxy {
        &self.proxies[name]
    }

    /// Starts the command line here.
    pub(crate) fn program(&self, name: &str, arguments: &[&str]) -> Process {
        self.program_with(name, arguments, &[])
    }

    pub(crate) fn program_with(
        &self,
        name: &str,
        arguments: &[&str],
        environment: &[(&str, String)],
    ) -> Process {
        let none = self.path().join("no-federation").display().to_string();
        let ours = [(GATE, self.gate.address()), ("VEILFLOW_FEDERATION", none)];
        let environment: Vec<_> = ours.iter().chain(environment).cloned().collect();
        Process::start(name, arguments, &environment)
    }

    /// Starts a client's command.
    pub(crate) fn client(&self, arguments: &[&str]) -> Process {
        self.client_of(&self.keys.client, arguments)
    }

    pub(crate) fn client_of(&self, identity: &Path, arguments: &[&str]) -> Process {
        let url = self.url();
        let connection = ["--director", &url, "--identity", text_of(identity)];
        let arguments: Vec<&str> = arguments.iter().copied().chain(connection).collect();
        self.program(&arguments[..2].join(" "), &arguments)
    }

    /// Runs a client's command to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ended {
        self.client(arguments).ended(PATIENCE)
    }

    /// Runs a client's command that succeeds and prints JSON.
    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        let arguments: Vec<_> = arguments.iter().chain(&["--output", "json"]).copied().collect();
        let Ended { status, out, err } = self.run(&arguments);
        assert!(status.success(), "{arguments:?}: {out}{err}");
        serde_json::from_str(&out).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {out}"))
    }

    /// Submits an experiment and returns its id.
    pub(crate) fn submit(&self, flow: &str, participants: &[&str], options: &[&str]) -> String {
        let participants = participants.join(",");
        let mut arguments = vec!["experiment", "submit", flow, "--collaborators", &participants];
        arguments.extend(options);
        self.json(&arguments)["id"].as_str().unwrap().to_owned()
    }

    /// Follows an experiment from its start.
    pub(crate) fn follow(&self, id: &str) -> Followed {
        Followed(self.client(&["experiment", "logs", id, "--follow", "--output", "json"]))
    }

    /// The results of an experiment that finished.
    pub(crate) fn results(&self, id: &str) -> Results {
        let json = self.json(&["experiment", "results", id]);
        let rows = json["rows"].as_array().unwrap();
        let contributed = rows.iter().map(|row| row["contributed"].as_f64().unwrap() as u64).collect();
        Results { model: json["model_sha256"].as_str().unwrap().to_owned(), contributed }
    }

    /// Follows an experiment to its end and returns its results.
    pub(crate) fn finished(&self, id: &str) -> Results {
        let over = self.follow(id).over();
        assert_eq!(over["state"], "finished", "{over}");
        self.results(id)
    }

    /// Runs an experiment that nothing disturbs.
    pub(crate) fn undisturbed(&self, flow: &str, participants: &[&str], options: &[&str]) -> Results {
        let id = self.submit(flow, participants, options);
        self.finished(&id)
    }

    /// All events of an experiment.
    pub(crate) fn events(&self, id: &str) -> Vec<Value> {
        let ended = self.run(&["experiment", "logs", id, "--output", "json"]);
        assert!(ended.status.success(), "{ended:?}");
        ended.out.lines().filter_map(|line| told(line)?.get("Event").cloned()).collect()
    }

    /// What `experiment show` says of it.
    pub(crate) fn show(&self, id: &str) -> Value {
        self.json(&["experiment", "show", id])
    }
}

/// What an experiment gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Results {
    /// The hash of its model.
    pub(crate) model: String,
    /// In each round, a bit for each participant whose contribution is in the sum, in the order of the command line.
    pub(crate) contributed: Vec<u64>,
}

/// A client that follows an experiment.
pub(crate) struct Followed(Process);

impl Followed {
    /// Waits for an event of this kind of which `look` makes something.
    pub(crate) fn event<T>(&self, kind: &str, mut look: impl FnMut(&Value) -> Option<T>) -> T {
        self.0.line(&format!("the event {kind}"), |line| look(told(line)?.get("Event")?["kind"].get(kind)?))
    }

    /// Waits for any event and returns it.
    pub(crate) fn next(&self) -> Option<Value> {
        self.0.line("an event or the end", |line| {
            let told = told(line)?;
            if told.get("Over").is_some() {
                return Some(None);
            }
            Some(Some(told.get("Event")?.clone()))
        })
    }

    /// Waits for the end and returns the outcome.
    pub(crate) fn over(self) -> Value {
        self.0.line("the end", |line| told(line)?.get("Over").cloned())
    }
}

fn told(line: &str) -> Option<Value> {
    serde_json::from_str(line).ok()
}

pub(crate) fn text_of(path: &Path) -> &str {
    path.to_str().unwrap()
}
