//! The stages of a network: its layers, put together where one pass over the data does for several.

use super::convolution::{self, Convolution};
use super::kernels::{Gate, MaxPool, Packed, Rectify, Spread};
use super::lanes::{Instructions, Lanes};
use super::linear::{self, Linear};
use super::weights::Weights;
use crate::convolution::padded;
use crate::{Error, Layer, Result};

/// One pass over an activation.
#[derive(Debug)]
pub(super) enum Stage {
    Convolution(Box<Convolution>),
    Linear(Box<Linear>),
    MaxPool { planes: usize, height: usize, width: usize, size: usize },
    Relu { len: usize },
}

/// What a block's forward pass leaves for the backward pass of a stage, and room for both.
#[derive(Default)]
pub(super) struct Scratch {
    convolution: convolution::Scratch,
    linear: linear::Scratch,
    winners: Vec<Lanes>,
}

/// What the way back of a block through one stage reads, and what it writes.
pub(super) struct Backward<'a> {
    pub(super) instructions: Instructions,
    /// What the stage read on the way there.
    pub(super) input: &'a [Lanes],
    /// What it wrote.
    pub(super) output: &'a [Lanes],
    pub(super) output_gradient: &'a [Lanes],
    /// Where somebody needs it.
    pub(super) input_gradient: Option<&'a mut [Lanes]>,
    /// Of all parameters of the network: the block's are added.
    pub(super) parameter_gradients: &'a mut [f32],
}

/// The stages, the shapes of their parameters, and whether log-softmax comes last.
pub(super) struct Compiled {
    pub(super) stages: Vec<Stage>,
    pub(super) shapes: Vec<Vec<usize>>,
    pub(super) log_softmax: bool,
    pub(super) outputs: usize,
}

/// Puts layers together, and checks that each fits the one before it.
pub(super) fn compile(input: [usize; 3], layers: &[Layer], instructions: Instructions) -> Result<Compiled> {
    if input.contains(&0) {
        return Err(Error::Empty { operation: "Network::new", argument: "input" });
    }
    let mut shape = input.to_vec();
    let (mut stages, mut shapes, mut parameters) = (Vec::new(), Vec::new(), 0);
    let mut log_softmax = false;
    let mut rest = layers.iter().peekable();
    while let Some(layer) = rest.next() {
        // Below the first layer with parameters nobody uses a gradient.
        let is_first = shapes.is_empty();
        let mut take = |shape: &[usize]| {
            let first = parameters;
            parameters += shape.iter().product::<usize>();
            shapes.push(shape.to_vec());
            first..parameters
        };
        if log_softmax {
            return Err(Error::Layers { problem: "log-softmax is not the last layer" });
        }
        match layer {
            Layer::Conv2d(layer) => {
                let &[channels, height, width] = &shape[..] else { return Err(rank("Conv2d", 3, &shape)) };
                let &[outputs, expected, kernel, _] = layer.weight().dims() else {
                    return Err(rank("Conv2d", 4, layer.weight().dims()));
                };
                let (stride, padding) = (layer.stride(), layer.padding());
                if channels != expected {
                    return Err(size("Conv2d", "the number of channels", expected, channels));
                }
                let padded_height = padded("Conv2d", height, padding)?;
                let padded_width = padded("Conv2d", width, padding)?;
                if kernel > padded_height || kernel > padded_width {
                    let (height, width) = (padded_height, padded_width);
                    return Err(Error::Window { operation: "Conv2d", window: kernel, height, width });
                }
                let taps = channels * kernel * kernel;
                let mut convolution = Convolution {
                    channels,
                    height,
                    width,
                    outputs,
                    kernel,
                    stride,
                    padding,
                    pool: false,
                    relu: false,
                    weights: Weights {
                        weight: take(layer.weight().dims()),
                        bias: layer.bias().map_or(0..0, |bias| take(bias.dims())),
                        forward: Packed::new(outputs, taps, true, instructions),
                        backward: (!is_first)
                            .then(|| Packed::new(channels, outputs * kernel * kernel, true, instructions)),
                    },
                };
                let fits = convolution.sums_height() >= 2 && convolution.sums_width() >= 2;
                // ReLU and maximum can change places.
                loop {
                    match rest.peek() {
                        Some(Layer::Relu) if !convolution.relu => convolution.relu = true,
                        Some(Layer::MaxPool2d { size: 2 }) if !convolution.pool && fits => {
                            convolution.pool = true;
                        }
                        _ => break,
                    }
                    rest.next();
                }
                shape = convolution.output().to_vec();
                stages.push(Stage::Convolution(Box::new(convolution)));
            }
            Layer::Linear(layer) => {
                let &[inputs] = &shape[..] else { return Err(rank("Linear", 1, &shape)) };
                let &[outputs, expected] = layer.weight().dims() else {
                    return Err(rank("Linear", 2, layer.weight().dims()));
                };
                if inputs != expected {
                    return Err(size("Linear", "the number of inputs", expected, inputs));
                }
                let relu = rest.next_if(|layer| matches!(layer, Layer::Relu)).is_some();
                stages.push(Stage::Linear(Box::new(Linear {
                    inputs,
                    outputs,
                    relu,
                    weights: Weights {
                        weight: take(layer.weight().dims()),
                        bias: take(layer.bias().dims()),
                        forward: Packed::new(outputs, inputs, false, instructions),
                        backward: (!is_first).then(|| Packed::new(inputs, outputs, false, instructions)),
                    },
                })));
                shape = vec![outputs];
            }
            Layer::MaxPool2d { size } => {
                let &[planes, height, width] = &shape[..] else { return Err(rank("MaxPool2d", 3, &shape)) };
                if *size == 0 {
                    return Err(Error::Empty { operation: "MaxPool2d", argument: "size" });
                }
                if *size > height || *size > width {
                    return Err(Error::Window { operation: "MaxPool2d", window: *size, height, width });
                }
                stages.push(Stage::MaxPool { planes, height, width, size: *size });
                shape = vec![planes, height / size, width / size];
            }
            Layer::Relu => stages.push(Stage::Relu { len: shape.iter().product() }),
            // Values lie in the same order either way.
            Layer::Flatten => shape = vec![shape.iter().product()],
            Layer::AveragePool | Layer::GroupNorm(_) | Layer::Residual { .. } => {
                return Err(Error::Layers { problem: "a Network has no such layer, a DeviceNetwork has" });
            }
            Layer::LogSoftmax => {
                if shape.len() != 1 {
                    return Err(rank("LogSoftmax", 1, &shape));
                }
                log_softmax = true;
            }
        }
    }
    let outputs = shape.iter().product();
    Ok(Compiled { stages, shapes, log_softmax, outputs })
}

