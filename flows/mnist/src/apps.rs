//! The flows on the command line: their flags, and how their participants are built.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use veilflow::cli::clap::{self, Args, ValueEnum, value_parser};
use veilflow::cli::{App, Cohort, Dataset, Fetch, FlowOf, Setup};
use veilflow::prelude::*;
use veilflow::secagg::{ClientPolicy, Layout, NumShares, Parameters, Plan, Privacy, Security, Threshold};
use veilflow::spec::Device;

use crate::device;
use crate::secure_aggregation_mnist::{Needed, SCALARS, secure_aggregation_mnist};
use crate::{
    Cnn, FetchOptions, Hyperparameters, LocalTraining, MnistData, TrainedModel, fedavg_mnist, fetch_mnist,
    secure_aggregation_mnist as secure,
};

/// The flags of both flows.
#[derive(Args, Clone, Debug)]
struct TrainingOptions {
    /// Rounds of training
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = value_parser!(u32).range(1..))]
    rounds: u32,
    /// Images in a batch
    #[arg(long, value_name = "N", default_value = "32")]
    batch_size: NonZeroUsize,
    /// Step size of stochastic gradient descent
    #[arg(long, value_name = "RATE", default_value_t = 0.01, allow_negative_numbers = true)]
    learning_rate: f64,
    /// Momentum of stochastic gradient descent, below 1
    #[arg(long, value_name = "M", default_value_t = 0.5, allow_negative_numbers = true)]
    momentum: f64,
    /// Folder with the four MNIST files, as `veilflow data fetch mnist` leaves them [default: the sample of 10,000 digits that ships with Veilflow]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Use only the first N training images of all sites together
    #[arg(long, value_name = "N")]
    train_limit: Option<usize>,
    /// Use only the first N test images of all sites together
    #[arg(long, value_name = "N")]
    test_limit: Option<usize>,
}

impl TrainingOptions {
    fn data(&self) -> crate::Result<MnistData> {
        MnistData::load(self.data_dir.as_deref())?.limited(self.train_limit, self.test_limit)
    }

    /// The number of training images of all sites together, where that is known without reading them.
    fn images(&self) -> crate::Result<usize> {
        match (&self.data_dir, self.train_limit) {
            (None, None) => Ok(MnistData::SAMPLE_TRAIN),
            _ => Ok(self.data()?.train.len()),
        }
    }

    fn hyperparameters(&self) -> Hyperparameters {
        Hyperparameters {
            batch_size: self.batch_size.get(),
            learning_rate: self.learning_rate,
            momentum: self.momentum,
        }
    }

    /// Builds the training of each site on its part of `data`: the images whose position leaves the site's
    /// index when divided by the number of sites.
    fn sites(
        &self,
        data: MnistData,
        cohort: &Cohort,
    ) -> Result<impl Fn(&Name) -> Result<LocalTraining> + use<>> {
        let (hyperparameters, cohort) = (self.hyperparameters(), cohort.clone());
        hyperparameters.validate()?;
        Ok(move |name: &Name| {
            let index = cohort.index_of(name);
            let index = index.ok_or_else(|| StepError::msg(format!("{name} has no shard")))?;
            Ok(LocalTraining::new(data.shard(index, cohort.len())?, hyperparameters)?)
        })
    }
}

/// The fewest sites of a sum, unless it is said: 3, so that no site can compute another's part of it. Two
/// sites that train together know each other's part anyway, so between them it is 2.
fn default_min_cohort(sites: usize) -> usize {
    if sites <= 2 { 2 } else { 3 }
}

/// The delta of differential privacy, unless it is said.
const DELTA: f64 = 1e-5;

