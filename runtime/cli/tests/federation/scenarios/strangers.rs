//! Who does not belong here.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, SystemTime};

use veilflow_federated::pki::{Authority, Order, Role, Validity, throwaway};
use veilflow_spec::Name;

use crate::federation::{Federation, Settings, text_of};
use crate::wait::PATIENCE;

/// What belongs here still works.
fn undisturbed(federation: &Federation) {
    assert_eq!(federation.undisturbed("plain", &["a", "b"], &[]).contributed, [0b11, 0b11]);
}

pub(super) fn a_site_with_anothers_name_is_refused() {
    let mut federation = Federation::start(&["a", "b"]);
    let identity = federation.keys.envoys[&Name::from("a")].clone();
    let config = federation.envoy_config("c", &identity);
    let stranger = federation.program("c", &["envoy", "start", "--config", text_of(&config)]);
    let ended = stranger.ended(PATIENCE);
    assert!(!ended.status.success(), "{ended:?}");
    assert!(ended.err.contains('c') && ended.err.contains('a'), "{ended:?}");
    // A client's certificate is no envoy's, and an envoy's is no client's.
    let identity = federation.keys.client.clone();
    let config = federation.envoy_config("client", &identity);
    let stranger = federation.program("client", &["envoy", "start", "--config", text_of(&config)]);
    let ended = stranger.ended(PATIENCE);
    assert!(!ended.status.success(), "{ended:?}");
    let site = federation.keys.envoys[&Name::from("a")].clone();
    let ended = federation.client_of(&site, &["experiment", "list"]).ended(PATIENCE);
    assert!(!ended.status.success(), "{ended:?}");
    undisturbed(&federation);
}

pub(super) fn a_revoked_certificate_ends_its_connections() {
    let mut federation = Federation::start(&["a", "b", "c"]);
    let (ca, admin) = (federation.keys.authority.clone(), federation.keys.admin.clone());
    let before = federation.proxy("c").count();
    let url = federation.url();
    let arguments = ["pki", "revoke", "--ca", text_of(&ca), "--name", "c", "--director", &url];
    let identity = ["--identity", text_of(&admin)];
    let arguments: Vec<_> = arguments.into_iter().chain(identity).collect();
    let ended = federation.program("pki revoke", &arguments).ended(PATIENCE);
    assert!(ended.status.success(), "{ended:?}");
    // At once, and again whenever it tries.
    federation.envoy("c").says("not attached");
    federation.proxy("c").made(before + 1);
    federation.envoy("c").says("not attached");
    federation.director.as_ref().unwrap().says("revoked");
    undisturbed(&federation);
    let id = federation.submit("plain", &["a", "b", "c"], &[]);
    assert_eq!(federation.show(&id)["state"], "pending", "it is not there any more");
    // Nor is it let in anew.
    federation.kill_envoy("c");
    let identity = federation.keys.envoys[&Name::from("c")].clone();
    let config = federation.envoy_config("c", &identity);
    federation.program("c", &["envoy", "start", "--config", text_of(&config)]).says("not attached");
}

pub(super) fn a_revoked_director_is_left_by_its_sites() {
    let mut federation = Federation::start(&["a", "b"]);
    let (ca, admin) = (federation.keys.authority.clone(), federation.keys.admin.clone());
    let succeeds = |federation: &Federation, arguments: &[&str]| {
        let ended = federation.program(arguments[0], arguments).ended(PATIENCE);
        assert!(ended.status.success(), "{ended:?}");
        ended.out
    };
    succeeds(&federation, &["pki", "revoke", "--ca", text_of(&ca), "--name", "director"]);
    // The director does not pass the list on yet: somebody brings it to one site.
    let identity = federation.keys.envoys[&Name::from("a")].clone();
    let config = federation.envoy_config("a", &identity);
    let list = ca.join("revocations.cbor");
    let take =
        ["envoy", "revocations", "--config", text_of(&config), "--take", text_of(&list), "--output", "json"];
    assert!(succeeds(&federation, &take).contains("\"director\""));
    federation.envoy("a").says("the certificate of director at");
    // Now it does.
    let url = federation.url();
    let publish = ["pki", "roster", "--ca", text_of(&ca), "--director", &url, "--identity", text_of(&admin)];
    succeeds(&federation, &publish);
    federation.envoy("b").says("the certificate of director at");
    // Also to who is started anew.
    federation.kill_envoy("b");
    let identity = federation.keys.envoys[&Name::from("b")].clone();
    let config = federation.envoy_config("b", &identity);
    federation
        .program("b", &["envoy", "start", "--config", text_of(&config)])
        .says("the certificate of director at");
}

