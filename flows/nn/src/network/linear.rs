//! A fully connected layer, with the ReLU that may follow.

use super::kernels::{Correlate, Finish, Gate, LinearGradient, Packed, Spread, Window};
use super::lanes::{Instructions, LANES, Lanes};
use super::stage::Backward;
use super::weights::Weights;

/// The sizes of a fully connected layer, and where its parameters are. It is a convolution of images of one pixel.
#[derive(Debug)]
pub(super) struct Linear {
    pub(super) inputs: usize,
    pub(super) outputs: usize,
    pub(super) relu: bool,
    pub(super) weights: Weights,
}

/// Room for a block's backward pass.
#[derive(Default)]
pub(super) struct Scratch {
    gated: Vec<Lanes>,
    inputs: Vec<f32>,
    gradients: Vec<f32>,
}

impl Linear {
    /// Puts the parameters in the order in which the kernels read them.
    pub(super) fn pack(&mut self, parameters: &[f32]) {
        let inputs = self.inputs;
        let place = |output, input| output * inputs + input;
        self.weights.pack(parameters, place, |input, output| place(output, input));
    }

    pub(super) fn forward(&self, instructions: Instructions, input: &[Lanes], output: &mut [Lanes]) {
        let finish = if self.relu { Finish::Relu } else { Finish::Keep };
        instructions.run(product(&self.weights.forward, self.inputs, input, output, finish));
    }

    /// Adds the gradients of the parameters, and writes that of the input where it is asked for.
    pub(super) fn backward(&self, pass: Backward<'_>, scratch: &mut Scratch) {
        let Backward { instructions, input, output, output_gradient, input_gradient, parameter_gradients } =
            pass;
        scratch.gated.resize(self.outputs, Lanes::ZERO);
        instructions.run(Spread {
            gradient: output_gradient,
            gate: if self.relu { Gate::Positive(output) } else { Gate::Open },
            planes: self.outputs,
            height: 1,
            width: 1,
            target: &mut scratch.gated,
            target_plane: 1,
            target_width: 1,
            first: 0,
            stride: 1,
            sums: &mut parameter_gradients[self.weights.bias.clone()],
        });
        one_after_the_other(input, &mut scratch.inputs);
        one_after_the_other(&scratch.gated, &mut scratch.gradients);
        instructions.run(LinearGradient {
            inputs: &scratch.inputs,
            gradients: &scratch.gradients,
            weights: &mut parameter_gradients[self.weights.weight.clone()],
        });
        if let (Some(input_gradient), Some(weights)) = (input_gradient, &self.weights.backward) {
            let (gated, keep) = (&scratch.gated, Finish::Keep);
            instructions.run(product(weights, self.outputs, gated, input_gradient, keep));
        }
    }
}

fn product<'a>(
    weights: &'a Packed,
    inputs: usize,
    input: &'a [Lanes],
    output: &'a mut [Lanes],
    finish: Finish<'a>,
) -> Correlate<'a> {
    let window = Window { channels: inputs, kernel: 1, plane: 1, width: 1 };
    let (image, stride, first) = (input, 1, 0);
    Correlate { image, window, weights, stride, first, output, height: 1, width: 1, content: None, finish }
}

/// From images side by side to `[image][value]`.
pub(super) fn one_after_the_other(lanes: &[Lanes], values: &mut Vec<f32>) {
    values.resize(lanes.len() * LANES, 0.0);
    for (image, values) in values.chunks_exact_mut(lanes.len().max(1)).enumerate() {
        for (value, lanes) in values.iter_mut().zip(lanes) {
            *value = lanes.0[image];
        }
    }
}
