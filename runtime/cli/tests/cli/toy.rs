//! A flow small enough to know what it prints, and the means to run it.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use serde::{Deserialize, Serialize};
use veilflow_cli::{App, Cohort, Console, Dataset, FlowOf, Registry, Setup, clap, run_from};
use veilflow_spec::{Context, Flow, Foreach, Inputs, Loop, Name, Result, StepError, Tensor};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// How many rounds to run
    #[arg(long, value_name = "N", default_value_t = 2)]
    rounds: u32,
    /// How far each round goes
    #[arg(long, value_name = "RATE", default_value_t = 0.5)]
    learning_rate: f64,
    /// What goes wrong: train, join, end, setup or panic
    #[arg(long, value_name = "STEP")]
    fail: Option<String>,
}

#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Server {
    options: (u32, Option<String>),
    mean: f32,
}

pub(crate) struct Site {
    value: f32,
    rate: f32,
    fail: Option<String>,
}

impl Server {
    fn start(&mut self, _: (), cx: &Context) -> Result<Foreach<f32>> {
        cx.note("two collaborators know each other's update");
        Ok(Foreach::all(self.mean))
    }

    fn join(&mut self, values: Inputs<f32>, cx: &Context) -> Result<Loop<Foreach<f32>, f32>> {
        if self.options.1.as_deref() == Some("join") {
            return Err(StepError::msg("the sum does not add up"));
        }
        self.mean = values.values().sum::<f32>() / values.len() as f32;
        cx.metric("masked", (values.len() + values.missing().len()) as f64);
        cx.metric("dropped", values.missing().len() as f64);
        cx.metric("unmasked", values.len() as f64);
        cx.row([
            ("Rounds", cx.round().into()),
            ("Local Train loss", f64::from(1.0 / (1.0 + self.mean)).into()),
            ("Note", "a, \"b\"".into()),
        ]);
        let last = cx.round() + 1 >= self.options.0;
        Ok(if last { Loop::Done(self.mean) } else { Loop::Again(Foreach::all(self.mean)) })
    }

    fn end(&mut self, mean: f32, _: &Context) -> Result<Tensor> {
        if self.options.1.as_deref() == Some("end") {
            return Err(StepError::msg("nothing may end"));
        }
        Ok(Tensor::new([1, 2], vec![mean, 1.0])?)
    }
}

impl Site {
    fn train(&mut self, mean: f32, cx: &Context) -> Result<f32> {
        match self.fail.as_deref() {
            Some("train") => return Err(StepError::msg("no data left")),
            Some("panic") => panic!("out of cheese"),
            _ => {}
        }
        cx.progress(10, 10, "images");
        Ok(mean + self.rate * (self.value - mean))
    }
}

pub(crate) struct Toy;

impl App for Toy {
    const NAME: &'static str = "toy";
    const ABOUT: &'static str = "Goes half way to the mean of three numbers";
    const EXAMPLE: &'static str = "--rounds 3";
    type Options = Options;
    type Aggregator = Server;
    type Collaborator = Site;
    type Params = ();
    type Report = Tensor;

    fn flow(_: &Options, _: &Cohort) -> Result<FlowOf<Self>> {
        let flow = Flow::new("toy", 1).start(Server::start);
        let flow = flow.repeat(|round| round.foreach(Site::train).quorum(2).join(Server::join));
        Ok(flow.then(Server::end).end())
    }

    fn setup(options: &Options, cohort: &Cohort) -> Result<Setup<Self>> {
        if options.fail.as_deref() == Some("setup") {
            return Err(StepError::msg("toys.bin is missing"));
        }
        let (cohort, rate, fail) = (cohort.clone(), options.learning_rate as f32, options.fail.clone());
        let site = move |name: &Name| {
            let value = cohort.index_of(name).map_or(0.0, |index| index as f32 + 1.0);
            Ok(Site { value, rate, fail: fail.clone() })
        };
        let server = Server { options: (options.rounds, options.fail.clone()), mean: 0.0 };
        Ok(Setup::new(server, (), site))
    }

    fn model(report: &Tensor) -> Vec<(String, Tensor)> {
        vec![("layer.weight".to_owned(), report.clone())]
    }
}

/// A second flow, so that there are some to list; it has no model.
pub(crate) struct Plain;

impl App for Plain {
    const NAME: &'static str = "plain";
    const ABOUT: &'static str = "Has no options and no model";
    type Options = ();
    type Aggregator = ();
    type Collaborator = ();
    type Params = ();
    type Report = ();

    fn flow((): &(), _: &Cohort) -> Result<FlowOf<Self>> {
        fn begin(_: &mut (), (): (), _: &Context) -> Result<()> {
            Ok(())
        }
        Ok(Flow::new("plain", 3).confidential().start(begin).end())
    }

    fn setup((): &(), _: &Cohort) -> Result<Setup<Self>> {
        Ok(Setup::new((), (), |_| Ok(())))
    }
}

pub(crate) fn registry() -> Registry {
    let digits = Dataset {
        name: "digits",
        about: "Ten digits, no download",
        fetch: |fetch| {
            std::fs::create_dir_all(fetch.dir())?;
            for done in 0..=10 {
                fetch.progress("digits.txt", done, Some(10))?;
            }
            std::fs::write(fetch.dir().join("digits.txt"), "0123456789")?;
            fetch.note("ten digits");
            Ok(())
        },
    };
    Registry::new().app(Toy).app(Plain).dataset(digits).version("1.2.3")
}

/// What a command line did.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) code: u8,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// Runs the toy's command line.
pub(crate) fn veilflow(arguments: &[&str]) -> Outcome {
    veilflow_of(&registry(), arguments)
}

pub(crate) fn veilflow_of(registry: &Registry, arguments: &[&str]) -> Outcome {
    let (out, err) = (Shared::default(), Shared::default());
    let console = Console::new(out.clone(), err.clone());
    let arguments = ["veilflow"].iter().chain(arguments);
    let code = run_from(registry, arguments, console);
    Outcome { code, out: out.text(), err: err.text() }
}

/// A writer whose text can be read back.
#[derive(Clone, Default)]
pub(crate) struct Shared(Arc<Mutex<Vec<u8>>>);

impl Shared {
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