pub(super) fn a_certificate_that_is_over_is_refused() {
    let mut federation = Federation::start(&["a", "b"]);
    let mut authority = Authority::open(&federation.keys.authority, None).unwrap();
    let (day, identity) = (Duration::from_secs(24 * 3600), federation.path().join("old"));
    let order =
        Order { name: Name::from("old"), role: Role::Client, hosts: Vec::new(), valid: Validity(day) };
    authority.issue(&order, &identity, SystemTime::now() - 2 * day).unwrap();
    let ended = federation.client_of(&identity, &["experiment", "list"]).ended(PATIENCE);
    assert!(!ended.status.success() && ended.err.contains("expired"), "{ended:?}");
    let identity = federation.path().join("older");
    let order = Order { name: Name::from("c"), role: Role::Envoy, ..order };
    authority.issue(&order, &identity, SystemTime::now() - 2 * day).unwrap();
    let config = federation.envoy_config("c", &identity);
    let ended = federation.program("c", &["envoy", "start", "--config", text_of(&config)]).ended(PATIENCE);
    assert!(!ended.status.success() && ended.err.contains("expired"), "{ended:?}");
    undisturbed(&federation);
}

pub(super) fn a_message_that_is_too_large_is_refused_and_nothing_else() {
    let settings = Settings { envoy: "[resources]\nmax-message = \"1 MiB\"\n", ..Settings::default() };
    let federation = Federation::with(&["a", "b"], settings);
    let id = federation.submit("plain", &["a", "b"], &["--size", "1000000"]);
    let over = federation.follow(&id).over();
    assert_eq!((&over["state"], &over["code"]), (&"failed".into(), &"below-quorum".into()), "{over}");
    assert_eq!(federation.gate.since(0, "train", 0).len(), 0);
    undisturbed(&federation);
}

pub(super) fn an_authority_of_ones_own_is_refused() {
    let mut federation = Federation::start(&["a", "b"]);
    let other = throwaway(&federation.path().join("other"), &[Name::from("c")]).unwrap();
    let ended = federation.client_of(&other.client, &["experiment", "list"]).ended(PATIENCE);
    assert!(!ended.status.success(), "{ended:?}");
    let config = federation.envoy_config("c", &other.envoys[&Name::from("c")]);
    let stranger = federation.program("c", &["envoy", "start", "--config", text_of(&config)]);
    stranger.says("not attached");
    drop(stranger);
    undisturbed(&federation);
}

pub(super) fn no_certificate_is_refused() {
    let federation = Federation::start(&["a", "b"]);
    let url = federation.url().replace("https://", "http://");
    let arguments = ["experiment", "list", "--insecure-loopback", "--director", &url];
    let ended = federation.program("plaintext", &arguments).ended(PATIENCE);
    assert!(!ended.status.success(), "{ended:?}");
    undisturbed(&federation);
}

pub(super) fn garbage_and_silence_on_the_port_disturb_nobody() {
    let federation = Federation::start(&["a", "b"]);
    let dial = || {
        let stream = TcpStream::connect(federation.clients().target()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    };
    // One says nothing, one speaks another language, one begins a handshake and stops.
    let (mut silent, mut garbage, mut slow) = (dial(), dial(), dial());
    garbage.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    slow.write_all(&[0x16, 0x03, 0x01, 0x02, 0x00]).unwrap();
    undisturbed(&federation);
    for stream in [&mut silent, &mut garbage, &mut slow] {
        let mut rest = Vec::new();
        // It is closed, with or without an alert.
        let ended = stream.read_to_end(&mut rest);
        assert!(
            ended.is_ok() || ended.is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionReset)
        );
    }
    undisturbed(&federation);
}
