//! The flows on the command line: their flags, and how their participants are built.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use veilflow::cli::clap::{self, Args, value_parser};
use veilflow::cli::{App, Cohort, Dataset, Fetch, FlowOf, Setup};
use veilflow::prelude::*;
use veilflow::secagg::{ClientPolicy, Layout, Plan, Threshold};

use crate::secure_aggregation_mnist::{Needed, SCALARS, secure_aggregation_mnist};
use crate::{
    Cnn, FetchOptions, Hyperparameters, LocalTraining, MnistData, TrainedModel, fedavg_mnist, fetch_mnist,
    secure_aggregation_mnist as secure,
};

/// The flags of both flows.
#[derive(Args, Clone, Debug)]
pub struct TrainingOptions {
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

/// `veilflow run secagg-mnist`.
#[derive(Debug)]
pub struct SecaggMnist;

/// The flags of `secagg-mnist`.
#[derive(Args, Clone, Debug)]
pub struct SecaggOptions {
    #[command(flatten)]
    training: TrainingOptions,
    /// Sites that must reveal shares for a sum to be unmasked: a count, or a fraction such as 0.6 [default: two thirds, rounded down, and one more]
    #[arg(long, value_name = "T")]
    threshold: Option<Threshold>,
    /// Fewest sites in a sum; sites refuse smaller ones [default: 2 with two collaborators, else 3]
    #[arg(long, value_name = "N")]
    min_cohort: Option<usize>,
}

impl SecaggOptions {
    fn min_cohort(&self, cohort: &Cohort) -> usize {
        self.min_cohort.unwrap_or_else(|| default_min_cohort(cohort.len()))
    }

    /// The plan of every round, for sites that weigh at most `max_weight`.
    fn plan(&self, cohort: &Cohort, max_weight: u64) -> Result<Plan> {
        let parameters = secure::parameters(cohort.len(), max_weight)
            .with_reconstruction_threshold(self.threshold.unwrap_or_default())
            .with_min_cohort(self.min_cohort(cohort));
        Ok(parameters.plan(cohort.len(), Layout::new(SCALARS, Cnn::PARAMETERS))?)
    }
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
        let plan = options.plan(cohort, 1)?;
        let for_the_sum = plan.threshold().max(plan.min_cohort());
        Ok(secure_aggregation_mnist(Needed { for_the_sum, to_unmask: plan.threshold() }))
    }

    fn setup(options: &SecaggOptions, cohort: &Cohort) -> Result<Setup<Self>> {
        let data = options.training.data()?;
        // No site announces how many examples it has; the most that one can have is public.
        let max_weight = data.train.len().div_ceil(cohort.len()) as u64;
        let plan = options.plan(cohort, max_weight)?;
        let server = secure::Server::new(Cnn::new(cohort.seed())?.to_flat()?, plan)?;
        let policy = ClientPolicy::default().with_min_cohort(options.min_cohort(cohort));
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

impl App for FedavgMnist {
    const NAME: &'static str = "fedavg-mnist";
    const ABOUT: &'static str = "The same training without secure aggregation, for comparison";
    type Options = TrainingOptions;
    type Aggregator = fedavg_mnist::Server;
    type Collaborator = fedavg_mnist::Site;
    type Params = u32;
    type Report = TrainedModel;

    fn flow(_: &TrainingOptions, _: &Cohort) -> Result<FlowOf<Self>> {
        Ok(fedavg_mnist::fedavg_mnist())
    }

    fn setup(options: &TrainingOptions, cohort: &Cohort) -> Result<Setup<Self>> {
        let server = fedavg_mnist::Server::new(Cnn::new(cohort.seed())?.to_flat()?);
        let training = options.sites(options.data()?, cohort)?;
        let site = move |name: &Name| Ok(fedavg_mnist::Site::new(training(name)?));
        Ok(Setup::new(server, options.rounds, site))
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
