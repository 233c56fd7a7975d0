//! A network never leaves the thread that called it. The only test of its binary: it counts the process's threads.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test ends at the first error")]

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use veilflow_nn::{Contiguous, Conv2d, Layer, Linear, Network, Sequential, Sgd};

fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").unwrap().count()
}

#[test]
fn training_starts_no_thread() {
    let before = threads();
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    // Activations, gradients and parameters are all above candle's threshold of 65,536 elements.
    let network = Sequential::new(vec![
        Layer::Conv2d(Conv2d::new(8, 32, 5, &mut rng).unwrap()),
        Layer::MaxPool2d { size: 2 },
        Layer::Relu,
        Layer::Flatten,
        Layer::Linear(Linear::new(32 * 20 * 20, 10, &mut rng).unwrap()),
        Layer::LogSoftmax,
    ]);
    let mut network = Network::new([8, 44, 44], &network).unwrap();
    let pixels = vec![0.5; 32 * 8 * 44 * 44];
    let images = Contiguous::new(&pixels, 8 * 44 * 44).unwrap();
    let mut sgd = Sgd::new(0.01, 0.5).unwrap();
    for _ in 0..2 {
        network.loss_and_gradient(&images, &[3; 32]).unwrap();
        network.update(|parameters, gradient| sgd.step(parameters, gradient)).unwrap();
    }
    assert_eq!(threads(), before);
}
