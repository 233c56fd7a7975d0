//! What runs together, and how many.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use veilflow_engine::{LocalRuntime, Resources};
use veilflow_spec::{Context, Flow, Foreach, Inputs, Loop, Result};

/// Counts how many run at once, and remembers the most.
#[derive(Default)]
struct Gauge {
    now: AtomicUsize,
    most: AtomicUsize,
}

struct Worker {
    gauge: Arc<Gauge>,
    units: usize,
}

struct Rounds(u32);

impl Rounds {
    fn start(&mut self, (): (), _cx: &Context) -> Result<Foreach<()>> {
        Ok(Foreach::all(()))
    }
    fn join(&mut self, inputs: Inputs<usize>, cx: &Context) -> Result<Loop<Foreach<()>, usize>> {
        let last = cx.round() + 1 == self.0;
        Ok(if last { Loop::Done(inputs.len()) } else { Loop::Again(Foreach::all(())) })
    }
}

impl Worker {
    fn work(&mut self, (): (), cx: &Context) -> Result<usize> {
        let now = self.gauge.now.fetch_add(self.units, Ordering::SeqCst) + self.units;
        self.gauge.most.fetch_max(now, Ordering::SeqCst);
        for _ in 0..200 {
            std::thread::yield_now();
        }
        self.gauge.now.fetch_sub(self.units, Ordering::SeqCst);
        Ok(cx.cpus())
    }
}

fn flow() -> Flow<Rounds, Worker, (), usize> {
    Flow::new("limits", 1)
        .start(Rounds::start)
        .repeat(|round| round.foreach(Worker::work).join(Rounds::join))
        .end()
}

fn names(count: usize) -> Vec<String> {
    (0..count).map(|i| format!("site-{i:05}")).collect()
}

#[test]
fn collaborators_share_the_threads_of_the_runtime() {
    let gauge = Arc::new(Gauge::default());
    let build = {
        let gauge = Arc::clone(&gauge);
        move |_: &_| Ok(Worker { gauge: Arc::clone(&gauge), units: 1 })
    };
    let runtime = LocalRuntime::new().aggregator(Rounds(3)).collaborators(names(16), build);
    assert_eq!(runtime.threads(2).run(&flow(), ()).unwrap(), 16);
    assert!((1..=2).contains(&gauge.most.load(Ordering::SeqCst)));
}

struct Alone;

impl Alone {
    fn cpus(&mut self, (): (), cx: &Context) -> Result<usize> {
        Ok(cx.cpus())
    }
}

#[test]
fn the_aggregator_may_use_all_of_them() {
    let flow: Flow<Alone, (), (), usize> = Flow::new("alone", 1).start(Alone::cpus).end();
    let runtime = LocalRuntime::new().aggregator(Alone).collaborator("a", ());
    assert_eq!(runtime.threads(3).run(&flow, ()).unwrap(), 3);
}

#[test]
fn resources_bound_what_runs_together() {
    let (cpus, device) = (Arc::new(Gauge::default()), Arc::new(Gauge::default()));
    let mut runtime = LocalRuntime::new().aggregator(Rounds(3)).threads(4);
    for (i, name) in names(12).into_iter().enumerate() {
        // Processors: half of them ask for three of four. The device: each of the others asks for 0.4 of it.
        let (gauge, units, resources) = if i % 2 == 0 {
            (&cpus, 3, Resources::cpus(3))
        } else {
            (&device, 2, Resources::default().with_device_share(0.4))
        };
        let worker = Worker { gauge: Arc::clone(gauge), units };
        runtime = runtime.resources(name.clone(), resources).collaborator(name, worker);
    }
    assert_eq!(runtime.run(&flow(), ()).unwrap(), 12);
    assert_eq!(cpus.most.load(Ordering::SeqCst), 3, "two that ask for three of four never run together");
    assert!(device.most.load(Ordering::SeqCst) <= 4, "at most two shares of 0.4 fit a device");
}

#[test]
fn ten_thousand_collaborators_come_back() {
    let gauge = Arc::new(Gauge::default());
    let build = move |_: &_| Ok(Worker { gauge: Arc::clone(&gauge), units: 1 });
    let runtime = LocalRuntime::new().aggregator(Rounds(1)).collaborators(names(10_000), build);
    assert_eq!(runtime.run(&flow(), ()).unwrap(), 10_000);
}
