//! Secure joins in the graph: what runs where, how it is drawn, and what the fingerprint sees.

extern crate veilflow_spec as veilflow;

#[path = "support/disclosing.rs"]
mod disclosing;
#[path = "support/golden.rs"]
mod golden;
#[path = "support/walk.rs"]
mod walk;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use veilflow::graph::{Addressed, Block, Payload};
use veilflow::prelude::*;
use veilflow::{Means, Parts, Problem, to_cbor};

use disclosing::Disclosing;

struct Server;
struct Site(f64);

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Message, Averaged)]
struct Scores {
    loss: f64,
    recall: Recall,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Message, Averaged)]
struct Recall(f64, f64);

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Message, SecureSum)]
struct Update {
    #[secure_sum(shape = [2, 1])]
    weights: Tensor,
    scores: Scores,
    #[secure_sum(weight)]
    examples: u64,
    #[secure_sum(shape = [3])]
    biases: Tensor,
}

impl Server {
    fn start(&mut self, model: f64, _cx: &Context) -> Result<Foreach<f64>> {
        Ok(Foreach::all(model))
    }

    fn average(&mut self, sum: Sum<Update>, _cx: &Context) -> Result<Loop<Foreach<f64>, Update>> {
        Ok(Loop::Done(sum.into_mean()))
    }
}

impl Site {
    fn train(&mut self, model: f64, _cx: &Context) -> Result<f64> {
        Ok(model * self.0)
    }

    fn score(&mut self, model: f64, _cx: &Context) -> Result<Update> {
        let (value, examples) = (model as f32, self.0 as u64);
        Ok(Update {
            weights: Tensor::new([2, 1], vec![value, -value])?,
            scores: Scores { loss: model, recall: Recall(model / 2.0, model / 4.0) },
            examples,
            biases: Tensor::vector(vec![value; 3]),
        })
    }
}

fn flow(protocol: Disclosing) -> Flow<Server, Site, f64, Update> {
    Flow::new("secure", 1)
        .start(Server::start)
        .repeat(|round| {
            round
                .foreach(Site::train)
                .then(Site::score)
                .quorum(0.6)
                .deadline(Duration::from_secs(90))
                .secure_join(protocol, Server::average)
        })
        .end()
}

#[test]
fn it_is_drawn_as_it_was_with_the_protocols_steps_around_the_flows_own() {
    golden::check(
        concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden"),
        &flow(Disclosing::default()).describe(),
    );
}

#[test]
fn the_mean_comes_back_in_the_form_of_what_was_summed() {
    let protocol = Disclosing::default();
    let flow = flow(protocol.clone());
    let mean = walk::run(&flow, Server, [("a", Site(1.0)), ("b", Site(3.0))], 2.0).unwrap();
    // (1·2 + 3·6) / 4
    assert_eq!(mean.weights, Tensor::new([2, 1], vec![5.0, -5.0]).unwrap());
    assert_eq!(mean.biases, Tensor::vector(vec![5.0; 3]));
    assert_eq!(mean.scores, Scores { loss: 5.0, recall: Recall(2.5, 1.25) });
    assert_eq!(mean.examples, 4, "the total");
    let closed = &protocol.closed;
    let closed = (closed.servers.load(Ordering::SeqCst), closed.clients.load(Ordering::SeqCst));
    assert_eq!(closed, (1, 2));
}

#[test]
fn the_layout_is_in_the_fingerprint_and_a_tensor_of_another_shape_is_refused() {
    let text = flow(Disclosing::default()).describe().canonical_text();
    assert!(text.contains("layout \"3 scalars, tensors [2, 1] [3]\""), "{text}");
    let update = Update {
        weights: Tensor::vector(vec![0.0; 2]),
        scores: Scores { loss: 0.0, recall: Recall(0.0, 0.0) },
        examples: 1,
        biases: Tensor::vector(vec![0.0; 3]),
    };
    let error = Parts::of(&update, 8.0).unwrap_err();
    assert_eq!(error.code(), "wrong-shape");
    assert_eq!(error.to_string(), "`weights` has the shape [2], and its type promises [2, 1]");
    let too_few = Update::read(1, &mut Means::new(&[0.0; 3], &[0.0; 4], 8.0)).unwrap_err();
    assert_eq!(too_few.code(), "wrong-shape");
}

/// The largest change of a bias.
const SMALL: f64 = 0.25;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Message, SecureSum)]
struct Scaled {
    #[secure_sum(shape = [2], clipping_range = SMALL)]
    biases: Tensor,
    #[secure_sum(clipping_range = 16.0)]
    loss: f64,
    plain: f64,
    #[secure_sum(shape = [1])]
    weights: Tensor,
    #[secure_sum(weight)]
    examples: u64,
}

