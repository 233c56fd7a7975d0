//! What a director is told by its operator.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use veilflow_spec::Device;

use super::error::DirectorError;
use crate::config::{ConfigError, Keys, unknown};
use crate::deployed::Registry;
use crate::pki::{Identity, Role};
use crate::units::{Size, Span};
use crate::wire::{Budget, CHUNK_BYTES, DEFAULT_PORT, Limits, WireError};

/// What a director is told by its operator: `director.toml`, whose keys are the flags of `veilflow director start`.
///
/// ```
/// # use std::path::Path;
/// use veilflow_federated::director::DirectorConfig;
///
/// let text = "
///     listen = '0.0.0.0:50050'
///     identity = '/etc/veilflow/director'
///     state-dir = '/var/lib/veilflow/director'
///     slots = 2
///     reconnect-grace = '90s'
///
///     [flows.secagg-mnist]
///     data-dir = '/srv/mnist'
/// ";
/// let config = DirectorConfig::parse(Path::new("/etc/veilflow/director.toml"), text)?;
/// assert_eq!(config.slots, 2);
/// # Ok::<_, veilflow_federated::config::ConfigError>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct DirectorConfig {
    /// Where it listens. Port 0 is any that is free.
    pub listen: SocketAddr,
    /// Where it keeps its experiments.
    pub state_dir: PathBuf,
    /// The folder of its identity; none only with [`insecure_loopback`](Self::insecure_loopback).
    pub identity: Option<PathBuf>,
    /// With how much of its certificate's time left its renewal is asked for; a third of it, where this is none.
    pub renew_before: Option<Duration>,
    /// Plaintext, and peers are who they say: on a loopback address, for trying things out.
    pub insecure_loopback: bool,
    /// The most experiments that run at once.
    pub slots: usize,
    /// How long a task waits for an envoy whose connection is lost.
    pub reconnect_grace: Duration,
    /// The device of the aggregators' steps.
    pub device: Device,
    /// The most experiments that wait.
    pub queue: usize,
    /// The most envoys.
    pub envoys: usize,
    /// How much memory the contents of peers may take.
    pub budget: Budget,
    /// What a connection may take, and how models are sent: `compression = 'zstd'` compresses them. That shows whoever
    /// watches the lines how compressible they are, so it is off unless it is said: see
    /// [`Compression`](crate::wire::Compression).
    pub limits: Limits,
    /// The director's own settings for each flow, such as where test data lies.
    pub flows: BTreeMap<String, BTreeMap<String, String>>,
}

impl DirectorConfig {
    /// One that listens on this machine only, with an identity from this folder.
    pub fn new(state_dir: impl Into<PathBuf>, identity: impl Into<PathBuf>) -> Self {
        Self { identity: Some(identity.into()), ..Self::plain(state_dir.into()) }
    }

    /// One for trying things out: without certificates, on a free port of this machine.
    pub fn insecure_loopback(state_dir: impl Into<PathBuf>) -> Self {
        let listen = (Ipv4Addr::LOCALHOST, 0).into();
        Self { insecure_loopback: true, listen, ..Self::plain(state_dir.into()) }
    }

    fn plain(state_dir: PathBuf) -> Self {
        Self {
            listen: (Ipv4Addr::LOCALHOST, DEFAULT_PORT).into(),
            state_dir,
            identity: None,
            renew_before: None,
            insecure_loopback: false,
            slots: 4,
            reconnect_grace: Duration::from_secs(60),
            device: Device::Cpu,
            queue: 1000,
            envoys: 10_000,
            budget: Budget::default(),
            limits: Limits::default(),
            flows: BTreeMap::new(),
        }
    }