/// The flags of secure aggregation.
#[derive(Args, Clone, Debug)]
struct ProtocolOptions {
    /// Whom it holds against: a malicious server with a third of the sites on its side, malicious:0.1 for a tenth of them, or a semi-honest server, which follows the protocol and is curious [default: malicious]
    #[arg(long, value_name = "SETTING")]
    security: Option<Security>,
    /// Among how many sites each secret is shared: a count, a fraction such as 0.1, or auto for as few as are safe [default: 1.0, all of them; with secagg+ auto]
    #[arg(long, value_name = "K")]
    num_shares: Option<NumShares>,
    /// Sites that must reveal shares for a sum to be unmasked: a count, or a fraction such as 0.6 [default: two thirds, rounded down, and one more]
    #[arg(long, value_name = "T")]
    threshold: Option<Threshold>,
    /// The most images that a site may have; sites with more are refused [default: the images of all sites, divided by their number]
    #[arg(long, value_name = "N", value_parser = value_parser!(u64).range(1..))]
    max_weight: Option<u64>,
    /// Values of the update are clipped to plus and minus this [default: 8.0]
    #[arg(long, value_name = "RANGE", allow_negative_numbers = true)]
    clipping_range: Option<f64>,
    /// Differential privacy: each site's update and scores together are clipped to this L2 norm, and noise is added before they are masked
    #[arg(long, value_name = "NORM", requires = "dp_noise", allow_negative_numbers = true)]
    dp_norm: Option<f64>,
    /// Standard deviation of the noise in the sum, in norms; more sites than the fewest add more
    #[arg(long, value_name = "SIGMA", requires = "dp_norm", allow_negative_numbers = true)]
    dp_noise: Option<f64>,
    /// The delta at which epsilon is told, well below one over the number of sites [default: 1e-5]
    #[arg(long, value_name = "DELTA", requires = "dp_norm", allow_negative_numbers = true)]
    dp_delta: Option<f64>,
    /// The most epsilon that each site spends in all rounds together, at that delta; a run that would spend more is not started
    #[arg(long, value_name = "EPSILON", requires = "dp_norm", allow_negative_numbers = true)]
    max_epsilon: Option<f64>,
    /// Fewest sites in a sum; sites refuse smaller ones [default: 2 with two collaborators, else 3]
    #[arg(long, value_name = "N")]
    min_cohort: Option<usize>,
}

impl ProtocolOptions {
    fn min_cohort(&self, cohort: &Cohort) -> usize {
        self.min_cohort.unwrap_or_else(|| default_min_cohort(cohort.len()))
    }

    /// The parameters of every round, for sites of which none has more images than said, or else than it gets of
    /// `images`: a public number, while nobody tells its own.
    fn parameters(&self, cohort: &Cohort, images: usize) -> Parameters {
        let shard = images.div_ceil(cohort.len().max(1)) as u64;
        let parameters = secure::parameters(cohort.len(), self.max_weight.unwrap_or(shard));
        let clipping_range = self.clipping_range.unwrap_or(parameters.clipping_range());
        let parameters = parameters
            .with_security(self.security.unwrap_or_default())
            .with_num_shares(self.num_shares.unwrap_or_default())
            .with_reconstruction_threshold(self.threshold.unwrap_or_default())
            .with_clipping_range(clipping_range)
            .with_min_cohort(self.min_cohort(cohort));
        match (self.dp_norm, self.dp_noise) {
            (Some(norm), Some(noise)) => {
                let privacy = Privacy::new(norm, noise, self.dp_delta.unwrap_or(DELTA));
                secure::with_privacy(parameters, cohort.len(), privacy)
            }
            _ => parameters,
        }
    }

    /// What each site asks of a session. On one machine whoever runs the flow speaks for the sites too.
    fn policy(&self, cohort: &Cohort) -> ClientPolicy {
        let policy = ClientPolicy::default()
            .with_min_cohort(self.min_cohort(cohort))
            .with_min_security(self.security.unwrap_or_default());
        self.max_epsilon.map_or(policy, |max| policy.with_max_epsilon(max))
    }

    /// Whether so many rounds cost no more than each site may spend. Sites refuse round by round too; found out here,
    /// it costs them nothing.
    fn check_budget(&self, plan: &Plan, rounds: u32) -> Result<()> {
        let Some(max) = self.max_epsilon else { return Ok(()) };
        if !(max.is_finite() && max > 0.0) {
            return Err(StepError::msg(format!("--max-epsilon is a number above 0, not {max}")));
        }
        let epsilon = |rounds| plan.privacy_cost(u64::from(rounds)).map_or(0.0, |cost| cost.epsilon());
        if epsilon(rounds) <= max {
            return Ok(());
        }
        // It grows with the rounds.
        let (mut fit, mut too_many) = (0, rounds);
        while too_many - fit > 1 {
            let half = fit + (too_many - fit) / 2;
            if epsilon(half) <= max { fit = half } else { too_many = half }
        }
        let advice = match fit {
            0 => "not even one fits".to_owned(),
            fit => format!("up to {fit} fit"),
        };
        Err(StepError::msg(format!(
            "{rounds} rounds cost each site ε = {:.3}, and --max-epsilon is {max}: {advice}; run fewer, ask for more noise \
             with --dp-noise, or raise --max-epsilon",
            epsilon(rounds)
        )))
    }

