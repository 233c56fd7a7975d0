//! What a site's own observers are told.

use veilflow_engine::EventKind;
use veilflow_spec::Signal;

use crate::suite::seen::talkative;
use crate::support::{Recorder, runtime};

#[test]
fn a_site_sees_all_of_its_own_in_a_confidential_flow_too() {
    for confidential in [false, true] {
        let sites = Recorder::new();
        let runtime = runtime(&["a", "b"]).observe_sites(sites.clone());
        runtime.run(&talkative(confidential), 1.0).unwrap();
        let kinds = sites.kinds();
        let count = |what: fn(&Signal) -> bool| {
            let is = |kind: &&EventKind| matches!(kind, EventKind::Signal { signal, .. } if what(signal));
            kinds.iter().filter(is).count()
        };
        let progress = count(|signal| matches!(signal, Signal::Progress { .. }));
        assert_eq!((count(|_| true), progress), (8, 2), "confidential: {confidential}");
    }
}
