//! A whole federation on one machine, for trying out and for tests. Its authority's key lies beside the others, so it
//! protects nothing once it is more than a trial.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use veilflow_spec::Name;

use super::authority::{Authority, Order};
use super::clock::Validity;
use super::error::PkiError;
use super::role::Role;

/// Trials do not last longer.
const VALID: Validity = Validity(Duration::from_secs(30 * 24 * 3600));

/// Where the parts of a throw-away federation lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Throwaway {
    /// The authority's folder.
    pub authority: PathBuf,
    /// The director's identity, for `localhost`, 127.0.0.1 and ::1.
    pub director: PathBuf,
    /// An administrator's identity.
    pub admin: PathBuf,
    /// A client's identity.
    pub client: PathBuf,
    /// The identities of the envoys.
    pub envoys: BTreeMap<Name, PathBuf>,
}

/// Makes a federation in a folder: an authority, a director on loopback, an administrator, a client and these envoys.
///
/// # Errors
/// As [`Authority::issue`]: names that cannot be or are there twice, among them `director`, `admin` and `client`.
pub fn throwaway(dir: &Path, envoys: &[Name]) -> Result<Throwaway, PkiError> {
    let now = SystemTime::now();
    let mut made = Throwaway {
        authority: dir.join("authority"),
        director: dir.join("director"),
        admin: dir.join("admin"),
        client: dir.join("client"),
        envoys: BTreeMap::new(),
    };
    let mut authority = Authority::create(&made.authority, "throw-away", VALID, None, now)?;
    let hosts = ["localhost", "127.0.0.1", "::1"].map(str::to_owned).to_vec();
    let order = |name: Name, role, hosts| Order { name, role, hosts, valid: VALID };
    let mut orders = vec![
        (order("director".into(), Role::Director, hosts), made.director.clone()),
        (order("admin".into(), Role::Admin, Vec::new()), made.admin.clone()),
        (order("client".into(), Role::Client, Vec::new()), made.client.clone()),
    ];
    for name in envoys {
        // A name alone may be no good name for a folder, such as `..`.
        let path = dir.join(format!("envoy-{name}"));
        orders.push((order(name.clone(), Role::Envoy, Vec::new()), path.clone()));
        made.envoys.insert(name.clone(), path);
    }
    authority.issue_all(&orders, now)?;
    Ok(made)
}