    /// The flags that were given.
    fn given(&self) -> impl Iterator<Item = &'static str> {
        let flags = [
            ("--security", self.security.is_some()),
            ("--num-shares", self.num_shares.is_some()),
            ("--threshold", self.threshold.is_some()),
            ("--max-weight", self.max_weight.is_some()),
            ("--clipping-range", self.clipping_range.is_some()),
            ("--dp-norm", self.dp_norm.is_some()),
            ("--dp-noise", self.dp_noise.is_some()),
            ("--dp-delta", self.dp_delta.is_some()),
            ("--max-epsilon", self.max_epsilon.is_some()),
            ("--min-cohort", self.min_cohort.is_some()),
        ];
        flags.into_iter().filter_map(|(flag, given)| given.then_some(flag))
    }
}

/// The plan of these parameters for everybody's updates and scores.
fn plan(parameters: &Parameters, cohort: &Cohort) -> Result<Plan> {
    Ok(parameters.plan(cohort.len(), Layout::new(SCALARS, Cnn::PARAMETERS))?)
}

/// How many sites must be in a sum.
fn for_the_sum(plan: &Plan) -> usize {
    plan.threshold().max(plan.min_cohort())
}

/// `veilflow run secagg-mnist`.
#[derive(Debug)]
pub struct SecaggMnist;

/// The flags of `secagg-mnist`.
#[derive(Args, Clone, Debug)]
pub struct SecaggOptions {
    #[command(flatten)]
    training: TrainingOptions,
    #[command(flatten)]
    protocol: ProtocolOptions,
}

impl SecaggOptions {
    /// The aggregator, for sites with so many images together.
    fn server(&self, cohort: &Cohort, images: usize) -> Result<secure::Server> {
        let plan = plan(&self.protocol.parameters(cohort, images), cohort)?;
        self.protocol.check_budget(&plan, self.training.rounds)?;
        secure::Server::new(Cnn::new(cohort.seed())?.to_flat()?, plan)
    }
}

impl App for SecaggMnist {
    const NAME: &'static str = "secagg-mnist";
    const ABOUT: &'static str = "Trains a CNN on MNIST with secure aggregation, written out step by step";
    const SITE_OPTIONS: &'static [&'static str] = &["data-dir"];
    type Options = SecaggOptions;
    type Aggregator = secure::Server;
    type Collaborator = secure::Site;
    type Params = u32;
    type Report = TrainedModel;

    fn check_device(device: Device) -> Result<()> {
        Ok(device::open(device).map(drop)?)
    }

    fn flow(options: &SecaggOptions, cohort: &Cohort) -> Result<FlowOf<Self>> {
        // The graph depends on the threshold and the minimum cohort, not on the weights.
        let plan = plan(&options.protocol.parameters(cohort, 1), cohort)?;
        let (for_the_sum, to_unmask) = (for_the_sum(&plan), plan.threshold());
        Ok(secure_aggregation_mnist(Needed { for_the_sum, to_unmask }))
    }

    fn setup(options: &SecaggOptions, cohort: &Cohort) -> Result<Setup<Self>> {
        let data = options.training.data()?;
        let server = options.server(cohort, data.train.len())?;
        let training = options.training.sites(data, cohort)?;
        let site = move |name: &Name| Ok(secure::Site::new(training(name)?));
        let setup = Setup::new(server, options.training.rounds, site);
        Ok(setup.with_policy(options.protocol.policy(cohort)))
    }

    fn host(options: &SecaggOptions, cohort: &Cohort) -> Result<(secure::Server, u32)> {
        Ok((options.server(cohort, options.training.images()?)?, options.training.rounds))
    }

    fn model(report: &TrainedModel) -> Vec<(String, Tensor)> {
        report.parameters.clone()
    }
}

/// `veilflow run fedavg-mnist`.
#[derive(Debug)]
pub struct FedavgMnist;

/// What the aggregator of `fedavg-mnist` sees of the sites.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Secure {
    /// The sum of their updates: secure aggregation by SecAgg, in which each site shares secrets with all others
    Secagg,
    /// The same by SecAgg+, in which each shares them with few neighbours; few sites share with all
    #[value(name = "secagg+")]
    SecaggPlus,
    /// Each site's own update
    #[default]
    Off,
}

