//! What can go wrong in a layer.

use candle_core::DType;

/// The result of a layer.
pub type Result<T> = std::result::Result<T, Error>;

/// What can go wrong in a layer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An argument has the wrong number of dimensions.
    #[error("{operation}: {argument} must have {expected} dimensions, got the shape {got:?}")]
    Rank {
        /// The operation that was called.
        operation: &'static str,
        /// The argument, by its name in the signature.
        argument: &'static str,
        /// The number of dimensions that it must have.
        expected: usize,
        /// The shape that it has.
        got: Vec<usize>,
    },
    /// Two sizes that must agree do not.
    #[error("{operation}: {what} must be {expected}, got {got}")]
    Size {
        /// The operation that was called.
        operation: &'static str,
        /// The size in question.
        what: &'static str,
        /// What it must be.
        expected: usize,
        /// What it is.
        got: usize,
    },
    /// The image is smaller than the kernel or window that slides over it.
    #[error("{operation}: a {window}×{window} window does not fit in an image of {height}×{width}")]
    Window {
        /// The operation that was called.
        operation: &'static str,
        /// Side of the kernel or window, in pixels.
        window: usize,
        /// Height of the image, in pixels.
        height: usize,
        /// Width of the image, in pixels.
        width: usize,
    },
    /// An argument has no elements.
    #[error("{operation}: {argument} is empty")]
    Empty {
        /// The operation that was called.
        operation: &'static str,
        /// The argument, by its name in the signature.
        argument: &'static str,
    },
    /// A class label lies outside of the classes that the model knows.
    #[error("the target of example {example} is class {target}, but the model has classes 0 to {}", classes - 1)]
    Target {
        /// Position of the example in the batch.
        example: usize,
        /// Its label.
        target: u32,
        /// The number of classes.
        classes: usize,
    },
    /// The tensors are of a type that the layers do not compute in, or of two different ones.
    #[error("{operation}: the tensors must all be f32 or all be f64, got {got:?}")]
    ElementType {
        /// The operation that was called.
        operation: &'static str,
        /// The element types of its arguments.
        got: Vec<DType>,
    },
    /// A hyperparameter is out of its range.
    #[error("{name} must be {expected}, got {got}")]
    Hyperparameter {
        /// The hyperparameter.
        name: &'static str,
        /// Its range, in words.
        expected: &'static str,
        /// Its value.
        got: f64,
    },
    /// A gradient or velocity does not have the shape of its parameter.
    #[error("{operation}: parameter {number} has the shape {expected:?}, its gradient or velocity {got:?}")]
    Shape {
        /// The operation that was called.
        operation: &'static str,
        /// Position of the parameter in the list.
        number: usize,
        /// The shape of the parameter.
        expected: Vec<usize>,
        /// The other shape.
        got: Vec<usize>,
    },
    /// Layers that do not make a network.
    #[error("these layers do not make a network: {problem}")]
    Layers {
        /// What is wrong.
        problem: &'static str,
    },
    /// The program cannot compute on this device, since it was built without it.
    #[error(
        "{device}: this program was built without {backend}; build it with `cargo build --release --features {feature}`, \
         which needs {needs}"
    )]
    NotBuilt {
        /// The device.
        device: String,
        /// What drives it.
        backend: &'static str,
        /// The feature of the build.
        feature: &'static str,
        /// What the build needs.
        needs: &'static str,
    },
    /// A device that is not there, or does not answer.
    #[error("{device} cannot be opened: {source}")]
    Device {
        /// The device.
        device: String,
        /// What candle reported.
        source: candle_core::Error,
    },
    /// candle reported an error.
    #[error("candle: {0}")]
    Candle(#[from] candle_core::Error),
}
