//! An envoy's configuration: `bengaluru.toml`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use veilflow_secagg::{ClientPolicy, Security};
use veilflow_spec::{Device, Name};

use crate::config::{ConfigError, Keys, unknown};
use crate::deployed::Registry;
use crate::units::Size;
use crate::wire::Compression;

use super::policy::{AllowedFlows, Policy};
use super::roster::Additions;

/// An envoy's configuration. See `examples/federation` for a file.
///
/// Nothing that a director or a client sends changes it.
#[derive(Clone, Debug, PartialEq)]
pub struct EnvoyConfig {
    /// The file that it came from.
    pub path: PathBuf,
    /// The site's name, as its certificate has it.
    pub name: Name,
    /// Where its director is: `https://director.example:50050`.
    pub director: String,
    /// The folder with its key and its certificate. None only with `insecure_loopback`.
    pub identity: Option<PathBuf>,
    /// The folder with what must outlast the process: what was masked, the pinned roster. One envoy's own.
    pub state: PathBuf,
    /// With how much of its certificate's time left its renewal is asked for; a third of it, where this is none.
    pub renew_before: Option<Duration>,
    /// Whether it speaks without TLS, to a director on a loopback address only.
    pub insecure_loopback: bool,
    /// What the site agrees to.
    pub policy: Policy,
    /// What its work may take.
    pub resources: Resources,
    /// Whether the authority's additions to the roster count at once, or when the site has approved them.
    pub additions: Additions,
    /// How often it says that it is there; a director that was silent for three and a half times as long is lost.
    pub keepalive: Duration,
    /// How long running tasks have when the process is told to end.
    pub drain: Duration,
    /// How it sends its answers. Compressed, they show whoever watches the line how compressible they are, so that is off
    /// unless it is said.
    pub compression: Compression,
    /// The site's own settings for each flow, such as where its data lies.
    pub flows: BTreeMap<String, BTreeMap<String, String>>,
}

/// What a site's work may take.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Resources {
    /// Processors in all. A task waits until enough of them are free.
    pub cpus: usize,
    /// Processors for each task.
    pub cpus_per_task: usize,
    /// The device of all tasks.
    pub device: Device,
    /// The largest message that it takes, in bytes.
    pub max_message: u64,
    /// How many experiments it holds at most.
    pub max_experiments: usize,
}

impl Default for Resources {
    /// All processors of the machine, one for each task; messages of 4 GiB; 16 experiments.
    fn default() -> Self {
        Self {
            cpus: thread::available_parallelism().map_or(1, usize::from),
            cpus_per_task: 1,
            device: Device::Cpu,
            max_message: 4 << 30,
            max_experiments: 16,
        }
    }
}