/// The flags of `fedavg-mnist`.
#[derive(Args, Clone, Debug)]
pub struct FedavgOptions {
    #[command(flatten)]
    training: TrainingOptions,
    /// How the sites' updates are joined
    #[arg(long, value_enum, value_name = "PROTOCOL", default_value_t)]
    secure: Secure,
    #[command(flatten)]
    protocol: ProtocolOptions,
}

impl FedavgOptions {
    /// The aggregator, for sites with so many images together.
    fn server(
        &self,
        cohort: &Cohort,
        images: impl FnOnce() -> Result<usize>,
    ) -> Result<fedavg_mnist::Server> {
        if self.secure != Secure::Off {
            let plan = plan(&self.protocol.parameters(cohort, images()?), cohort)?;
            self.protocol.check_budget(&plan, self.training.rounds)?;
        }
        Ok(fedavg_mnist::Server::new(Cnn::new(cohort.seed())?.to_flat()?))
    }
}

impl App for FedavgMnist {
    const NAME: &'static str = "fedavg-mnist";
    const ABOUT: &'static str = "The same training by federated averaging, plain or with a secure join";
    const SITE_OPTIONS: &'static [&'static str] = &["data-dir"];
    type Options = FedavgOptions;
    type Aggregator = fedavg_mnist::Server;
    type Collaborator = fedavg_mnist::Site;
    type Params = u32;
    type Report = TrainedModel;

    fn check_device(device: Device) -> Result<()> {
        Ok(device::open(device).map(drop)?)
    }

    fn flow(options: &FedavgOptions, cohort: &Cohort) -> Result<FlowOf<Self>> {
        if options.secure == Secure::Off {
            let given: Vec<_> = options.protocol.given().collect();
            if !given.is_empty() {
                let text =
                    format!("without --secure secagg nothing is protected by {}: add it", given.join(", "));
                return Err(StepError::msg(text));
            }
            return Ok(fedavg_mnist::fedavg_mnist());
        }
        // The largest weight is part of the graph here, as every parameter of the protocol is.
        let images = match options.protocol.max_weight {
            Some(_) => 0,
            None => options.training.images()?,
        };
        let parameters = options.protocol.parameters(cohort, images);
        let protocol = match options.secure {
            Secure::SecaggPlus => SecAgg::plus(parameters),
            _ => SecAgg::new(parameters),
        };
        let quorum = for_the_sum(&plan(protocol.parameters(), cohort)?);
        Ok(fedavg_mnist::fedavg_mnist_secure(protocol, quorum))
    }

    fn setup(options: &FedavgOptions, cohort: &Cohort) -> Result<Setup<Self>> {
        let data = options.training.data()?;
        let server = options.server(cohort, || Ok(data.train.len()))?;
        let training = options.training.sites(data, cohort)?;
        let site = move |name: &Name| Ok(fedavg_mnist::Site::new(training(name)?));
        let setup = Setup::new(server, options.training.rounds, site);
        Ok(setup.with_policy(options.protocol.policy(cohort)))
    }

    fn host(options: &FedavgOptions, cohort: &Cohort) -> Result<(fedavg_mnist::Server, u32)> {
        Ok((options.server(cohort, || Ok(options.training.images()?))?, options.training.rounds))
    }

    fn model(report: &TrainedModel) -> Vec<(String, Tensor)> {
        report.parameters.clone()
    }
}

/// `veilflow data fetch mnist`.
pub fn dataset() -> Dataset {
    Dataset { name: "mnist", about: "60,000 training and 10,000 test images of handwritten digits", fetch }
}

fn fetch(fetch: &Fetch) -> Result<()> {
    let mut failed = None;
    let fetched = fetch_mnist(fetch.dir(), &FetchOptions::default(), &mut |progress| match fetch.progress(
        progress.file,
        progress.bytes_done,
        Some(progress.bytes),
    ) {
        Ok(()) => std::ops::ControlFlow::Continue(()),
        Err(error) => {
            failed = Some(error);
            std::ops::ControlFlow::Break(())
        }
    });
    if let Some(error) = failed {
        return Err(error);
    }
    for (file, outcome) in fetched? {
        fetch.note(&format!("{file}: {outcome}"));
    }
    Ok(())
}
