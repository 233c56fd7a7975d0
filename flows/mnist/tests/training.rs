//! Training on a part of the shipped sample.
#![expect(clippy::unwrap_used, reason = "a test ends at the first error")]

use std::ops::ControlFlow;
use std::thread;

use sha2::{Digest, Sha256};
use veilflow_mnist::{Cnn, Error, MnistData, Progress, Sgd, evaluate, train_epoch};

fn go_on(_: Progress) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

/// One epoch as in the tutorial: the loss, the accuracy after it, the model.
fn epoch(data: &MnistData) -> (f64, f64, Vec<u32>) {
    let mut model = Cnn::new(42).unwrap();
    let mut sgd = Sgd::new(0.01, 0.5).unwrap();
    let loss = train_epoch(&mut model, &mut sgd, &data.train, 32, &mut go_on).unwrap();
    let accuracy = evaluate(&mut model, &data.test, 32, &mut go_on).unwrap();
    (loss, accuracy, model.to_flat().unwrap().iter().map(|value| value.to_bits()).collect())
}

#[test]
fn one_epoch_learns_and_is_the_same_every_time() {
    let data = MnistData::sample().unwrap().limited(Some(4_000), Some(1_000)).unwrap();
    let untrained = evaluate(&mut Cnn::new(42).unwrap(), &data.test, 32, &mut go_on).unwrap();
    assert!(untrained < 0.25, "{untrained}");
    let once = epoch(&data);
    assert!(once.0 > 0.5 && once.0 < 2.3, "mean loss {}", once.0);
    assert!(once.1 > 0.65, "accuracy {}", once.1);
    let at_once: Vec<_> = thread::scope(|scope| {
        let threads = [0, 1].map(|_| scope.spawn(|| epoch(&data)));
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(at_once.iter().all(|result| *result == once));
}

#[test]
fn a_seed_gives_the_same_model_on_every_machine() {
    let digest = |model: &Cnn| -> String {
        let bytes: Vec<u8> = model.to_flat().unwrap().iter().flat_map(|value| value.to_le_bytes()).collect();
        Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
    };
    let mut model = Cnn::new(42).unwrap();
    assert_eq!(digest(&model), "9fe331e4f09f235c1a21094c418167874f27dd44225d0f30c8de3c538824ed38");
    let train = MnistData::sample().unwrap().train.limit(330).unwrap();
    train_epoch(&mut model, &mut Sgd::new(0.01, 0.5).unwrap(), &train, 32, &mut go_on).unwrap();
    assert_eq!(digest(&model), "b0ed9a2dabbdb409d8e48f146a17baff655924289cb0ac52674b20be276b7f96");
}

#[test]
fn the_batch_size_does_not_change_an_evaluation() {
    let data = MnistData::sample().unwrap();
    let mut model = Cnn::new(7).unwrap();
    let test = data.test.limit(333).unwrap();
    let scores =
        [1, 32, 333, 5_000].map(|batch_size| evaluate(&mut model, &test, batch_size, &mut go_on).unwrap());
    assert!(scores.iter().all(|score| *score == scores[0]), "{scores:?}");
}

#[test]
fn the_last_batch_may_be_smaller_and_counts_by_its_size() {
    let train = MnistData::sample().unwrap().train.limit(5).unwrap();
    // With a learning rate of zero the model stays, so the mean loss does not depend on the batches.
    let mean_loss = |batch_size| {
        let (mut model, mut sgd) = (Cnn::new(3).unwrap(), Sgd::new(0.0, 0.5).unwrap());
        train_epoch(&mut model, &mut sgd, &train, batch_size, &mut go_on).unwrap()
    };
    assert!((mean_loss(2) - mean_loss(5)).abs() < 1e-6);
    assert!((mean_loss(1) - mean_loss(4)).abs() < 1e-6);

    let mut seen = Vec::new();
    let mut on_batch = |progress: Progress| {
        seen.push((progress.images_done, progress.images));
        ControlFlow::Continue(())
    };
    evaluate(&mut Cnn::new(3).unwrap(), &train, 2, &mut on_batch).unwrap();
    assert_eq!(seen, [(2, 5), (4, 5), (5, 5)]);
}

#[test]
fn a_pass_can_be_cancelled() {
    let train = MnistData::sample().unwrap().train.limit(100).unwrap();
    let mut stop = |progress: Progress| {
        if progress.images_done >= 64 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let (mut model, mut sgd) = (Cnn::new(3).unwrap(), Sgd::new(0.01, 0.5).unwrap());
    let error = train_epoch(&mut model, &mut sgd, &train, 32, &mut stop).unwrap_err();
    assert!(matches!(error, Error::Cancelled { images_done: 64, images: 100 }));
    assert!(matches!(evaluate(&mut model, &train, 0, &mut stop), Err(Error::BatchSize)));
}
