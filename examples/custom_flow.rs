//! A flow of your own with the whole command line, in one file. Try
//! `cargo run -p veilflow-examples --example custom_flow -- run mean --rounds 3 --collaborators Bengaluru,Recife`.
use serde::{Deserialize, Serialize};
use veilflow::cli::{App, Cohort, FlowOf, Registry, Setup, clap};
use veilflow::prelude::*;

#[derive(Clone, Serialize, Deserialize)]
struct Server(f64, u32); // the aggregator's state: the mean so far, and how many rounds there are
struct Site(Vec<f64>); // a collaborator's private readings: they stay at its site

impl Server {
    fn start(&mut self, rounds: u32, _cx: &Context) -> Result<Foreach<f64>> {
        self.1 = rounds;
        Ok(Foreach::all(self.0))
    }
    fn average(&mut self, means: Inputs<f64>, cx: &Context) -> Result<Loop<Foreach<f64>, f64>> {
        self.0 = means.values().sum::<f64>() / means.len() as f64;
        cx.row([("Rounds", cx.round().into()), ("Mean", self.0.into())]);
        let last = cx.round() + 1 >= self.1;
        Ok(if last { Loop::Done(self.0) } else { Loop::Again(Foreach::all(self.0)) })
    }
}

impl Site {
    fn train(&mut self, mean: f64, _cx: &Context) -> Result<f64> {
        let own = self.0.iter().sum::<f64>() / self.0.len() as f64;
        Ok(mean + 0.5 * (own - mean))
    }
}

#[derive(clap::Args)]
struct Options {
    /// How many rounds to run
    #[arg(long, default_value_t = 2)]
    rounds: u32,
}

struct Mean; // what makes the flow a command
impl App for Mean {
    const NAME: &'static str = "mean";
    const ABOUT: &'static str = "Averages readings that stay where they are";
    type Options = Options;
    type Aggregator = Server;
    type Collaborator = Site;
    type Params = u32;
    type Report = f64;

    fn flow(_: &Options, _: &Cohort) -> Result<FlowOf<Self>> {
        let flow = Flow::new("mean", 1).start(Server::start);
        Ok(flow.repeat(|round| round.foreach(Site::train).join(Server::average)).end())
    }
    fn setup(options: &Options, _: &Cohort) -> Result<Setup<Self>> {
        let site = |name: &Name| Ok(Site(vec![20.0, name.as_str().len() as f64]));
        Ok(Setup::new(Server(0.0, 0), options.rounds, site))
    }
}

fn main() -> std::process::ExitCode {
    veilflow::cli::main(Registry::new().app(Mean))
}