    /// Reads a file.
    ///
    /// # Errors
    /// A file that cannot be read, and all of [`parse`](Self::parse).
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        Self::of(Keys::read(path)?)
    }

    /// Reads a text; `path` is what errors call it and what its paths are relative to.
    ///
    /// # Errors
    /// What is no TOML, a key that means nothing, a value that cannot be.
    pub fn parse(path: &Path, text: &str) -> Result<Self, ConfigError> {
        Self::of(Keys::parse(path, text)?)
    }

    fn of(mut keys: Keys) -> Result<Self, ConfigError> {
        let state_dir = keys.path("state-dir")?;
        let missing = || keys.missing("state-dir", "the folder in which the director keeps its experiments");
        let mut config = Self::plain(state_dir.ok_or_else(missing)?);
        set(&mut config.listen, keys.parsed("listen")?);
        config.identity = keys.path("identity")?;
        config.renew_before = keys.time("renew-before")?;
        set(&mut config.insecure_loopback, keys.switch("insecure-loopback")?);
        set(&mut config.slots, keys.integer("slots")?);
        set(&mut config.reconnect_grace, keys.parsed("reconnect-grace")?.map(|Span(time)| time));
        set(&mut config.device, keys.parsed("device")?);
        set(&mut config.limits.compression, keys.parsed("compression")?);
        let mut limits = keys.table("limits")?;
        set(&mut config.queue, limits.integer("queue")?);
        set(&mut config.envoys, limits.integer("envoys")?);
        set(&mut config.budget.content, limits.parsed("max-content")?.map(|Size(bytes)| bytes));
        config.budget.per_peer = config.budget.per_peer.max(config.budget.content);
        set(&mut config.budget.total, limits.parsed("memory")?.map(|Size(bytes)| bytes));
        set(&mut config.limits.connections, limits.integer("connections")?);
        set(&mut config.limits.connections_per_address, limits.integer("connections-per-address")?);
        config.limits.message_bytes = config.limits.message_bytes.max(naming(config.budget.content));
        limits.finish()?;
        let mut flows = keys.table("flows")?;
        for (name, mut settings) in flows.tables()? {
            config.flows.insert(name, settings.scalars()?);
        }
        flows.finish()?;
        if config.slots == 0 {
            return Err(keys.bad("slots", "nothing would ever run: it is 1 at least"));
        }
        if config.identity.is_none() && !config.insecure_loopback {
            let what = "the folder of the director's identity, which `veilflow pki` makes";
            return Err(keys.missing("identity", what));
        }
        keys.finish()?;
        Ok(config)
    }

    /// Checks what can be checked without starting: `veilflow director config check`.
    ///
    /// # Errors
    /// An identity that is none or not a director's, plaintext beyond this machine, settings of a flow that this program
    /// does not have.
    pub fn validate(&self, registry: &Registry) -> Result<(), DirectorError> {
        let known: Vec<String> = registry.flows().map(|flow| flow.name().to_owned()).collect();
        if let Some(name) = self.flows.keys().find(|name| !known.contains(name)) {
            return Err(DirectorError::UnknownFlow { text: unknown("flow", name, &known) });
        }
        if self.insecure_loopback && !self.listen.ip().to_canonical().is_loopback() {
            return Err(WireError::Plaintext(self.listen).into());
        }
        self.load_identity().map(drop)
    }

    /// The director's identity; none without certificates.
    pub(super) fn load_identity(&self) -> Result<Option<Identity>, DirectorError> {
        match &self.identity {
            _ if self.insecure_loopback => Ok(None),
            None => Err(DirectorError::NoIdentity),
            Some(path) => {
                let identity = Identity::load(path)?;
                identity.check(Role::Director, SystemTime::now())?;
                Ok(Some(identity))
            }
        }
    }
}

/// The most bytes of a message that names the chunks of a content of so many bytes, with room for all else in it.
fn naming(content: u64) -> usize {
    const HASH_BYTES: u64 = 40;
    const REST: u64 = 512 * 1024;
    let names = content.div_ceil(CHUNK_BYTES as u64).saturating_mul(HASH_BYTES);
    usize::try_from(names.saturating_add(REST)).unwrap_or(usize::MAX)
}

