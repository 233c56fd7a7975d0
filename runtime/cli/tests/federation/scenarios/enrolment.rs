//! How a site gets its certificate.

use serde_json::Value;
use veilflow_spec::Name;

use crate::federation::{Federation, text_of};
use crate::process::Process;
use crate::wait::PATIENCE;

pub(super) fn a_site_enrols_through_the_director_with_a_token_that_works_once() {
    let mut federation = Federation::start(&["a", "b"]);
    let (ca, admin) = (federation.keys.authority.clone(), federation.keys.admin.clone());
    let token = ["pki", "token", "--ca", text_of(&ca), "--name", "c", "--role", "envoy", "--output", "json"];
    let token = federation.program("pki token", &token).ended(PATIENCE);
    assert!(token.status.success(), "{token:?}");
    let token: Value = serde_json::from_str(&token.out).unwrap();
    let token = token["token"].as_str().unwrap().to_owned();

    let first = federation.path().join("first");
    let enrolling = enroll(&federation, text_of(&first), &token);
    enrolling.says("waits for the authority");
    let url = federation.url();
    let sign = |who: &str| {
        let arguments =
            ["pki", "sign", "--ca", text_of(&ca), "--director", &url, "--identity", text_of(&admin)];
        let arguments: Vec<_> = arguments.into_iter().chain(["--accept", who]).collect();
        let ended = federation.program("pki sign", &arguments).ended(PATIENCE);
        assert!(ended.status.success(), "{ended:?}");
    };
    sign("c");
    let enrolled = enrolling.ended(PATIENCE);
    assert!(enrolled.status.success(), "{enrolled:?}");

    // Whoever else has the token gets nothing for it.
    let second = federation.path().join("second");
    let enrolling = enroll(&federation, text_of(&second), &token);
    let refused = enrolling.ended(PATIENCE);
    assert!(!refused.status.success() && refused.err.contains("was used already"), "{refused:?}");

    federation.keys.envoys.insert(Name::from("c"), first);
    federation.start_envoy("c");
    assert_eq!(federation.undisturbed("plain", &["a", "b", "c"], &[]).contributed, [0b111, 0b111]);
}

fn enroll(federation: &Federation, identity: &str, token: &str) -> Process {
    let arguments = ["envoy", "enroll", "--director", &federation.url(), "--identity", identity];
    federation.program_with("envoy enroll", &arguments, &[("VEILFLOW_TOKEN", token.to_owned())])
}
