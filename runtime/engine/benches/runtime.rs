//! What the runtime costs beside the work of the steps.
//!
//! All times are CPU seconds of the whole process, which hold on a busy machine. Each figure is printed with a
//! ratio: to a floor measured in the same run, and to OpenFL 1.9, measured on the same kind of machine.
#![allow(clippy::expect_used, clippy::print_stderr, reason = "a benchmark that cannot run says so and stops")]

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;
use veilflow_engine::LocalRuntime;
use veilflow_spec::{Context, Flow, Foreach, Inputs, Loop, Result, Tensor};

const COLLABORATORS: u32 = 100;
/// OpenFL 1.9: 1.58 CPU seconds a round for 100 collaborators with empty steps.
const OPENFL_STEP: Duration = Duration::from_micros(15_800);

fn cpu_time() -> Duration {
    let usage = getrusage(UsageWho::RUSAGE_SELF).expect("a process can always ask about itself");
    let seconds = |time: TimeVal| {
        Duration::new(time.tv_sec().unsigned_abs(), 0) + Duration::from_micros(time.tv_usec().unsigned_abs())
    };
    seconds(usage.user_time()) + seconds(usage.system_time())
}

fn cpu_time_of(work: impl FnOnce()) -> Duration {
    let start = cpu_time();
    work();
    cpu_time().saturating_sub(start)
}

struct Server {
    rounds: u32,
}
struct Site;

impl Server {
    fn start(&mut self, rounds: u32, _cx: &Context) -> Result<Foreach<()>> {
        self.rounds = rounds;
        Ok(Foreach::all(()))
    }
    fn join(&mut self, _: Inputs<()>, cx: &Context) -> Result<Loop<Foreach<()>, ()>> {
        Ok(if cx.round() + 1 == self.rounds { Loop::Done(()) } else { Loop::Again(Foreach::all(())) })
    }
}

impl Site {
    fn nothing(&mut self, (): (), _cx: &Context) -> Result<()> {
        Ok(())
    }
}

fn run_empty_rounds(rounds: u32) {
    let flow: Flow<Server, Site, u32, ()> = Flow::new("empty", 1)
        .start(Server::start)
        .repeat(|round| round.foreach(Site::nothing).join(Server::join))
        .end();
    let names = (0..COLLABORATORS).map(|i| format!("site-{i:03}"));
    let runtime = LocalRuntime::new().aggregator(Server { rounds: 0 }).collaborators(names, |_| Ok(Site));
    runtime.run(&flow, rounds).expect("empty steps do not fail");
}

/// The floor: handing an empty closure to a thread and waiting for it, as often.
fn run_handoffs(count: u32) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime without drivers");
    runtime.block_on(async {
        for _ in 0..count {
            tokio::task::spawn_blocking(|| black_box(())).await.expect("an empty closure does not panic");
        }
    });
}

fn empty_step(c: &mut Criterion) {
    const ROUNDS: u32 = 100;
    let step = cpu_time_of(|| run_empty_rounds(ROUNDS)) / (ROUNDS * COLLABORATORS);
    let floor = cpu_time_of(|| run_handoffs(ROUNDS * COLLABORATORS)) / (ROUNDS * COLLABORATORS);
    eprintln!(
        "empty step, {COLLABORATORS} collaborators: {step:.1?} CPU each; {:.1} × a bare hand-off to a thread \
         ({floor:.1?}), OpenFL {:.0} × ours",
        step.as_secs_f64() / floor.as_secs_f64(),
        OPENFL_STEP.as_secs_f64() / step.as_secs_f64(),
    );
    c.bench_function("empty step: CPU per collaborator and round", |b| {
        b.iter_custom(|iterations| {
            let rounds = u32::try_from(iterations.clamp(1, 1000)).unwrap_or(1000);
            let spent = cpu_time_of(|| run_empty_rounds(rounds));
            spent.mul_f64(iterations as f64 / f64::from(rounds * COLLABORATORS))
        });
    });
}

struct Broadcaster;
struct Listener;

impl Broadcaster {
    fn start(&mut self, values: u32, _cx: &Context) -> Result<Foreach<Tensor>> {
        Ok(Foreach::all(Tensor::vector(vec![1.0; values as usize])))
    }
    fn join(&mut self, sums: Inputs<f64>, _cx: &Context) -> Result<f64> {
        Ok(sums.values().sum())
    }
}

impl Listener {
    fn sum(&mut self, values: &Tensor, _cx: &Context) -> Result<f64> {
        Ok(values.values().iter().copied().map(f64::from).sum())
    }
}

fn broadcast(c: &mut Criterion) {
    const VALUES: u32 = 25_000_000;
    let flow: Flow<Broadcaster, Listener, u32, f64> = Flow::new("broadcast", 1)
        .start(Broadcaster::start)
        .foreach(Listener::sum)
        .join(Broadcaster::join)
        .end();
    let run = || {
        let names = (0..10).map(|i| format!("site-{i}"));
        let runtime = LocalRuntime::new().aggregator(Broadcaster).collaborators(names, |_| Ok(Listener));
        black_box(runtime.run(&flow, VALUES).expect("sums do not fail"));
    };
    run();
    // Linux counts in KiB.
    let peak = getrusage(UsageWho::RUSAGE_SELF).map_or(0, |usage| usage.max_rss()) / 1024;
    eprintln!(
        "100 MB of broadcast state, 10 collaborators: peak of the process {peak} MiB, {:.2} × one copy; OpenFL \
         1.3 GB",
        peak as f64 / (100.0 / 1.048_576),
    );
    c.bench_function("broadcast of 100 MB to 10 collaborators", |b| b.iter(run));
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(10).measurement_time(Duration::from_secs(3));
    targets = empty_step, broadcast
}
criterion_main!(benches);
