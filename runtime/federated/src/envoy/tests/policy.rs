//! What a site refuses, whatever the director says (`SECURITY.md`, row 17).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use veilflow_engine::SecureSite;
use veilflow_secagg::{Layout, Parameters, Security};
use veilflow_spec::{Cause, Fingerprint};

use super::stage::{AGREES, Sent, Stage, config};
use super::toy::Happened;
use crate::envoy::notice::Notice;
use crate::wire::messages::FromEnvoy;

#[tokio::test]
async fn what_the_site_did_not_agree_to_is_declined_and_logged_and_nothing_is_built() {
    let mut stage = Stage::of("[policy]\nallowed-flows = ['toy']\nmin-cohort = 3\n");
    let mut director = stage.attached(&[]).await;
    let mut cases = Vec::new();
    let plain = Sent::with(&["--plain"]);
    cases.push((plain, "flow-not-confidential", "policy.allow-plain = true"));
    let mut other = Sent::new();
    other.terms.flow = "tax".to_owned();
    cases.push((other, "flow-not-allowed", "policy.allowed-flows"));
    let mut elsewhere = Sent::new();
    elsewhere.terms.participants = vec!["Portland".into(), "Leuven".into(), "Oslo".into()];
    cases.push((elsewhere, "not-invited", "Bengaluru is not among"));
    let mut few = Sent::new();
    few.terms.participants.truncate(2);
    cases.push((
        few,
        "cohort-too-small",
        "2 participants are fewer than this site's `policy.min-cohort` of 3",
    ));
    // A name that is there twice is one participant.
    let mut padded = Sent::new();
    padded.terms.participants = vec!["Bengaluru".into(), "Portland".into(), "Portland".into()];
    cases.push((padded, "cohort-too-small", "2 participants"));
    let nonsense = Sent {
        terms: crate::Terms { options: vec!["--nonsense".into()], ..Sent::new().terms },
        ..Sent::new()
    };
    cases.push((nonsense, "flow-invalid", "there is no option --nonsense"));
    for (sent, code, text) in cases {
        director.say(sent.task("1")).await;
        let declined = director.declined().await;
        assert_eq!(declined.0, code);
        assert!(declined.1.contains(text), "{declined:?}");
        let logged = stage.noticed(|notice| match notice {
            Notice::Declined { experiment, code, .. } => Some((experiment, code)),
            _ => None,
        });
        assert_eq!(logged.await, (sent.id, code.to_owned()));
    }
    stage.nothing_happened();
    stage.nothing_runs();
}

#[tokio::test]
async fn a_flow_that_is_another_one_is_declined_with_both_fingerprints() {
    let mut stage = Stage::new();
    let mut director = stage.attached(&[]).await;
    let (own, newer) = (Sent::new(), Sent::with(&["--newer"]));
    let sent = Sent { fingerprint: newer.fingerprint, ..own.clone() };
    director.say(sent.task("1")).await;
    let (code, text) = director.declined().await;
    assert_eq!(code, "flow-mismatch");
    assert!(
        text.contains(&own.fingerprint.to_string()) && text.contains(&newer.fingerprint.to_string()),
        "{text}"
    );
    stage.nothing_happened();
}

#[tokio::test]
async fn an_experiment_keeps_the_terms_that_it_began_with() {
    let mut stage = Stage::new();
    let mut director = stage.attached(&[]).await;
    let sent = Sent::new();
    director.say(sent.task("1")).await;
    stage.performing().await.end(Ok(b"one"));
    director.answered().await;
    let changed = [
        Sent { terms: crate::Terms { seed: 8, ..sent.terms.clone() }, ..sent.clone() },
        Sent { fingerprint: Fingerprint::from([0; 32]), ..sent.clone() },
    ];
    for changed in changed {
        director.say(changed.task("2")).await;
        assert_eq!(director.declined().await.0, "terms-changed");
    }
    director.say(sent.task("2")).await;
    stage.performing().await.end(Ok(b"two"));
    assert_eq!(director.done().await.1, Ok(b"two".to_vec()));
}

#[tokio::test]
async fn a_plain_flow_runs_where_the_site_says_so_whatever_the_cohort() {
    let mut stage = Stage::of("[policy]\nallowed-flows = ['*']\nallow-plain = true\n");
    let mut director = stage.attached(&[]).await;
    let mut sent = Sent::with(&["--plain"]);
    sent.terms.participants.truncate(1);
    director.say(sent.task("1")).await;
    stage.performing().await.end(Ok(b"one"));
    assert_eq!(director.done().await.1, Ok(b"one".to_vec()));
}

