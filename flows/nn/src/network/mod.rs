//! Networks that train on the CPU as fast as it multiplies.
//!
//! A [`Network`] computes in blocks of sixteen images that lie side by side in memory, so that every operation of every
//! layer is one vector operation on sixteen images, whatever the layer's sizes. Convolution, max-pooling and ReLU
//! are one pass, and nothing is allocated once the first batch went through.
//!
//! **Numbers.** Each sum is formed in an order that the shapes alone decide, by fused multiplications and additions, with
//! the images of a batch in their order; `exp` and `ln` are those of the `libm` package. The same inputs
//! give the same bits with any number of threads, on any processor.

mod block;
mod convolution;
mod crew;
mod kernels;
mod lanes;
mod linear;
mod stage;
#[cfg(test)]
mod tests;
mod weights;

use std::num::NonZeroUsize;
use std::ops::Range;

use self::block::Workspace;
use self::kernels::Peak;
use self::lanes::{Instructions, LANES};
use self::stage::{Compiled, Stage, compile};
use crate::{Error, Result, Sequential};

/// The images of a batch, where they lie.
pub trait Images: Sync {
    /// How many there are.
    fn len(&self) -> usize;

    /// The values of one, `[channels, height, width]` with the last dimension fastest.
    fn image(&self, number: usize) -> &[f32];

    /// Whether there is none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Images one after the other.
#[derive(Clone, Copy, Debug)]
pub struct Contiguous<'a> {
    values: &'a [f32],
    image: usize,
}

impl<'a> Contiguous<'a> {
    /// Images of so many values each.
    ///
    /// # Errors
    ///
    /// Unless `values` are whole images, of at least one value.
    pub fn new(values: &'a [f32], image: usize) -> Result<Self> {
        if image == 0 || !values.len().is_multiple_of(image) {
            let (operation, what) = ("Contiguous::new", "the number of values (whole images)");
            let expected = values.len() / image.max(1) * image;
            return Err(Error::Size { operation, what, expected, got: values.len() });
        }
        Ok(Self { values, image })
    }
}

impl Images for Contiguous<'_> {
    fn len(&self) -> usize {
        self.values.len() / self.image
    }

    fn image(&self, number: usize) -> &[f32] {
        &self.values[number * self.image..][..self.image]
    }
}

/// Makes the processor multiply and add in registers, and nothing else, for so many rounds: the most that a network can
/// hope for. Returns the number of operations.
pub fn multiply_and_add(rounds: usize) -> u64 {
    let (operations, value) = Instructions::detect().run(Peak { rounds });
    std::hint::black_box(value);
    operations
}

/// A network of `f32` on the CPU, with its parameters and the memory that it works in.
///
/// ```
/// use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
/// use veilflow_nn::{Contiguous, Conv2d, Layer, Linear, Network, Sequential, Sgd};
///
/// let mut rng = ChaCha8Rng::seed_from_u64(42);
/// let layers = Sequential::new(vec![
///     Layer::Conv2d(Conv2d::new(1, 4, 3, &mut rng)?),
///     Layer::MaxPool2d { size: 2 },
///     Layer::Relu,
///     Layer::Flatten,
///     Layer::Linear(Linear::new(4 * 3 * 3, 2, &mut rng)?),
///     Layer::LogSoftmax,
/// ]);
/// let mut network = Network::new([1, 8, 8], &layers)?;
/// let pixels: Vec<f32> = (0..20 * 64).map(|i| if i / 64 % 2 == 0 { 0.5 } else { (i % 8) as f32 / 8.0 }).collect();
/// let images = Contiguous::new(&pixels, 64)?;
/// let labels: Vec<u32> = (0..20).map(|i| i % 2).collect();
/// let mut sgd = Sgd::new(0.1, 0.5)?;
/// let before = network.loss_and_gradient(&images, &labels)?;
/// for _ in 0..20 {
///     network.loss_and_gradient(&images, &labels)?;
///     network.update(|parameters, gradient| sgd.step(parameters, gradient))?;
/// }
/// assert!(network.loss_and_gradient(&images, &labels)? < 0.5 * before);
/// # Ok::<(), veilflow_nn::Error>(())
/// ```
pub struct Network {
    input: usize,
    outputs: usize,
    log_softmax: bool,
    stages: Vec<Stage>,
    shapes: Vec<Vec<usize>>,
    parameters: Vec<f32>,
    gradient: Vec<f32>,
    /// Whether the parameters changed since they were packed.
    stale: bool,
    instructions: Instructions,
    /// One for each thread.
    workspaces: Vec<Workspace>,
}

impl Network {
    /// A network of these layers, with their parameters, for images of `[channels, height, width]`. It computes on the
    /// thread that calls it.
    ///
    /// # Errors
    ///
    /// If a layer does not fit the one before it, or a parameter is not `f32`.
    pub fn new(input: [usize; 3], layers: &Sequential) -> Result<Self> {
        Self::with_instructions(input, layers, Instructions::detect())
    }

    fn with_instructions(input: [usize; 3], layers: &Sequential, instructions: Instructions) -> Result<Self> {
        let Compiled { stages, shapes, log_softmax, outputs } =
            compile(input, layers.layers(), instructions)?;
        let mut parameters = Vec::new();
        for parameter in layers.parameters() {
            parameters.extend(parameter.flatten_all()?.to_vec1::<f32>()?);
        }
        let gradient = vec![0.0; parameters.len()];
        let input = input.iter().product();
        let workspaces = vec![Workspace::default()];
        Ok(Self {
            input,
            outputs,
            log_softmax,
            stages,
            shapes,
            parameters,
            gradient,
            stale: true,
            instructions,
            workspaces,
        })
    }