impl EnvoyConfig {
    /// Reads a file.
    ///
    /// # Errors
    /// What is wrong with it, key by key.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        Self::from_keys(path, Keys::read(path)?)
    }

    /// Reads a text; `path` is what errors call it and what its paths are relative to.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn parse(path: &Path, text: &str) -> Result<Self, ConfigError> {
        Self::from_keys(path, Keys::parse(path, text)?)
    }

    fn from_keys(path: &Path, mut keys: Keys) -> Result<Self, ConfigError> {
        let name = keys.text("name")?;
        let name = name.ok_or_else(|| keys.missing("name", "this site's name, as its certificate has it"))?;
        let name = Name::from(name);
        name.validate().map_err(|error| keys.bad("name", error.to_string()))?;
        let director = keys.text("director")?;
        let director = director.ok_or_else(|| {
            keys.missing("director", "where the director is, such as https://director.example:50050")
        })?;
        let insecure_loopback = keys.switch("insecure-loopback")?.unwrap_or(false);
        let identity = keys.path("identity")?;
        let renew_before = keys.time("renew-before")?;
        let state = keys.path("state-dir")?;
        let state = state.ok_or_else(|| {
            keys.missing("state-dir", "a folder of this envoy's own for what must outlast it")
        })?;
        let policy = policy(keys.table("policy")?)?;
        let resources = resources(keys.table("resources")?)?;
        let mut roster = keys.table("roster")?;
        let additions = roster.parsed("additions")?.unwrap_or_default();
        roster.finish()?;
        let mut connection = keys.table("connection")?;
        let keepalive = connection.time("keepalive")?.unwrap_or(Duration::from_secs(10));
        let drain = connection.time("drain")?.unwrap_or(Duration::from_secs(5));
        let compression = connection.parsed("compression")?.unwrap_or_default();
        connection.finish()?;
        let mut flows = BTreeMap::new();
        let mut tables = keys.table("flows")?;
        for (flow, mut settings) in tables.tables()? {
            flows.insert(flow, settings.scalars()?);
        }
        keys.finish()?;
        let path = path.to_owned();
        Ok(Self {
            path,
            name,
            director,
            identity,
            renew_before,
            state,
            insecure_loopback,
            policy,
            resources,
            additions,
            keepalive,
            drain,
            compression,
            flows,
        })
    }

    /// Checks what belongs together, also where a flag has replaced a key, and that the flows are compiled in.
    ///
    /// # Errors
    /// The first key that does not fit.
    pub fn validate(&self, registry: &Registry) -> Result<(), ConfigError> {
        if self.identity.is_none() && !self.insecure_loopback {
            let what = "the folder that `veilflow envoy enroll` made".to_owned();
            return Err(ConfigError::Missing { path: self.path.clone(), key: "identity".to_owned(), what });
        }
        let bad = |key: &str, reason: String| {
            Err(ConfigError::Value { path: self.path.clone(), key: key.to_owned(), reason })
        };
        let Resources { cpus, cpus_per_task, .. } = self.resources;
        if cpus_per_task > cpus {
            let reason = format!("{cpus_per_task} are more than the {cpus} of `resources.cpus`");
            return bad("resources.cpus-per-task", reason);
        }
        let known: Vec<_> = registry.flows().map(|flow| flow.name().to_owned()).collect();
        let check = |key: &str, flow: &String| {
            if known.contains(flow) { Ok(()) } else { bad(key, unknown("flow", flow, &known)) }
        };
        if let AllowedFlows::Only(flows) = &self.policy.allowed {
            flows.iter().try_for_each(|flow| check("policy.allowed-flows", flow))?;
        }
        self.flows.keys().try_for_each(|flow| check("flows", flow))
    }
}

fn policy(mut keys: Keys) -> Result<Policy, ConfigError> {
    let allowed = keys.texts("allowed-flows")?;
    let allowed = allowed.ok_or_else(|| {
        keys.missing(
            "allowed-flows",
            "the flows that this site runs, such as [\"secagg-mnist\"], or [\"*\"] for all",
        )
    })?;
    let all = allowed.iter().any(|flow| flow == "*");
    let allowed = if all { AllowedFlows::All } else { AllowedFlows::Only(allowed.into_iter().collect()) };
    let allow_plain = keys.switch("allow-plain")?.unwrap_or(false);
    let mut hours = Vec::new();
    for text in keys.texts("hours")?.unwrap_or_default() {
        hours.push(text.parse().map_err(|error| keys.bad("hours", format!("{error}")))?);
    }
    let sessions = sessions(&mut keys)?;
    keys.finish()?;
    Ok(Policy { allowed, allow_plain, sessions, hours })
}