fn rank(operation: &'static str, expected: usize, got: &[usize]) -> Error {
    Error::Rank { operation, argument: "input", expected, got: got.to_vec() }
}

fn size(operation: &'static str, what: &'static str, expected: usize, got: usize) -> Error {
    Error::Size { operation, what, expected, got }
}

impl Stage {
    /// Values of one image that come out.
    pub(super) fn output_len(&self) -> usize {
        match self {
            Self::Convolution(convolution) => convolution.output().iter().product(),
            Self::Linear(linear) => linear.outputs,
            Self::MaxPool { planes, height, width, size } => planes * (height / size) * (width / size),
            Self::Relu { len } => *len,
        }
    }

    /// Whether there is something to learn in it.
    pub(super) fn has_parameters(&self) -> bool {
        matches!(self, Self::Convolution(_) | Self::Linear(_))
    }

    /// Takes over changed parameters.
    pub(super) fn pack(&mut self, parameters: &[f32]) {
        match self {
            Self::Convolution(convolution) => convolution.pack(parameters),
            Self::Linear(linear) => linear.pack(parameters),
            Self::MaxPool { .. } | Self::Relu { .. } => {}
        }
    }

    /// One block; `train` keeps what the backward pass needs.
    pub(super) fn forward(
        &self,
        instructions: Instructions,
        input: &[Lanes],
        output: &mut [Lanes],
        scratch: &mut Scratch,
        train: bool,
    ) {
        match self {
            Self::Convolution(stage) => {
                stage.forward(instructions, input, output, &mut scratch.convolution, train);
            }
            Self::Linear(stage) => stage.forward(instructions, input, output),
            Self::MaxPool { planes, height, width, size } => {
                scratch.winners.resize(output.len(), Lanes::ZERO);
                instructions.run(MaxPool {
                    input,
                    planes: *planes,
                    height: *height,
                    width: *width,
                    size: *size,
                    output,
                    winners: &mut scratch.winners,
                });
            }
            Self::Relu { .. } => instructions.run(Rectify { input, output }),
        }
    }

    /// The way back of one block.
    pub(super) fn backward(&self, pass: Backward<'_>, scratch: &mut Scratch) {
        let (len, width) = (pass.output.len(), pass.input.len());
        let (gate, planes, height, columns, plane, row) = match self {
            Self::Convolution(stage) => return stage.backward(pass, &mut scratch.convolution),
            Self::Linear(stage) => return stage.backward(pass, &mut scratch.linear),
            Self::MaxPool { planes, height, width, size } => {
                let gate = Gate::Winner { winners: &scratch.winners, size: *size };
                (gate, *planes, height / size, width / size, height * width, *width)
            }
            Self::Relu { .. } => (Gate::Positive(pass.output), 1, 1, len, width, width),
        };
        let Some(target) = pass.input_gradient else { return };
        // What no window covers has no gradient.
        target.fill(Lanes::ZERO);
        pass.instructions.run(Spread {
            gradient: pass.output_gradient,
            gate,
            planes,
            height,
            width: columns,
            target,
            target_plane: plane,
            target_width: row,
            first: 0,
            stride: 1,
            sums: &mut [],
        });
    }
}
