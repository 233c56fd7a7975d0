//! Training and evaluation, batch by batch in the order of the data.

use std::ops::ControlFlow;

use crate::dataset::{CLASSES, IMAGE_PIXELS};
use crate::{Cnn, Error, Result, Sgd, Shard};

/// How far a pass over the data has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Images processed so far.
    pub images_done: usize,
    /// Images in all.
    pub images: usize,
}

/// Called after each batch. `Break` ends the pass with [`Error::Cancelled`].
pub type OnBatch<'a> = dyn FnMut(Progress) -> ControlFlow<()> + 'a;

/// Trains for one epoch and returns the mean loss per image, each measured before the step on its batch.
///
/// Batches are taken in the order of the data, without shuffling; the last one may be smaller. After an error
/// the model has taken the steps before it.
///
/// # Errors
///
/// If `batch_size` is zero or `on_batch` asks to stop.
pub fn train_epoch(
    model: &mut Cnn,
    sgd: &mut Sgd,
    data: &Shard,
    batch_size: usize,
    on_batch: &mut OnBatch<'_>,
) -> Result<f64> {
    let mut loss_sum = 0.0;
    for_each_batch(data, batch_size, on_batch, |pixels, labels| {
        let loss = model.train_batch(sgd, pixels, labels)?;
        loss_sum += f64::from(loss) * labels.len() as f64;
        Ok(())
    })?;
    Ok(loss_sum / data.len() as f64)
}

/// The fraction of images whose digit the model finds, from 0 to 1. Of equal scores the first counts.
///
/// The batch size has no influence on the result.
///
/// # Errors
///
/// If `batch_size` is zero or `on_batch` asks to stop.
pub fn evaluate(model: &Cnn, data: &Shard, batch_size: usize, on_batch: &mut OnBatch<'_>) -> Result<f64> {
    let mut correct = 0_usize;
    for_each_batch(data, batch_size, on_batch, |pixels, labels| {
        let scores = model.log_probabilities(pixels)?;
        let predictions = scores.chunks_exact(CLASSES).map(largest);
        correct +=
            predictions.zip(labels).filter(|(prediction, label)| *prediction == **label as usize).count();
        Ok(())
    })?;
    Ok(correct as f64 / data.len() as f64)
}

fn for_each_batch(
    data: &Shard,
    batch_size: usize,
    on_batch: &mut OnBatch<'_>,
    mut work: impl FnMut(&[f32], &[u32]) -> Result<()>,
) -> Result<()> {
    if batch_size == 0 {
        return Err(Error::BatchSize);
    }
    let images = data.len();
    let capacity = batch_size.min(images);
    let (mut pixels, mut labels) =
        (Vec::with_capacity(capacity * IMAGE_PIXELS), Vec::with_capacity(capacity));
    let mut images_done = 0;
    while images_done < images {
        let end = images.min(images_done.saturating_add(batch_size));
        pixels.clear();
        labels.clear();
        data.gather(images_done..end, &mut pixels, &mut labels);
        work(&pixels, &labels)?;
        images_done = end;
        if on_batch(Progress { images_done, images }).is_break() {
            return Err(Error::Cancelled { images_done, images });
        }
    }
    Ok(())
}

fn largest(scores: &[f32]) -> usize {
    let mut best = 0;
    for (class, score) in scores.iter().enumerate() {
        if *score > scores[best] {
            best = class;
        }
    }
    best
}
