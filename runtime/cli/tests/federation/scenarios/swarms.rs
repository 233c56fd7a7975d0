//! Many envoys.

use std::fs;

use veilflow_spec::Name;

use crate::federation::{Federation, Settings};
use crate::gate::GATE;
use crate::process::Process;
use crate::swarm::SWARM;

pub(super) fn three_hundred_envoys_of_one_process_run_a_round() {
    let names: Vec<String> = (1..=300).map(|number| format!("site-{number:03}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut federation = Federation::prepare(&names, Settings::default());
    federation.start_director();
    let directory = federation.path().join("swarm");
    fs::create_dir(&directory).unwrap();
    for name in &names {
        let identity = federation.keys.envoys[&Name::from(*name)].clone();
        // Straight to the director: what is between is not looked at here.
        let config = federation.direct_config(name, &identity);
        fs::rename(config, directory.join(format!("{name}.toml"))).unwrap();
    }
    let environment = [(SWARM, directory.display().to_string()), (GATE, federation.gate.address())];
    let swarm = Process::own("swarm", &environment);
    swarm.says("ready: 300 envoys");
    let results = federation.undisturbed("plain", &names, &["--quorum", "300"]);
    // Weights go round after 45 sites, so that they can be added up.
    let all: u64 = (0..300).map(|place| 1 << (place % 45)).sum();
    assert_eq!(results.contributed, [all, all]);
    let rows = federation.json(&["envoys"]);
    let online = rows.as_array().unwrap().iter().filter(|row| row["online"] == true).count();
    assert_eq!(online, 300);
    drop(swarm);
}
