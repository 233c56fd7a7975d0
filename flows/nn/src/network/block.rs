//! One block of images on its way through a network and back.

use std::ops::Range;

use super::lanes::{LANES, Lanes};
use super::linear::one_after_the_other;
use super::stage::{Backward, Scratch};
use super::{Images, Network};

/// The memory of one block's passes. It grows in the first of each and is used again in all others.
#[derive(Default)]
pub(super) struct Workspace {
    /// The input, then what comes out of each stage.
    activations: Vec<Vec<Lanes>>,
    /// Of each activation.
    gradients: Vec<Vec<Lanes>>,
    scratch: Vec<Scratch>,
    /// Of the parameters, by this block.
    gradient: Vec<f32>,
    loss: f64,
    outputs: Vec<f32>,
}

impl Workspace {
    /// Takes the images with these numbers through all stages; `train` keeps what the way back needs.
    pub(super) fn forward<I: Images + ?Sized>(
        &mut self,
        network: &Network,
        images: &I,
        numbers: Range<usize>,
        train: bool,
    ) {
        let stages = &network.stages;
        self.activations.resize_with(stages.len() + 1, Vec::new);
        self.scratch.resize_with(stages.len(), Scratch::default);
        let lens = std::iter::once(network.input).chain(stages.iter().map(|stage| stage.output_len()));
        for (activation, len) in self.activations.iter_mut().zip(lens) {
            activation.resize(len, Lanes::ZERO);
        }
        if let Some(input) = self.activations.first_mut() {
            side_by_side(images, numbers, input);
        }
        for ((number, stage), scratch) in stages.iter().enumerate().zip(&mut self.scratch) {
            let (before, after) = self.activations.split_at_mut(number + 1);
            stage.forward(network.instructions, &before[number], &mut after[0], scratch, train);
        }
    }

    /// Puts the outputs one image after the other.
    pub(super) fn finish(&mut self, as_log_softmax: bool) {
        let Some(scores) = self.activations.last_mut() else { return };
        if as_log_softmax {
            log_softmax(scores);
        }
        one_after_the_other(scores, &mut self.outputs);
    }

    /// The outputs of the last forward pass, image by image.
    pub(super) fn outputs(&self) -> &[f32] {
        &self.outputs
    }

    /// The loss and the gradient of the parameters for images with these targets. `share` is what each counts in the
    /// mean over the batch.
    pub(super) fn backward(&mut self, network: &Network, targets: &[u32], share: f32) {
        self.gradient.resize(network.parameters.len(), 0.0);
        self.gradient.fill(0.0);
        self.gradients.resize_with(self.activations.len(), Vec::new);
        for (gradient, activation) in self.gradients.iter_mut().zip(&self.activations).skip(1) {
            gradient.resize(activation.len(), Lanes::ZERO);
        }
        let (Some(scores), Some(gradient)) = (self.activations.last_mut(), self.gradients.last_mut()) else {
            return;
        };
        log_softmax(scores);
        self.loss = negative_log_likelihood(scores, targets, share, gradient);
        let first = network.stages.iter().position(|stage| stage.has_parameters());
        for (number, stage) in network.stages.iter().enumerate().rev() {
            // Below the first stage with parameters nobody uses a gradient.
            let Some(first) = first.filter(|first| number >= *first) else { break };
            let (before, after) = self.gradients.split_at_mut(number + 1);
            let pass = Backward {
                instructions: network.instructions,
                input: &self.activations[number],
                output: &self.activations[number + 1],
                output_gradient: &after[0],
                input_gradient: (number > first).then_some(&mut before[number][..]),
                parameter_gradients: &mut self.gradient,
            };
            stage.backward(pass, &mut self.scratch[number]);
        }
    }

    /// The sum over the images of the last backward pass.
    pub(super) fn loss(&self) -> f64 {
        self.loss
    }

    /// Of the parameters, by the last backward pass.
    pub(super) fn gradient(&self) -> &[f32] {
        &self.gradient
    }
}

/// Puts images into lanes; those that are left over hold zeros.
fn side_by_side<I: Images + ?Sized>(images: &I, numbers: Range<usize>, input: &mut [Lanes]) {
    if numbers.len() < LANES {
        input.fill(Lanes::ZERO);
    }
    for (lane, number) in numbers.enumerate() {
        for (pixel, value) in input.iter_mut().zip(images.image(number)) {
            pixel.0[lane] = *value;
        }
    }
}

/// The logarithm of the softmax over the classes, image by image. The largest score is subtracted first, so that large
/// ones do not overflow.
fn log_softmax(scores: &mut [Lanes]) {
    for lane in 0..LANES {
        let largest = scores.iter().fold(f32::NEG_INFINITY, |largest, score| {
            // What is not a number stays.
            if score.0[lane] <= largest { largest } else { score.0[lane] }
        });
        let sum = scores.iter().fold(0.0, |sum, score| sum + libm::expf(score.0[lane] - largest));
        let log_sum = libm::logf(sum);
        scores.iter_mut().for_each(|score| score.0[lane] = score.0[lane] - largest - log_sum);
    }
}

/// Minus the log-probability of each image's own class, in sum, and the gradient of the scores before log-softmax.
fn negative_log_likelihood(
    log_probabilities: &[Lanes],
    targets: &[u32],
    share: f32,
    gradient: &mut [Lanes],
) -> f64 {
    // Lanes without an image have no part in anything.
    gradient.fill(Lanes::ZERO);
    let mut loss = 0.0;
    for (lane, target) in targets.iter().enumerate() {
        for (class, (gradient, value)) in gradient.iter_mut().zip(log_probabilities).enumerate() {
            let is_target = class == *target as usize;
            let probability = libm::expf(value.0[lane]);
            gradient.0[lane] = share * if is_target { probability - 1.0 } else { probability };
            if is_target {
                loss -= f64::from(value.0[lane]);
            }
        }
    }
    loss
}
