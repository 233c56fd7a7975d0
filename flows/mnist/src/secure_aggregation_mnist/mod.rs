//! SecureAggregation_MNIST: a CNN is trained on digits that stay at their sites, and the aggregator sees sums only.
//!
//! The flow is written out step by step, so that it can be read as a tutorial of secure aggregation (Bonawitz et
//! al., *Practical Secure Aggregation for Privacy-Preserving Machine Learning*, CCS 2017). Each turn of its loop
//! is one round of training and one session of the protocol:
//!
//! | step | where | what it does | round of the protocol (fig. 4) |
//! |---|---|---|---|
//! | `generate_keys` | site | makes two fresh key pairs, gives away the public keys | 0, advertise keys |
//! | `generate_collaborator_index` | aggregator | gives each site its index and everybody's public keys | 0 |
//! | `freeze_roster` | site | checks the index; its part in the choice of neighbours leaves | 0 |
//! | `reveal_roster` | aggregator | gives each site everybody's part | 0 |
//! | `generate_ciphertexts` | site | splits its secrets into shares and seals each for the site that keeps it | 1, share keys |
//! | `filter_ciphertexts` | aggregator | sorts the sealed shares by the sites that they are addressed to | 1 |
//! | `decrypt_ciphertexts` | site | opens the shares addressed to it and keeps them | 1 |
//! | `aggregated_model_validation` | site | validates the round's model | |
//! | `train` | site | trains it | |
//! | `local_model_validation` | site | validates it again; masks the update, the scores and the weight | 2, masked input |
//! | `join` | aggregator | adds up what is masked, and says who is in the sum | 2 |
//! | `check_consistency` | site | gives its word on who is in the sum and which model it was given | 3, consistency check |
//! | `forward_words` | aggregator | gives each site everybody's word | 3 |
//! | `reveal_shares` | site | of each other site one share: of its seed if it is in the sum, of its key if not | 4, unmask |
//! | `reconstruct` | aggregator | takes the masks off the sum; the mean is the next round's model | 4 |
//!
//! **What leaves a site** is what its steps return: public keys, sealed shares, a masked vector, and shares of
//! which no site's secrets can be put together beyond what the sum needs. The number of examples, the
//! update, the training loss and both scores are in the masked vector. The flow is
//! [confidential](veilflow::spec::NamedFlow::confidential): metrics, notes and error texts stay at the site.
//!
//! **Whom it defends against:** an aggregator that departs from the protocol, by substituting keys or by telling sites
//! different stories, with a third of the sites on its side ([`Security::Malicious`](veilflow::secagg::Security)). Keys,
//! roster and words are signed with the sites' identity keys. Those, the site's policy and its journal are no part of the
//! flow: the place where a site runs [provides them](veilflow::engine::SecureSite).
//!
//! **What it leaves to [`secure_join`](crate::fedavg_mnist):** to start a session again that fails before anything is masked.
//! Here it ends the run. Written out, each exchange of the setup would close a loop around those before it, and no edge would
//! have its quorum, which depends on who is left in the attempt: the tutorial would hide the protocol.

mod messages;
mod server;
mod site;

use veilflow::prelude::*;
use veilflow::secagg::{Parameters, Privacy};

pub use messages::{
    AddressedCiphertexts, Ciphertexts, CollaboratorIndex, FrozenRoster, MaskedUpdate, NewRound, PublicKeys,
    RosterReveal, Shares, Survivors, Word, Words,
};
pub use server::Server;
pub use site::Site;

use crate::TrainedModel;

/// The scalars that are averaged beside the update: the score of the aggregated model, the training loss, the
/// score of the local model.
pub const SCALARS: usize = 3;

/// The protocol's parameters for `sites` sites, of which none weighs more than `max_weight`: its defaults, but with the
/// finest quantization whose sum fits the modulus.
///
/// The masked vector is as long whatever the range is, and precision is worth having: early in training a difference
/// of 10^-6 in a parameter grows a thousandfold in one epoch.
pub fn parameters(sites: usize, max_weight: u64) -> Parameters {
    finest(Parameters::new().with_max_weight(max_weight), sites)
}

/// The same parameters with differential privacy, with the finest quantization whose sum and noise fit the modulus.
///
/// The norm is of a site's update and scores together, of which the scores alone can be 2 or 3 long.
pub fn with_privacy(parameters: Parameters, sites: usize, privacy: Privacy) -> Parameters {
    finest(parameters.with_privacy(privacy), sites)
}

fn finest(parameters: Parameters, sites: usize) -> Parameters {
    match parameters.largest_quantization_range(sites.max(2).next_power_of_two()) {
        // None does: what is wrong with the parameters, the plan says.
        0 => parameters,
        fits => parameters.with_quantization_range(fits),
    }
}

/// How many sites each part of the protocol needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Needed {
    /// The sites that must come back from each fan-out until the sum is made: the larger of the threshold and
    /// the minimum cohort.
    pub for_the_sum: usize,
    /// The sites that must reveal their shares: the threshold t.
    pub to_unmask: usize,
}

/// The flow. Its parameter is the number of rounds, at least 1.
pub fn secure_aggregation_mnist(needed: Needed) -> Flow<Server, Site, u32, TrainedModel> {
    Flow::new("secagg-mnist", 1)
        .confidential()
        .start(Server::start)
        .repeat(|round| {
            round
                .foreach(Site::generate_keys)
                .quorum(needed.for_the_sum)
                .join(Server::generate_collaborator_index)
                .foreach(Site::freeze_roster)
                .quorum(needed.for_the_sum)
                .join(Server::reveal_roster)
                .foreach(Site::generate_ciphertexts)
                .quorum(needed.for_the_sum)
                .join(Server::filter_ciphertexts)
                .foreach(Site::decrypt_ciphertexts)
                .then(Site::aggregated_model_validation)
                .then(Site::train)
                .then(Site::local_model_validation)
                .quorum(needed.for_the_sum)
                .join(Server::join)
                .foreach(Site::check_consistency)
                .quorum(needed.to_unmask)
                .join(Server::forward_words)
                .foreach(Site::reveal_shares)
                .quorum(needed.to_unmask)
                .join(Server::reconstruct)
        })
        .end()
}

/// An error of the protocol, under its code: the text stays at the site, the code crosses.
fn protocol(error: veilflow::secagg::Error) -> StepError {
    StepError::with_code(error.code(), error)
}

/// A step that is reached out of its order.
fn out_of_order(step: &'static str) -> StepError {
    StepError::with_code(
        "out-of-order",
        format!("`{step}` does not follow the step before it in this session"),
    )
}
