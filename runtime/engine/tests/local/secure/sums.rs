//! The sum is the plain fixed-point sum, bit for bit.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use veilflow::prelude::*;
use veilflow_engine::{LocalRuntime, SecAgg};
use veilflow_secagg::{FixedPointSum, Input, Layout, Parameters};
use veilflow_spec::{Cancellation, Device, MessageDigest, Origin, Placement, Signal, SignalSink};

use super::support::{Update, flow, model, parameters, runtime};

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
