//! The sum is the plain fixed-point sum, bit for bit.

use std::sync::{Arc, Mutex};

use serde::{Deserialize, Serialize};
use veilflow::prelude::*;
use veilflow_engine::{Event, EventKind, LocalRuntime, SecAgg};
use veilflow_secagg::{FixedPointSum, Input, Layout, Parameters, Privacy};
use veilflow_spec::{Cancellation, Device, MessageDigest, Origin, Placement, Signal, SignalSink};

use super::support::{Server, Site, Update, flow, model, parameters, runtime};

struct Nowhere;

impl SignalSink for Nowhere {
    fn signal(&self, _: &Origin, _: Signal) {}
}

#[test]
fn a_secure_sum_equals_the_plain_fixed_point_sum_to_the_last_bit() {
    let names = ["a", "b", "c", "d"];
    let flow = flow();
    let told = runtime(&names, 2).run(&flow, ()).unwrap();
    let description = flow.describe();
    let steps = description.steps();
    let path = &steps.iter().find(|step| &*step.name == "average.mask").unwrap().path;
    let plan = parameters().plan(4, Layout::new(1, 4)).unwrap();
    let given = MessageDigest::of(&model(0.25)).unwrap();
    for (turn, told) in (0..).zip(&told) {
        let mut sum = FixedPointSum::new(&plan);
        for (name, weight) in names.into_iter().zip(1_u64..) {
            let origin = Origin {
                participant: name.into(),
                placement: Placement::Collaborator,
                step: "mask".into(),
                path: Arc::clone(path),
                loops: [turn].into(),
            };
            let cx = Context::new(origin, 7, (1, Device::Cpu), Cancellation::new(), Arc::new(Nowhere));
            let vector = [0.25 * weight as f32; 4];
            let input = Input { weight, scalars: &[weight as f64 / 8.0], vector: &vector };
            sum.add(name, &plan.quantize(&input, &mut cx.rng_for(given.as_bytes())).unwrap()).unwrap();
        }
        let plain = sum.decode().unwrap();
        assert_eq!(told.mean.values.values(), plain.mean(), "round {turn}");
        assert_eq!([told.mean.loss], plain.scalars(), "round {turn}");
        assert_eq!(told.mean.weight, 10, "a mean's weight is the total");
    }
}

/// With differential privacy all sites count the same, and the run tells what it costs in each round and in all.
#[test]
fn a_private_sum_has_noise_and_a_price() {
    let names = ["a", "b", "c", "d"];
    let private = parameters().with_privacy(Privacy::new(20.0, 1e-3, 1e-5));
    let plan = private.plan(4, Layout::new(1, 4)).unwrap();
    let metrics = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&metrics);
    let runtime = runtime(&names, 2).observe(Arc::new(move |event: &Event| {
        if let EventKind::Signal { signal: Signal::Metric { name, value }, .. } = &event.kind {
            seen.lock().unwrap().push((name.clone(), *value));
        }
    }));
    let flow = Flow::new("private", 1)
        .start(Server::start)
        .repeat(|round| round.foreach(Site::train).secure_join(SecAgg::new(private), Server::average))
        .end();
    let told = runtime.run(&flow, ()).unwrap();
    for told in &told {
        assert_eq!(told.mean.weight, 4, "the number of sites");
        // Weights 1 to 4, which scale what is trained: 0.25 · 2.5 where all count the same.
        let off = told.mean.values.values().iter().map(|value| (f64::from(*value) - 0.625).abs());
        let largest = off.fold(0.0, f64::max);
        assert!(largest > 0.0 && largest < plan.max_error_of_mean(4, 4), "{largest}");
    }
    assert_ne!(told[0].mean, told[1].mean, "fresh noise in each round");
    let metrics = metrics.lock().unwrap();
    let of = |name: &str| metrics.iter().filter(|m| m.0 == name).map(|m| m.1).collect::<Vec<_>>();
    let cost = |rounds| plan.privacy_cost(rounds).unwrap().epsilon();
    assert_eq!(of("epsilon"), [cost(1), cost(1)]);
    assert_eq!(of("epsilon_total"), [cost(1), cost(2)]);
    assert!(of("clipped").is_empty(), "nobody counts what it clips");
}

#[test]
fn the_layout_is_the_types() {
    assert_eq!((Update::layout().scalars(), Update::layout().vector()), (1, 4));
    assert_eq!(Update::layout().to_string(), "1 scalars, tensors [2, 2]");
}

/// The same values twice: once in the protocol's range, 8, once in one of their own.
#[derive(Clone, Serialize, Deserialize, Message, SecureSum)]
struct Twice {
    #[secure_sum(shape = [3])]
    plain: Tensor,
    #[secure_sum(shape = [3], clipping_range = 0.01)]
    scaled: Tensor,
    #[secure_sum(weight)]
    weight: u64,
}

struct Reader;

impl Reader {
    fn start(&mut self, (): (), _cx: &Context) -> Result<Foreach<()>> {
        Ok(Foreach::all(()))
    }

    fn take(&mut self, sum: Sum<Twice>, _cx: &Context) -> Result<Twice> {
        Ok(sum.into_mean())
    }
}

struct Values;

impl Values {
    fn train(&mut self, (): (), _cx: &Context) -> Result<Twice> {
        let values = Tensor::vector(vec![0.003, -0.007_777, 0.02]);
        Ok(Twice { plain: values.clone(), scaled: values, weight: 10 })
    }
}

#[test]
fn a_tensor_with_a_range_of_its_own_is_rounded_in_proportion_and_clipped_to_it() {
    let flow: Flow<Reader, Values, (), Twice> = Flow::new("scaled", 1)
        .start(Reader::start)
        .foreach(Values::train)
        .secure_join(SecAgg::new(Parameters::new().with_max_weight(10)), Reader::take)
        .end();
    let runtime = LocalRuntime::new().aggregator(Reader);
    let mean = runtime.collaborators(["a", "b", "c"], |_| Ok(Values)).run(&flow, ()).unwrap();
    let step = parameters().plan(3, Layout::new(0, 6)).unwrap().quantization_step();
    let (plain, scaled) = (mean.plain.values(), mean.scaled.values());
    for (place, exact) in [0.003_f64, -0.007_777].into_iter().enumerate() {
        assert!((f64::from(plain[place]) - exact).abs() <= step, "{plain:?}");
        assert!((f64::from(scaled[place]) - exact).abs() <= step * 0.01 / 8.0 + 1e-9, "{scaled:?}");
    }
    assert!((f64::from(plain[2]) - 0.02).abs() <= step && (scaled[2] - 0.01).abs() < 1e-8, "{scaled:?}");
}