#[test]
fn a_part_with_a_range_of_its_own_is_scaled_to_the_protocols_and_back() {
    let layout = Scaled::layout();
    assert_eq!(layout.to_string(), "2 scalars (0 within 16), tensors [2] within 0.25 [1]");
    assert_eq!((layout.scalars(), layout.vector()), (2, 3));
    let scaled = |biases: [f32; 2], loss| Scaled {
        biases: Tensor::vector(biases.to_vec()),
        loss,
        plain: 3.0,
        weights: Tensor::vector(vec![3.0]),
        examples: 7,
    };
    let parts = Parts::of(&scaled([0.25, -0.125], 4.0), 8.0).unwrap();
    assert_eq!((parts.scalars(), parts.vector()), (&[2.0, 3.0][..], &[8.0, -4.0, 3.0][..]));
    let back = Scaled::read(7, &mut Means::new(parts.scalars(), parts.vector(), 8.0)).unwrap();
    assert_eq!(back, scaled([0.25, -0.125], 4.0));
    // What is outside stays outside, for the protocol to clip and count; what is no number stays none.
    let parts = Parts::of(&scaled([f32::MAX, f32::NAN], f64::INFINITY), 8.0).unwrap();
    assert_eq!((parts.scalars()[0], parts.vector()[0]), (f64::INFINITY, f32::MAX));
    assert!(parts.vector()[1].is_nan());
    let mut sum = Scaled::layout();
    sum += Scaled::layout();
    assert_eq!(
        sum.to_string(),
        "4 scalars (0 within 16, 2 within 16), tensors [2] within 0.25 [1] [2] within 0.25 [1]"
    );
}

fn total(_: &mut Server, sum: Sum<Update>, _: &Context) -> Result<f64> {
    Ok(sum.total_weight() as f64)
}

#[test]
fn a_join_that_is_renamed_renames_its_protocols_steps() {
    let named = |name: &str| {
        let flow: Flow<Server, Site, f64, f64> = Flow::new("f", 1)
            .start(Server::start)
            .foreach(Site::score)
            .secure_join(Disclosing::default(), total)
            .named(name)
            .end();
        flow.check().unwrap();
        flow.describe().steps().iter().map(|step| step.name.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(
        named("mean"),
        [
            "start",
            "mean.greet",
            "mean.hello",
            "mean.greeted",
            "mean.settle",
            "score",
            "mean.disclose",
            "mean.add_up",
            "mean",
        ]
    );
}

#[test]
fn its_policies_are_checked_once() {
    let flow: Flow<Server, Site, f64, Update> = Flow::new("f", 1)
        .start(Server::start)
        .repeat(|round| {
            let fan = round.foreach(Site::score).quorum(0).deadline(Duration::ZERO);
            fan.secure_join(Disclosing::default(), Server::average)
        })
        .end();
    let problems = flow.check().unwrap_err().problems;
    assert!(matches!(&problems[..], [Problem::Quorum { .. }, Problem::Deadline { .. }]), "{problems:?}");
}

#[test]
fn a_checkpoint_with_several_messages_in_the_place_of_one_is_refused() {
    let flow: Flow<Server, Site, f64, f64> = Flow::new("f", 1)
        .start(Server::start)
        .foreach(Site::score)
        .secure_join(Disclosing::default(), total)
        .end();
    let [Block::Step(start), Block::Secure(secure)] = flow.graph().blocks() else { panic!("{flow:?}") };
    let message = |bytes: Vec<u8>| {
        let addressed = secure.address(start.output().decode(bytes.as_slice()).unwrap()).unwrap();
        let payloads: BTreeMap<Name, Payload> = match addressed {
            Addressed::All(one) => [("a".into(), Payload::Shared(one))].into(),
            Addressed::Only(names, one) => {
                names.into_iter().map(|name| (name, Payload::Shared(Arc::clone(&one)))).collect()
            }
            Addressed::Each(values) => {
                values.into_iter().map(|(name, value)| (name, Payload::Owned(value))).collect()
            }
        };
        secure.message(payloads).map(drop).map_err(|error| error.code())
    };
    assert_eq!(message(to_cbor(&Foreach::all(1.0)).unwrap()), Ok(()));
    assert_eq!(message(to_cbor(&Foreach::only(["a"], 1.0)).unwrap()), Ok(()));
    assert_eq!(message(to_cbor(&Foreach::each([("a", 1.0)])).unwrap()).unwrap_err(), "different-messages");
}
