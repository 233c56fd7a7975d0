//! A layer never leaves the thread that called it. The only test of its binary: it counts the process's threads.
#![cfg(target_os = "linux")]

use candle_core::{Device, Tensor};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use veilflow_nn::{Conv2d, Linear, Mode, Sgd, log_softmax, max_pool2d, nll_loss, relu};

fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").unwrap().count()
}

#[test]
fn training_starts_no_thread() {
    let before = threads();
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    // Large enough that candle's own products and convolutions would fan out.
    let conv = Conv2d::new(8, 32, 5, &mut rng).unwrap();
    let fc = Linear::new(32 * 20 * 20, 10, &mut rng).unwrap();
    let parameters = [conv.weight(), conv.bias(), fc.weight(), fc.bias()].map(Clone::clone);
    let images = Tensor::full(0.5_f32, (32, 8, 44, 44), &Device::Cpu).unwrap();
    let mut sgd = Sgd::new(0.01, 0.5).unwrap();
    for _ in 0..2 {
        let x = relu(&max_pool2d(&conv.forward(&images, Mode::Train).unwrap(), 2).unwrap()).unwrap();
        let x = fc.forward(&x.flatten_from(1).unwrap(), Mode::Train).unwrap();
        let loss = nll_loss(&log_softmax(&x).unwrap(), &[3; 32]).unwrap();
        sgd.step(&parameters, &loss.backward().unwrap()).unwrap();
    }
    assert_eq!(threads(), before);
}