#[tokio::test]
async fn outside_its_hours_a_site_works_for_nobody() {
    let clock = Arc::new(AtomicU64::new(12));
    let hour = Arc::clone(&clock);
    let now = move || UNIX_EPOCH + Duration::from_secs(20_000 * 86_400 + hour.load(Ordering::SeqCst) * 3600);
    let config = config("[policy]\nallowed-flows = ['toy']\nhours = ['20:00-06:00', '11:00-13:00']\n");
    let mut stage = Stage::with(config, Arc::new(now));
    let mut director = stage.attached(&[]).await;
    let sent = Sent::new();
    for (hour, path, inside) in [(12, "1", true), (15, "2", false), (23, "2", true), (6, "3", false)] {
        clock.store(hour, Ordering::SeqCst);
        director.say(sent.task(path)).await;
        if inside {
            stage.performing().await.end(Ok(b"done"));
            assert_eq!(director.done().await.1, Ok(b"done".to_vec()));
        } else {
            let (code, text) = director.declined().await;
            assert_eq!(code, "outside-hours");
            assert!(text.contains("20:00-06:00, 11:00-13:00"), "{text}");
        }
    }
    // An answer that is there is given at any time.
    director.say(sent.task("2")).await;
    assert_eq!(director.done().await.1, Ok(b"done".to_vec()));
}

#[tokio::test]
async fn a_secure_session_is_held_to_the_sites_own_policy() {
    let mut stage = Stage::of("[policy]\nallowed-flows = ['toy']\nmin-cohort = 3\nmin-threshold = 3\n");
    let mut director = stage.attached(&[]).await;
    director.say(Sent::new().task("1")).await;
    let running = stage.performing().await;
    let site = running.settings.provided.get::<SecureSite>().unwrap().clone();
    assert_eq!((site.policy().min_cohort(), site.policy().min_threshold()), (3, 3));
    // The director's flow may say what it likes.
    let layout = Layout::new(0, 4);
    let weak = Parameters::new().with_security(Security::SemiHonest).plan(3, layout).unwrap();
    assert!(site.client(&"Bengaluru".into(), weak).is_err());
    // Without an identity nothing can be signed, and the default asks for signatures.
    let strong = Parameters::new().plan(3, layout).unwrap();
    assert_eq!(site.client(&"Bengaluru".into(), strong).unwrap_err().code(), "no-identity");
    running.end(Err(Cause::Cancelled));
    director.answered().await;
}

#[tokio::test]
async fn only_what_the_site_allows_is_offered() {
    for (policy, offered) in [("['toy']", 1), ("['*']", 1), ("[]", 0)] {
        let mut stage = Stage::of(&format!("[policy]\nallowed-flows = {policy}\n"));
        let (_, hello) = stage.dialled().await;
        let FromEnvoy::Hello { flows, .. } = hello else { panic!() };
        assert_eq!(flows.len(), offered, "{policy}");
        for flow in flows {
            let own = Sent::new();
            assert_eq!(
                (flow.name.as_str(), flow.version, flow.fingerprint),
                ("toy", 1, Some(own.fingerprint))
            );
        }
    }
    let unknown = config("[policy]\nallowed-flows = ['toi']\n");
    let error =
        unknown.validate(&crate::Registry::new().with(Arc::new(Stage::new().flow.clone()))).unwrap_err();
    assert!(
        error.to_string().contains("`policy.allowed-flows`: there is no flow `toi`, did you mean `toy`?"),
        "{error}"
    );
    assert!(config(AGREES).policy.allowed.contains("toy"));
}

#[tokio::test]
async fn what_a_refused_experiment_leaves_is_nothing() {
    let mut stage = Stage::of("[policy]\nallowed-flows = ['toy']\n[resources]\nmax-experiments = 1\n");
    let mut director = stage.attached(&[]).await;
    for _ in 0..3 {
        director.say(Sent::with(&["--plain"]).task("1")).await;
        assert_eq!(director.declined().await.0, "flow-not-confidential");
    }
    director.say(Sent::new().task("1")).await;
    stage.performing().await.end(Ok(b"one"));
    director.answered().await;
    assert!(matches!(stage.happened().await, Happened::Built(_)));
}
