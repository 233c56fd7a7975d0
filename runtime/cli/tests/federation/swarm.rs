//! Many envoys in one process: more than a machine has room for processes.

use std::fs;
use std::path::Path;
use std::sync::{Arc, mpsc};

use veilflow_federated::envoy::{Envoy, EnvoyConfig, Notice};

use crate::flows;

/// The variable with the folder of the envoys' configurations.
pub(crate) const SWARM: &str = "VEILFLOW_TEST_SWARM";

/// Runs an envoy for each configuration in this folder, until the process is killed.
pub(crate) fn run(directory: &Path) -> ! {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let (attached, all) = mpsc::channel();
    let mut running = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let config = EnvoyConfig::read(&entry.unwrap().path()).unwrap();
        let attached = attached.clone();
        let log = move |notice: &Notice| {
            if matches!(notice, Notice::Attached) {
                // Nobody counts any more once all were there.
                let _counted = attached.send(());
            }
        };
        let registry = flows::registry().deployed();
        running.push(runtime.block_on(Envoy::start(config, registry, Arc::new(log))).unwrap());
    }
    running.iter().for_each(|_| all.recv().unwrap());
    println!("ready: {} envoys", running.len());
    loop {
        std::thread::park();
    }
}
