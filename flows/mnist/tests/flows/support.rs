//! Runs of the flows on a part of the sample.

use veilflow::cli::{App, Cohort};
use veilflow::prelude::*;
use veilflow::secagg::{ClientPolicy, Layout, Plan, Security, Threshold};
use veilflow_mnist::fedavg_mnist::{self, fedavg_mnist, fedavg_mnist_secure};
use veilflow_mnist::secure_aggregation_mnist::{
    Needed, SCALARS, Server, Site, parameters, secure_aggregation_mnist,
};
use veilflow_mnist::{
    Cnn, FedavgMnist, Hyperparameters, LocalTraining, MnistData, SecaggMnist, TrainedModel,
};

pub(crate) const SEED: u64 = 42;
pub(crate) const TRAIN: usize = 600;
pub(crate) const TEST: usize = 200;

pub(crate) fn names(count: usize) -> Vec<Name> {
    (0..count).map(|i| Name::from(format!("site-{i}"))).collect()
}

fn training(sites: usize) -> impl Fn(&Name) -> Result<LocalTraining> {
    let data = MnistData::sample().unwrap().limited(Some(TRAIN), Some(TEST)).unwrap();
    let names = names(sites);
    move |name| {
        let index = names.iter().position(|known| known == name).unwrap();
        let hyperparameters = Hyperparameters { batch_size: 32, learning_rate: 0.01, momentum: 0.5 };
        Ok(LocalTraining::new(data.shard(index, sites)?, hyperparameters)?)
    }
}

fn model() -> Vec<f32> {
    Cnn::new(SEED).unwrap().to_flat().unwrap()
}

/// A plan for the sites of the tests.
pub(crate) fn plan(sites: usize, threshold: Threshold) -> Plan {
    plan_against(Security::default(), sites, threshold)
}

pub(crate) fn plan_against(security: Security, sites: usize, threshold: Threshold) -> Plan {
    let parameters = parameters(sites, TRAIN.div_ceil(sites) as u64)
        .with_security(security)
        .with_reconstruction_threshold(threshold)
        .with_min_cohort(sites.min(3));
    parameters.plan(sites, Layout::new(SCALARS, Cnn::PARAMETERS)).unwrap()
}

pub(crate) fn secure_flow(plan: &Plan) -> Flow<Server, Site, u32, TrainedModel> {
    let for_the_sum = plan.threshold().max(plan.min_cohort());
    secure_aggregation_mnist(Needed { for_the_sum, to_unmask: plan.threshold() })
}

pub(crate) fn secure_runtime(plan: &Plan) -> LocalRuntime<Server, Site> {
    let training = training(plan.clients());
    LocalRuntime::new()
        .aggregator(Server::new(model(), *plan).unwrap())
        .collaborators(names(plan.clients()), move |name| Ok(Site::new(training(name)?)))
        .policy(policy(plan))
        .seed(SEED)
}

/// Sites that accept the plan.
fn policy(plan: &Plan) -> ClientPolicy {
    ClientPolicy::default().with_min_cohort(plan.parameters().min_cohort()).with_min_security(plan.security())
}

pub(crate) fn run_secure(sites: usize, rounds: u32) -> TrainedModel {
    let plan = plan(sites, Threshold::default());
    secure_runtime(&plan).run(&secure_flow(&plan), rounds).unwrap()
}

pub(crate) fn fedavg_runtime(sites: usize) -> LocalRuntime<fedavg_mnist::Server, fedavg_mnist::Site> {
    let training = training(sites);
    LocalRuntime::new()
        .aggregator(fedavg_mnist::Server::new(model()))
        .collaborators(names(sites), move |name| Ok(fedavg_mnist::Site::new(training(name)?)))
        .seed(SEED)
}

pub(crate) fn run_plain(sites: usize, rounds: u32) -> TrainedModel {
    fedavg_runtime(sites).run(&fedavg_mnist(), rounds).unwrap()
}

/// Federated averaging with a secure join to this plan.
pub(crate) fn joined_flow(plan: &Plan) -> Flow<fedavg_mnist::Server, fedavg_mnist::Site, u32, TrainedModel> {
    let quorum = plan.threshold().max(plan.min_cohort());
    fedavg_mnist_secure(SecAgg::new(*plan.parameters()), quorum)
}

pub(crate) fn joined_runtime(plan: &Plan) -> LocalRuntime<fedavg_mnist::Server, fedavg_mnist::Site> {
    fedavg_runtime(plan.clients()).policy(policy(plan))
}

pub(crate) fn run_joined(sites: usize, rounds: u32) -> TrainedModel {
    let plan = plan(sites, Threshold::default());
    joined_runtime(&plan).run(&joined_flow(&plan), rounds).unwrap()
}

/// The flow that the command line runs by default.
pub(crate) fn shipped_flow() -> Flow<Server, Site, u32, TrainedModel> {
    use veilflow::cli::clap::{Args, Command, FromArgMatches};
    type Options = <SecaggMnist as App>::Options;
    let matches = Options::augment_args(Command::new("secagg-mnist")).get_matches_from(["secagg-mnist"]);
    let options = Options::from_arg_matches(&matches).unwrap();
    SecaggMnist::flow(&options, &Cohort::new(SecaggMnist::collaborators(), SEED, 1)).unwrap()
}

/// The flags of `fedavg-mnist`, as the command line reads them.
pub(crate) fn fedavg_options(arguments: &[&str]) -> <FedavgMnist as App>::Options {
    use veilflow::cli::clap::{Args, Command, FromArgMatches};
    type Options = <FedavgMnist as App>::Options;
    let arguments = ["fedavg-mnist"].iter().chain(arguments);
    let matches = Options::augment_args(Command::new("fedavg-mnist")).get_matches_from(arguments);
    Options::from_arg_matches(&matches).unwrap()
}