/// The keys of [`ClientPolicy`], but for those that no deployment has a use for.
fn sessions(keys: &mut Keys) -> Result<ClientPolicy, ConfigError> {
    let mut policy = ClientPolicy::default();
    if let Some(members) = keys.integer("min-cohort")? {
        policy = policy.with_min_cohort(members);
    }
    if let Some(members) = keys.integer("min-threshold")? {
        policy = policy.with_min_threshold(members);
    }
    if let Some(security) = keys.parsed::<Security>("min-security")? {
        policy = policy.with_min_security(security);
    }
    if let Some(allow) = keys.switch("allow-remasking")? {
        policy = policy.with_allow_remasking(allow);
    }
    if let Some(epsilon) = keys.number("max-epsilon")? {
        if epsilon.is_nan() || epsilon < 0.0 {
            return Err(keys.bad("max-epsilon", format!("{epsilon} is no privacy budget: write 0 or more")));
        }
        policy = policy.with_max_epsilon(epsilon);
    }
    if let Some(members) = keys.integer("min-cohort-difference")? {
        policy = policy.with_min_cohort_difference(members);
    }
    if let Some(fixed) = keys.switch("fixed-cohort")? {
        policy = policy.with_fixed_cohort(fixed);
    }
    if let Some(rounds) = keys.integer::<u64>("max-rounds")? {
        policy = policy.with_max_rounds(rounds);
    }
    if let Some(sessions) = keys.integer::<u64>("max-unfinished")? {
        policy = policy.with_max_unfinished(sessions);
    }
    Ok(policy)
}

