//! SecAgg as the protocol of secure joins: where the DSL of `veilflow-spec` and the roles of `veilflow-secagg` meet.
//!
//! | step of the join | where | what it does | round (Bonawitz et al., CCS 2017, fig. 4) |
//! |---|---|---|---|
//! | `open_session` | aggregator | names a session for those addressed | |
//! | `generate_keys` | site | two fresh key pairs; the public keys leave | 0, advertise keys |
//! | `collect_keys` | aggregator | everybody's public keys, for each | 0 |
//! | `freeze_roster` | site | checks them; its part in the choice of neighbours leaves | 0 |
//! | `reveal_roster` | aggregator | everybody's part, for each | 0 |
//! | `share_keys` | site | sealed shares of its two secrets leave | 1, share keys |
//! | `deliver_shares` | aggregator | sorts the sealed shares by whom they are addressed to | 1 |
//! | `receive_shares` | site | opens those addressed to it | 1 |
//! | *the flow's own steps* | site, in the same task | make the input | |
//! | `mask` | site, in the same task | the masked input leaves | 2, masked input |
//! | `add_up` | aggregator | adds up what is masked, and says who is in the sum | 2 |
//! | `check_consistency` | site | its word on who is in the sum leaves | 3, consistency check |
//! | `forward_words` | aggregator | everybody's word, for each | 3 |
//! | `unmask` | site | one share for each other site leaves, never both | 4, unmask |
//! | `reconstruct` | aggregator | takes the masks off the sum | 4 |
//!
//! **Sessions.** One random id a run and join, and a round that counts the turns; a site masks the input of one place
//! in the run once. A session that fails before `receive_shares` is started again, as the next attempt and with fresh
//! keys, among those who are still there: [`SecAgg::with_attempts`]. From then on it completes by threshold or fails.
//!
//! **Whose is what.** The parameters are the flow's, and part of its fingerprint. Identity, policy and journal are a
//! site's own: its runtime provides them ([`SecureSite`]), and nothing that the aggregator sends changes them.
//!
//! **What it defends against** is what [`veilflow_secagg`] does: by default an aggregator that does anything, with a
//! third of the participants on its side.

mod client;
#[cfg(test)]
mod faults;
pub mod messages;
mod place;
mod server;
#[cfg(test)]
mod tests;

use veilflow_secagg::{Layout, NumShares, Parameters, Plan};
use veilflow_spec::{
    AtAggregator, AtCollaborators, Context, MessageDigest, Needs, Opening, Result, SecureProtocol, SecureSum,
    Sends, StepError, Sum,
};

pub use self::client::SecAggClient;
pub use self::place::{SecureAggregator, SecureSite, SiteIdentity, SiteJournal};
pub use self::server::SecAggServer;

/// SecAgg: `.secure_join(SecAgg::complete(), Server::average)`.
///
/// It holds against a malicious server unless the parameters ask for less, and every site's policy allows that
/// ([`LocalRuntime::policy`](crate::LocalRuntime::policy)).
///
/// ```
/// extern crate veilflow_spec as veilflow; // `veilflow` itself in a program
///
/// use serde::{Deserialize, Serialize};
/// use veilflow::prelude::*;
/// use veilflow_engine::{LocalRuntime, SecAgg};
///
/// /// What a site returns, and nobody sees; in a mean, what all returned.
/// #[derive(Clone, Debug, Serialize, Deserialize, Message, SecureSum)]
/// struct Update {
///     #[secure_sum(shape = [2])]
///     weights: Tensor,
///     loss: f64,
///     #[secure_sum(weight)]
///     examples: u64,
/// }
///
/// struct Server;
/// struct Site {
///     examples: u64,
/// }
///
/// impl Server {
///     fn start(&mut self, model: Tensor, _cx: &Context) -> Result<Foreach<Tensor>> {
///         Ok(Foreach::all(model))
///     }
///     fn average(&mut self, sum: Sum<Update>, _cx: &Context) -> Result<Update> {
///         assert_eq!(sum.survivors().len(), 3);
///         Ok(sum.into_mean())
///     }
/// }
///
/// impl Site {
///     fn train(&mut self, model: &Tensor, _cx: &Context) -> Result<Update> {
///         let weights = model.values().iter().map(|weight| weight + self.examples as f32).collect();
///         Ok(Update { weights: Tensor::vector(weights), loss: 0.5, examples: self.examples })
///     }
/// }
///
/// fn main() -> Result<(), Box<dyn std::error::Error>> {
///     let flow = Flow::new("secure", 1)
///         .start(Server::start)
///         .foreach(Site::train)
///         .secure_join(SecAgg::complete(), Server::average)
///         .end();
///     let runtime = LocalRuntime::new().aggregator(Server);
///     let runtime = [1, 2, 3].into_iter().fold(runtime, |runtime, examples| {
///         runtime.collaborator(format!("site-{examples}"), Site { examples })
///     });
///     let mean = runtime.run(&flow, Tensor::vector(vec![0.0, 1.0]))?;
///     // (1·1 + 2·2 + 3·3) / 6 examples; coarse, because six examples are few where 1000 are allowed a site.
///     assert!((mean.weights.values()[0] - 14.0 / 6.0).abs() < 0.01);
///     assert_eq!(mean.examples, 6);
///     Ok(())
/// }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct SecAgg {
    parameters: Parameters,
    attempts: u32,
}