fn set<T>(place: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *place = value;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Compression;

    fn parse(text: &str) -> Result<DirectorConfig, ConfigError> {
        DirectorConfig::parse(Path::new("/etc/veilflow/director.toml"), text)
    }

    #[test]
    fn every_key_is_read() {
        let text = "listen = '[::]:7'\nstate-dir = 'state'\nidentity = '/id'\nslots = 9\nreconnect_grace = '5min'\n\
                    device = 'cuda:1'\nrenew-before = '30d'\ncompression = 'zstd'\n[limits]\nqueue = 3\nenvoys = 4\n\
                    max-content = '8 GiB'\nmemory = '9 GiB'\n\
                    connections = 10\nconnections-per-address = 2\n[flows.mnist]\ndata-dir = '/data'\nworkers = 2";
        let config = parse(text).unwrap();
        assert_eq!(config.listen, "[::]:7".parse().unwrap());
        assert_eq!(config.state_dir, Path::new("/etc/veilflow/state"), "relative to the file");
        assert_eq!(config.identity, Some("/id".into()));
        assert_eq!((config.slots, config.queue, config.envoys), (9, 3, 4));
        assert_eq!(config.renew_before, Some(Duration::from_secs(30 * 24 * 3600)));
        assert_eq!((config.reconnect_grace, config.device), (Duration::from_secs(300), Device::Cuda(1)));
        assert_eq!(
            (config.budget.content, config.budget.per_peer, config.budget.total),
            (8 << 30, 8 << 30, 9 << 30)
        );
        assert_eq!((config.limits.connections, config.limits.connections_per_address), (10, 2));
        assert_eq!(config.flows["mnist"]["data-dir"], "/data");
        assert_eq!(config.flows["mnist"]["workers"], "2");
        assert_eq!(config.limits.compression, Compression::Zstd);
    }

    #[test]
    fn a_message_may_name_the_chunks_of_the_largest_content() {
        for (size, larger) in [("4 GiB", false), ("64 GiB", true)] {
            let text = format!("state-dir = 's'\nidentity = 'i'\n[limits]\nmax-content = '{size}'");
            let config = parse(&text).unwrap();
            let chunks = config.budget.content as usize / CHUNK_BYTES;
            let hashes = vec![crate::wire::messages::ChunkHash([255; 32]); chunks];
            assert!(crate::wire::encode(&hashes).unwrap().len() < config.limits.message_bytes);
            assert_eq!(config.limits.message_bytes > Limits::default().message_bytes, larger);
        }
    }

    #[test]
    fn what_cannot_be_is_refused_with_its_key() {
        let refused = |text: &str| parse(text).unwrap_err().to_string();
        let some = "state-dir = 's'\nidentity = 'i'\n";
        assert!(refused("identity = 'i'").contains("`state-dir` is missing"));
        assert!(refused("state-dir = 's'").contains("`identity` is missing"));
        assert!(refused(&format!("{some}slot = 1")).contains("did you mean `slots`?"));
        assert!(refused(&format!("{some}slots = 0")).contains("1 at least"));
        assert!(refused(&format!("{some}compression = 'gzip'")).contains("write `none` or `zstd`"));
        assert!(refused(&format!("{some}reconnect-grace = '60'")).contains("with its unit"));
        assert!(refused(&format!("{some}listen = 'here'")).contains("`listen`"));
        assert!(refused(&format!("{some}[limits]\nmax-contents = '1 B'")).contains("`limits.max-content`"));
    }

    #[test]
    fn plaintext_beyond_this_machine_and_unknown_flows_are_found_before_the_start() {
        let config = DirectorConfig::insecure_loopback("state");
        config.validate(&Registry::new()).unwrap();
        let beyond = DirectorConfig { listen: "0.0.0.0:0".parse().unwrap(), ..config.clone() };
        assert_eq!(beyond.validate(&Registry::new()).unwrap_err().code(), "plaintext");
        let flows = [("mnist".to_owned(), BTreeMap::new())].into();
        let other = DirectorConfig { flows, ..config };
        assert_eq!(other.validate(&Registry::new()).unwrap_err().code(), "unknown-flow");
        let nobody = DirectorConfig::new("state", "/nowhere");
        assert!(nobody.validate(&Registry::new()).is_err());
    }
}