    /// Computes on so many threads, each with blocks of sixteen images, so that a batch keeps at most one for each sixteen
    /// busy. The results are the same for any number.
    pub fn set_threads(&mut self, threads: NonZeroUsize) {
        self.workspaces.resize_with(threads.get(), Workspace::default);
    }

    /// The number of threads that it computes on.
    pub fn threads(&self) -> usize {
        self.workspaces.len()
    }

    /// All parameters, layer by layer, weight before bias, each with its last dimension fastest.
    pub fn parameters(&self) -> &[f32] {
        &self.parameters
    }

    /// The shape of each parameter.
    pub fn shapes(&self) -> &[Vec<usize>] {
        &self.shapes
    }

    /// The gradient of the last batch's loss, one value for each of [`parameters`](Self::parameters).
    pub fn gradient(&self) -> &[f32] {
        &self.gradient
    }

    /// Sets all parameters.
    ///
    /// # Errors
    ///
    /// Unless there are as many. The network is unchanged then.
    pub fn set_parameters(&mut self, parameters: &[f32]) -> Result<()> {
        let (operation, what) = ("Network::set_parameters", "the number of parameters");
        let (expected, got) = (self.parameters.len(), parameters.len());
        if expected != got {
            return Err(Error::Size { operation, what, expected, got });
        }
        self.parameters.copy_from_slice(parameters);
        self.stale = true;
        Ok(())
    }

    /// Lets an optimizer change the parameters, by the gradient of the last batch.
    ///
    /// # Errors
    ///
    /// Those of `step`.
    pub fn update(&mut self, step: impl FnOnce(&mut [f32], &[f32]) -> Result<()>) -> Result<()> {
        self.stale = true;
        step(&mut self.parameters, &self.gradient)
    }

    /// The network's output for each image, appended to `outputs` image by image.
    ///
    /// # Errors
    ///
    /// If an image does not have as many values as the network's input.
    pub fn forward<I: Images + ?Sized>(&mut self, images: &I, outputs: &mut Vec<f32>) -> Result<()> {
        let values = self.outputs;
        self.each_block(
            images,
            |network, workspace, numbers| {
                workspace.forward(network, images, numbers, false);
                workspace.finish(network.log_softmax);
            },
            |workspace, count| outputs.extend_from_slice(&workspace.outputs()[..count * values]),
        )
    }

    /// The mean over the batch of minus the log-probability of each image's own class. Its gradient is in
    /// [`gradient`](Self::gradient) then.
    ///
    /// # Errors
    ///
    /// If the last layer is not log-softmax, an image does not have as many values as the network's input, there is
    /// not one target for each image and at least one, or a target is not a class.
    pub fn loss_and_gradient<I: Images + ?Sized>(&mut self, images: &I, targets: &[u32]) -> Result<f32> {
        const OPERATION: &str = "Network::loss_and_gradient";
        if !self.log_softmax {
            return Err(Error::Layers { problem: "the loss needs log-softmax as the last layer" });
        }
        if images.is_empty() {
            return Err(Error::Empty { operation: OPERATION, argument: "images" });
        }
        if targets.len() != images.len() {
            let (what, expected) = ("the number of targets (the images)", images.len());
            return Err(Error::Size { operation: OPERATION, what, expected, got: targets.len() });
        }
        let classes = self.outputs;
        if let Some(example) = targets.iter().position(|target| *target as usize >= classes) {
            return Err(Error::Target { example, target: targets[example], classes });
        }
        let mut gradient = std::mem::take(&mut self.gradient);
        gradient.fill(0.0);
        let (mut loss, share) = (0.0, 1.0 / images.len() as f32);
        let result = self.each_block(
            images,
            |network, workspace, numbers| {
                workspace.forward(network, images, numbers.clone(), true);
                workspace.backward(network, &targets[numbers], share);
            },
            |workspace, _| {
                loss += workspace.loss();
                for (sum, block) in gradient.iter_mut().zip(workspace.gradient()) {
                    *sum += *block;
                }
            },
        );
        self.gradient = gradient;
        result.map(|()| (loss / images.len() as f64) as f32)
    }

    /// Runs `work` on every block, in parallel where there are several workspaces, and `collect` on what each left, in
    /// the order of the blocks.
    fn each_block<I: Images + ?Sized>(
        &mut self,
        images: &I,
        work: impl Fn(&Self, &mut Workspace, Range<usize>) + Copy + Send + Sync,
        mut collect: impl FnMut(&Workspace, usize),
    ) -> Result<()> {
        let total = images.len();
        if let Some(got) = (0..total).map(|number| images.image(number).len()).find(|got| *got != self.input)
        {
            let (operation, what) = ("Network", "the number of an image's values");
            return Err(Error::Size { operation, what, expected: self.input, got });
        }
        if std::mem::take(&mut self.stale) {
            let parameters = &self.parameters;
            self.stages.iter_mut().for_each(|stage| stage.pack(parameters));
        }
        let mut workspaces = std::mem::take(&mut self.workspaces);
        let network = &*self;
        let images = |block: usize| block * LANES..total.min((block + 1) * LANES);
        crew::in_order(
            &mut workspaces,
            total.div_ceil(LANES),
            |workspace, block| work(network, workspace, images(block)),
            |workspace, block| collect(workspace, images(block).len()),
        );
        self.workspaces = workspaces;
        Ok(())
    }
}