/// How often a session's setup is started, unless it is said.
const ATTEMPTS: u32 = 3;

impl SecAgg {
    /// SecAgg on the complete graph, with the default parameters.
    pub fn complete() -> Self {
        Self::new(Parameters::new())
    }

    /// SecAgg with these parameters.
    pub fn new(parameters: Parameters) -> Self {
        Self { parameters, attempts: ATTEMPTS }
    }

    /// SecAgg+, in which each site shares masks and secrets with few neighbours in a random graph: as many, and with the
    /// threshold, as the parameters' adversaries and dropouts allow for the number invited, unless
    /// [`num_shares`](Parameters::with_num_shares) says how many. A cohort that is too small for a sparse graph shares
    /// among all, as [`complete`](Self::complete) does.
    pub fn plus(parameters: Parameters) -> Self {
        Self::new(match parameters.num_shares() == NumShares::default() {
            true => parameters.with_num_shares(NumShares::Auto),
            false => parameters,
        })
    }

    /// The parameters of each session.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// Whether its graph is to be sparse.
    fn is_plus(&self) -> bool {
        self.parameters.num_shares() != NumShares::default()
    }

    /// How often the setup of a session is started at most; 3, unless it is said, and at least once. It is repeated only
    /// while no input is masked, and among those only who are still there.
    #[must_use]
    pub fn with_attempts(mut self, attempts: u32) -> Self {
        self.attempts = attempts.max(1);
        self
    }
}

/// The plan of a sum of `T` over `clients` sites.
fn plan<T: SecureSum>(parameters: &Parameters, clients: usize) -> Result<Plan> {
    let layout = T::layout();
    let plan = parameters.plan(clients, Layout::new(layout.scalars(), layout.vector()));
    plan.map_err(|error| StepError::with_code(error.code(), error))
}

/// An error of the protocol, under its code: at a site, the text stays and the code crosses.
pub(crate) fn protocol(error: veilflow_secagg::Error) -> StepError {
    StepError::with_code(error.code(), error)
}

/// A step that is reached out of its order.
fn out_of_order(step: &'static str) -> StepError {
    let text = format!("`{step}` does not follow the step before it in this session");
    StepError::with_code("out-of-order", text)
}

impl<T: SecureSum> SecureProtocol<T> for SecAgg {
    type Server = SecAggServer;
    type Client = SecAggClient;

    fn name(&self) -> &'static str {
        if self.is_plus() { "secagg+" } else { "secagg" }
    }

    fn parameters(&self) -> Vec<(&'static str, String)> {
        let parameters = &self.parameters;
        // The digest is over all parameters, those too that get no line of their own.
        let digest: String = parameters.digest().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        let mut lines = vec![
            ("security", parameters.security().to_string()),
            ("num-shares", parameters.num_shares().to_string()),
            ("threshold", parameters.reconstruction_threshold().to_string()),
            ("min-cohort", parameters.min_cohort().to_string()),
            ("max-weight", parameters.max_weight().to_string()),
            ("clipping-range", parameters.clipping_range().to_string()),
            ("quantization-range", parameters.quantization_range().to_string()),
            ("modulus-range", parameters.modulus_range().to_string()),
        ];
        if let Some(privacy) = parameters.privacy() {
            lines.extend([
                ("dp-norm", privacy.norm().to_string()),
                ("dp-noise", privacy.noise_multiplier().to_string()),
                ("dp-delta", privacy.delta().to_string()),
            ]);
        }
        lines.push(("digest", digest));
        lines
    }

    fn needs(&self, invited: usize) -> Result<Needs> {
        let plan = plan::<T>(&self.parameters, invited)?;
        Ok(Needs { inputs: plan.threshold().max(plan.min_cohort()), unmasking: plan.threshold() })
    }

    fn attempts(&self) -> u32 {
        self.attempts
    }

    fn server(&self, cx: &Context) -> Result<SecAggServer> {
        SecAggServer::new(self.parameters, SecureAggregator::of(cx)?, cx)
    }

    fn client(&self, cx: &Context) -> Result<SecAggClient> {
        Ok(SecAggClient::new(self.parameters, self.attempts, SecureSite::of(cx)?))
    }

    fn setup(
        &self,
        start: AtAggregator<SecAggServer, SecAggClient, Opening, Opening>,
    ) -> AtCollaborators<SecAggServer, SecAggClient, Opening, (), impl Sends> {
        start
            .then(SecAggServer::open_session::<T>)
            .foreach(SecAggClient::generate_keys::<T>)
            .join(SecAggServer::collect_keys)
            .foreach(SecAggClient::freeze_roster)
            .join(SecAggServer::reveal_roster)
            .foreach(SecAggClient::share_keys)
            .join(SecAggServer::deliver_shares)
            .foreach(SecAggClient::receive_shares)
    }

    fn bind(client: &mut SecAggClient, message: MessageDigest) {
        client.bind(message);
    }

    fn rounds(
        &self,
        input: AtCollaborators<SecAggServer, SecAggClient, T, T>,
    ) -> AtAggregator<SecAggServer, SecAggClient, T, Sum<T>> {
        input
            .then(SecAggClient::mask::<T>)
            .join(SecAggServer::add_up)
            .foreach(SecAggClient::check_consistency)
            .join(SecAggServer::forward_words)
            .foreach(SecAggClient::unmask)
            .join(SecAggServer::reconstruct::<T>)
    }
}