fn resources(mut keys: Keys) -> Result<Resources, ConfigError> {
    let default = Resources::default();
    let at_least_one = |keys: &mut Keys, key: &str, otherwise: usize| match keys.integer::<usize>(key)? {
        Some(0) => Err(keys.bad(key, "0 are too few: at least 1")),
        number => Ok(number.unwrap_or(otherwise)),
    };
    let cpus = at_least_one(&mut keys, "cpus", default.cpus)?;
    let cpus_per_task = at_least_one(&mut keys, "cpus-per-task", default.cpus_per_task)?;
    let max_experiments = at_least_one(&mut keys, "max-experiments", default.max_experiments)?;
    let device = keys.parsed("device")?.unwrap_or_default();
    let max_message = keys.parsed("max-message")?.map_or(default.max_message, |Size(bytes)| bytes);
    keys.finish()?;
    Ok(Resources { cpus, cpus_per_task, device, max_message, max_experiments })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SITE: &str = r#"
        name = "Bengaluru"
        director = "https://director.example:50050"
        identity = "identity"
        renew-before = "30d"
        state-dir = "/var/lib/veilflow"

        [policy]
        allowed-flows = ["secagg-mnist"]
        min-cohort = 2
        min_threshold = 2
        min-security = "malicious:0.25"
        max-rounds = 20
        max-epsilon = 8
        fixed-cohort = true
        hours = "20:00-06:00+05:30"

        [resources]
        cpus = 4
        cpus-per-task = 2
        device = "cuda:1"
        max-message = "64 MiB"

        [roster]
        additions = "accept"

        [connection]
        keepalive = "500ms"
        compression = "zstd"

        [flows.secagg-mnist]
        data-dir = "/data/mnist"
    "#;

    fn parse(text: &str) -> Result<EnvoyConfig, ConfigError> {
        EnvoyConfig::parse(Path::new("/etc/veilflow/bengaluru.toml"), text)
    }

    #[test]
    fn a_file_says_what_the_site_agrees_to() {
        let config = parse(SITE).unwrap();
        assert_eq!(config.name, "Bengaluru");
        assert_eq!(config.identity.as_deref(), Some(Path::new("/etc/veilflow/identity")));
        assert_eq!(config.state, Path::new("/var/lib/veilflow"));
        assert_eq!(config.renew_before, Some(Duration::from_secs(30 * 24 * 3600)));
        assert!(
            config.policy.allowed.contains("secagg-mnist") && !config.policy.allowed.contains("fedavg-mnist")
        );
        let sessions = ClientPolicy::default()
            .with_min_cohort(2)
            .with_min_security(Security::Malicious { adversaries: 0.25 })
            .with_max_rounds(20)
            .with_max_epsilon(8.0)
            .with_fixed_cohort(true);
        assert_eq!(config.policy.sessions, sessions);
        assert_eq!(config.policy.hours, ["20:00-06:00+05:30".parse().unwrap()]);
        assert_eq!((config.resources.cpus, config.resources.cpus_per_task), (4, 2));
        assert_eq!((config.resources.max_message, config.keepalive), (64 << 20, Duration::from_millis(500)));
        assert_eq!((config.resources.device, config.additions), (Device::Cuda(1), Additions::Accept));
        assert_eq!(config.compression, Compression::Zstd);
        assert_eq!(config.flows["secagg-mnist"]["data-dir"], "/data/mnist");
    }

    #[test]
    fn what_is_not_said_is_the_safe_choice() {
        let text = "name = 'a'\ndirector = 'https://d'\nidentity = 'i'\nstate-dir = 's'\n[policy]\nallowed-flows = ['x']\n";
        let config = parse(text).unwrap();
        assert_eq!(config.policy.sessions, ClientPolicy::default());
        assert!(!config.policy.allow_plain && !config.insecure_loopback);
        assert_eq!((config.additions, config.policy.hours), (Additions::Approve, Vec::new()));
        assert_eq!(config.compression, Compression::None);
    }

    #[test]
    fn each_mistake_is_an_error_that_names_its_key() {
        let base = "name = 'a'\ndirector = 'https://d'\nidentity = 'i'\nstate-dir = 's'\n";
        let policy = format!("{base}[policy]\nallowed-flows = ['x']\n");
        let cases = [
            ("director = 'd'", "`name` is missing"),
            ("name = 'a,b'", "cannot be a participant's name"),
            ("name = 'a'", "`director` is missing"),
            ("name = 'a'\ndirector = 'd'", "`state-dir` is missing"),
            (base, "`policy.allowed-flows` is missing"),
            (&format!("{policy}min-cohrt = 3"), "`policy.min-cohrt`, did you mean `policy.min-cohort`?"),
            (&format!("{policy}min-security = 'none'"), "`policy.min-security`"),
            (&format!("{policy}hours = '8-9'"), "`8-9` are no hours"),
            (&format!("{policy}max-epsilon = -1"), "no privacy budget"),
            (&format!("renew-before = '0s'\n{policy}"), "`renew-before`: that is no time"),
            (&format!("{policy}[resources]\ncpus = 0"), "`resources.cpus`: 0 are too few"),
            (&format!("{policy}[roster]\nadditions = 'maybe'"), "write `accept` or `approve`"),
            (&format!("{policy}[connection]\nkeepalive = '0s'"), "`connection.keepalive`: that is no time"),
            (&format!("{policy}[flows.x.y]\n"), "`flows.x.y`: expected a text"),
            (&format!("nam = 'a'\n{policy}"), "`nam`, did you mean `name`?"),
        ];
        for (text, expected) in cases {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{text}\n{error}");
        }
    }

    #[test]
    fn what_does_not_belong_together_is_found_before_anything_starts() {
        let base = "name = 'a'\ndirector = 'https://d'\nstate-dir = 's'\n";
        let cases = [
            (
                "[policy]\nallowed-flows = []",
                "`identity` is missing: the folder that `veilflow envoy enroll` made",
            ),
            (
                "identity = 'i'\n[policy]\nallowed-flows = ['x']",
                "`policy.allowed-flows`: there is no flow `x`",
            ),
            ("identity = 'i'\n[policy]\nallowed-flows = []\n[flows.y]", "`flows`: there is no flow `y`"),
            (
                "insecure-loopback = true\n[policy]\nallowed-flows = []\n[resources]\ncpus = 1\ncpus-per-task = 2",
                "`resources.cpus-per-task`: 2 are more than the 1",
            ),
        ];
        for (text, expected) in cases {
            let config = parse(&format!("{base}{text}")).unwrap();
            let error = config.validate(&Registry::new()).unwrap_err().to_string();
            assert!(error.contains(expected), "{text}\n{error}");
        }
        let config =
            parse(&format!("{base}insecure-loopback = true\n[policy]\nallowed-flows = ['*']")).unwrap();
        config.validate(&Registry::new()).unwrap();
    }
}
