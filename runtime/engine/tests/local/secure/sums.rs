//! The sum is the plain fixed-point sum, bit for bit.

use std::sync::Arc;

use veilflow_secagg::{FixedPointSum, Input, Layout};
use veilflow_spec::{
    Cancellation, Context, Device, MessageDigest, Origin, Placement, SecureSum, Signal, SignalSink,
};

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
