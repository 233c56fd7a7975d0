//! What is done to a federation, and what it must still do.

mod deaths_of_a_director;
mod deaths_of_an_envoy;
mod enrolment;
mod lifecycle;
mod networks;
mod strangers;
mod swarms;

use crate::proxy::tests as proxy;
use crate::runner::Scenario;

/// Names of functions with the functions.
macro_rules! scenarios {
    ($($module:ident: $($name:ident),+ $(,)?;)+) => {
        vec![$($((concat!(stringify!($module), "::", stringify!($name)), $module::$name as fn())),+),+]
    };
}

/// All of them.
pub(crate) fn all() -> Vec<Scenario> {
    scenarios! {
        proxy:
            a_proxy_passes_bytes_on_and_repeats_swaps_and_cuts_them_when_told,
            a_proxy_holds_and_loses_what_it_is_told_to,
            a_proxy_cuts_and_heals_and_follows_what_is_behind_it;
        deaths_of_an_envoy:
            in_a_plain_step,
            before_in_and_after_each_phase_of_a_secure_round,
            of_too_many_end_a_secure_round_with_a_typed_error;
        deaths_of_a_director:
            at_each_transition_of_a_plain_run,
            at_each_transition_of_a_secure_run,
            while_an_experiment_waits,
            after_the_end_loses_no_results;
        networks:
            a_request_that_is_lost_is_sent_again,
            a_reply_that_is_lost_counts_once,
            bytes_that_are_delayed_truncated_repeated_or_swapped_change_nothing,
            a_cut_that_outlasts_the_grace_makes_a_site_missing,
            a_secure_round_survives_a_cut,
            each_side_compresses_what_it_sends_where_its_configuration_says_so;
        lifecycle:
            a_slow_site_is_missing_after_its_deadline_and_back_later,
            a_step_of_the_aggregator_that_fails_fails_the_experiment,
            a_flow_that_only_some_offer_waits_for_the_others,
            two_experiments_of_one_flow_run_at_once,
            a_cancelled_experiment_stops_in_each_phase,
            sigterm_drains_a_director_and_the_next_one_goes_on,
            sigterm_drains_an_envoy,
            parts_log_as_objects_where_they_are_told_to;
        enrolment:
            a_site_enrols_through_the_director_with_a_token_that_works_once;
        swarms:
            three_hundred_envoys_of_one_process_run_a_round;
        strangers:
            a_site_with_anothers_name_is_refused,
            a_revoked_certificate_ends_its_connections,
            a_revoked_director_is_left_by_its_sites,
            a_certificate_that_is_over_is_refused,
            a_message_that_is_too_large_is_refused_and_nothing_else,
            an_authority_of_ones_own_is_refused,
            no_certificate_is_refused,
            garbage_and_silence_on_the_port_disturb_nobody;
    }
}
