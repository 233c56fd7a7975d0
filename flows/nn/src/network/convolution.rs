//! A convolution with what follows it: 2×2 max-pooling and ReLU in one pass over its sums.

use super::kernels::{Correlate, Finish, Gate, Spread, WeightGradient, Window};
use super::lanes::{Instructions, Lanes};
use super::stage::Backward;
use super::weights::Weights;

/// The sizes of a convolution, and where its parameters are.
#[derive(Debug)]
pub(super) struct Convolution {
    pub(super) channels: usize,
    pub(super) height: usize,
    pub(super) width: usize,
    pub(super) outputs: usize,
    pub(super) kernel: usize,
    pub(super) stride: usize,
    pub(super) padding: usize,
    /// Whether 2×2 max-pooling follows.
    pub(super) pool: bool,
    pub(super) relu: bool,
    pub(super) weights: Weights,
}

/// What a block's forward pass leaves for its backward pass, and room for both.
#[derive(Default)]
pub(super) struct Scratch {
    /// The input with zeros around it, if it is padded.
    padded: Vec<Lanes>,
    winners: Vec<Lanes>,
    /// The gradient of the sums, with room around it.
    spread: Vec<Lanes>,
}

impl Convolution {
    fn padded_height(&self) -> usize {
        self.height + 2 * self.padding
    }

    fn padded_width(&self) -> usize {
        self.width + 2 * self.padding
    }

    /// Rows of the sums.
    pub(super) fn sums_height(&self) -> usize {
        (self.padded_height() - self.kernel) / self.stride + 1
    }

    /// Columns of the sums.
    pub(super) fn sums_width(&self) -> usize {
        (self.padded_width() - self.kernel) / self.stride + 1
    }

    /// `[channels, height, width]` of what comes out.
    pub(super) fn output(&self) -> [usize; 3] {
        let side = |sums: usize| if self.pool { sums / 2 } else { sums };
        [self.outputs, side(self.sums_height()), side(self.sums_width())]
    }

    fn window(&self) -> Window {
        let (plane, width) = (self.padded_height() * self.padded_width(), self.padded_width());
        Window { channels: self.channels, kernel: self.kernel, plane, width }
    }

    /// Puts the parameters in the order in which the kernels read them.
    pub(super) fn pack(&mut self, parameters: &[f32]) {
        let per_channel = self.kernel * self.kernel;
        let taps = self.channels * per_channel;
        // Mirrored, and with the roles of input and output exchanged.
        let backward = |channel, tap| {
            let (output, mirrored) = (tap / per_channel, per_channel - 1 - tap % per_channel);
            output * taps + channel * per_channel + mirrored
        };
        self.weights.pack(parameters, |output, tap| output * taps + tap, backward);
    }

    /// `train` keeps what the backward pass needs.
    pub(super) fn forward(
        &self,
        instructions: Instructions,
        input: &[Lanes],
        output: &mut [Lanes],
        scratch: &mut Scratch,
        train: bool,
    ) {
        let image = if self.padding == 0 { input } else { self.pad(input, &mut scratch.padded) };
        let finish = match (self.pool, self.relu) {
            (true, relu) => {
                if train {
                    scratch.winners.resize(output.len(), Lanes::ZERO);
                }
                Finish::Pool { relu, winners: train.then_some(&mut scratch.winners[..]) }
            }
            (false, true) => Finish::Relu,
            (false, false) => Finish::Keep,
        };
        instructions.run(Correlate {
            image,
            window: self.window(),
            weights: &self.weights.forward,
            stride: self.stride,
            first: 0,
            output,
            height: self.sums_height(),
            width: self.sums_width(),
            content: None,
            finish,
        });
    }

    fn pad<'a>(&self, input: &[Lanes], padded: &'a mut Vec<Lanes>) -> &'a [Lanes] {
        let (height, width) = (self.padded_height(), self.padded_width());
        // The border stays zero from the first pass on.
        padded.resize(self.channels * height * width, Lanes::ZERO);
        for (number, row) in input.chunks_exact(self.width).enumerate() {
            let (channel, row_number) = (number / self.height, number % self.height);
            let start = (channel * height + row_number + self.padding) * width + self.padding;
            padded[start..start + self.width].copy_from_slice(row);
        }
        padded
    }

    /// Adds the gradients of the parameters, and writes that of the input where it is asked for.
    pub(super) fn backward(&self, pass: Backward<'_>, scratch: &mut Scratch) {
        let Backward { instructions, input, output, output_gradient, input_gradient, parameter_gradients } =
            pass;
        let (height, width) = (self.sums_height(), self.sums_width());
        // With so much room around it that the mirrored kernel never leaves it, where the input's gradient is wanted; a
        // stride leaves zeros between.
        let (margin, stride, spread_height, spread_width) = match input_gradient {
            None => (0, 1, height, width),
            Some(_) => {
                let margin = self.kernel - 1;
                (margin, self.stride, self.padded_height() + margin, self.padded_width() + margin)
            }
        };
        let first = margin * spread_width + margin;
        scratch.spread.resize(self.outputs * spread_height * spread_width, Lanes::ZERO);
        let gate = match (self.pool, self.relu) {
            (true, _) => Gate::Winner { winners: &scratch.winners, size: 2 },
            (false, true) => Gate::Positive(output),
            (false, false) => Gate::Open,
        };
        let [planes, output_height, output_width] = self.output();
        instructions.run(Spread {
            gradient: output_gradient,
            gate,
            planes,
            height: output_height,
            width: output_width,
            target: &mut scratch.spread,
            target_plane: spread_height * spread_width,
            target_width: spread_width,
            first,
            stride,
            sums: &mut parameter_gradients[self.weights.bias.clone()],
        });
        let image = if self.padding == 0 { input } else { &scratch.padded[..] };
        instructions.run(WeightGradient {
            image,
            window: self.window(),
            stride: self.stride,
            gradient: &scratch.spread,
            plane: spread_height * spread_width,
            row: spread_width,
            step: stride,
            first,
            height,
            width,
            outputs: self.outputs,
            weights: &mut parameter_gradients[self.weights.weight.clone()],
        });
        let (Some(input_gradient), Some(weights)) = (input_gradient, &self.weights.backward) else { return };
        // Where gradients lie, counted from the first pixel of the image without its border.
        let content = |sums: usize| {
            let end = margin + (sums - 1) * stride + 1;
            margin.saturating_sub(self.padding)..end.saturating_sub(self.padding)
        };
        instructions.run(Correlate {
            image: &scratch.spread,
            window: Window {
                channels: self.outputs,
                kernel: self.kernel,
                plane: spread_height * spread_width,
                width: spread_width,
            },
            weights,
            stride: 1,
            first: self.padding * spread_width + self.padding,
            output: input_gradient,
            height: self.height,
            width: self.width,
            content: Some((content(height), content(width))),
            finish: Finish::Keep,
        });
    }
}
