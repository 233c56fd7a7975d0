//! The flows on the command line: their flags, and how their participants are built.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use veilflow::cli::clap::{self, Args, ValueEnum, value_parser};
use veilflow::cli::{App, Cohort, Dataset, Fetch, FlowOf, Setup};
use veilflow::prelude::*;
use veilflow::secagg::{ClientPolicy, Layout, Parameters, Plan, Threshold};

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
    if sites == 2 { 2 } else { 3 }
}

/// The flags of secure aggregation.
#[derive(Args, Clone, Debug)]
struct ProtocolOptions {
    /// Sites that must reveal shares for a sum to be unmasked: a count, or a fraction such as 0.6 [default: two thirds, rounded down, and one more]
    #[arg(long, value_name = "T")]
    threshold: Option<Threshold>,
    /// Fewest sites in a sum; sites refuse smaller ones [default: 2 with two collaborators, else 3]
    #[arg(long, value_name = "N")]
    min_cohort: Option<usize>,
}

impl ProtocolOptions {
    fn min_cohort(&self, cohort: &Cohort) -> usize {
        self.min_cohort.unwrap_or_else(|| default_min_cohort(cohort.len()))
    }

    fn parameters(&self, cohort: &Cohort, max_weight: u64) -> Parameters {
        secure::parameters(cohort.len(), max_weight)
            .with_reconstruction_threshold(self.threshold.unwrap_or_default())
            .with_min_cohort(self.min_cohort(cohort))
    }

    /// The plan of every round, for sites that weigh at most `max_weight`.
    fn plan(&self, cohort: &Cohort, max_weight: u64) -> Result<Plan> {
        let parameters = self.parameters(cohort, max_weight);
        Ok(parameters.plan(cohort.len(), Layout::new(SCALARS, Cnn::PARAMETERS))?)
    }

    /// What each site asks of a session.
    fn policy(&self, cohort: &Cohort) -> ClientPolicy {
        secure::policy(self.min_cohort(cohort))
    }
}

/// The most images that one of the sites can have: public, while nobody says how many it has.
fn max_weight(images: usize, cohort: &Cohort) -> u64 {
    images.div_ceil(cohort.len().max(1)) as u64
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

impl App for SecaggMnist {
    const NAME: &'static str = "secagg-mnist";
    const ABOUT: &'static str = "Trains a CNN on MNIST with secure aggregation, written out step by step";
    type Options = SecaggOptions;
    type Aggregator = secure::Server;
    type Collaborator = secure::Site;
    type Params = u32;
    type Report = TrainedModel;

    fn flow(options: &SecaggOptions, cohort: &Cohort) -> Result<FlowOf<Self>> {
        // The graph depends on the threshold and the minimum cohort, not on the weights.
        let plan = options.protocol.plan(cohort, 1)?;
        let for_the_sum = plan.threshold().max(plan.min_cohort());
        Ok(secure_aggregation_mnist(Needed { for_the_sum, to_unmask: plan.threshold() }))
    }

    fn setup(options: &SecaggOptions, cohort: &Cohort) -> Result<Setup<Self>> {
        let data = options.training.data()?;
        let plan = options.protocol.plan(cohort, max_weight(data.train.len(), cohort))?;
        let server = secure::Server::new(Cnn::new(cohort.seed())?.to_flat()?, plan)?;
        let policy = options.protocol.policy(cohort);
        let training = options.training.sites(data, cohort)?;
        let site = move |name: &Name| Ok(secure::Site::new(training(name)?, policy));
        Ok(Setup::new(server, options.training.rounds, site))
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
    /// The sum of their updates: secure aggregation by SecAgg
    Secagg,
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
    /// With --secure: the most images that a site may have; sites with more are refused [default: the images of all sites, divided by their number]
    #[arg(long, value_name = "N", value_parser = value_parser!(u64).range(1..))]
    max_weight: Option<u64>,
    #[command(flatten)]
    protocol: ProtocolOptions,
}

impl App for FedavgMnist {
    const NAME: &'static str = "fedavg-mnist";
    const ABOUT: &'static str = "The same training by federated averaging, plain or with a secure join";
    type Options = FedavgOptions;
    type Aggregator = fedavg_mnist::Server;
    type Collaborator = fedavg_mnist::Site;
    type Params = u32;
    type Report = TrainedModel;

    fn flow(options: &FedavgOptions, cohort: &Cohort) -> Result<FlowOf<Self>> {
        if options.secure == Secure::Off {
            let ProtocolOptions { threshold, min_cohort } = options.protocol;
            if threshold.is_some() || min_cohort.is_some() || options.max_weight.is_some() {
                let text = "--threshold, --min-cohort and --max-weight protect nothing without --secure secagg: add it";
                return Err(StepError::msg(text));
            }
            return Ok(fedavg_mnist::fedavg_mnist());
        }
        // The largest weight is part of the graph here, as every parameter of the protocol is.
        let max_weight = match options.max_weight {
            Some(max_weight) => max_weight,
            None => max_weight(options.training.data()?.train.len(), cohort),
        };
        let plan = options.protocol.plan(cohort, max_weight)?;
        let protocol = SecAgg::new(*plan.parameters()).with_policy(options.protocol.policy(cohort));
        Ok(fedavg_mnist::fedavg_mnist_secure(protocol, plan.threshold().max(plan.min_cohort())))
    }

    fn setup(options: &FedavgOptions, cohort: &Cohort) -> Result<Setup<Self>> {
        let server = fedavg_mnist::Server::new(Cnn::new(cohort.seed())?.to_flat()?);
        let training = options.training.sites(options.training.data()?, cohort)?;
        let site = move |name: &Name| Ok(fedavg_mnist::Site::new(training(name)?));
        Ok(Setup::new(server, options.training.rounds, site))
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
