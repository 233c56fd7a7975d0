//! Training and evaluation, batch by batch in the order of the data.

use std::ops::ControlFlow;

use crate::dataset::{Batch, CLASSES};
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
    let mut labels = Vec::with_capacity(batch_size.min(data.len()));
    for_each_batch(data, batch_size, on_batch, |batch| {
        labels.clear();
        labels.extend(batch.labels());
        let loss = model.train_batch(sgd, batch, &labels)?;
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
pub fn evaluate(model: &mut Cnn, data: &Shard, batch_size: usize, on_batch: &mut OnBatch<'_>) -> Result<f64> {
    let (mut correct, mut scores) = (0_usize, Vec::with_capacity(batch_size.min(data.len()) * CLASSES));
    for_each_batch(data, batch_size, on_batch, |batch| {
        scores.clear();
        model.log_probabilities(batch, &mut scores)?;
        let predictions = scores.chunks_exact(CLASSES).map(largest);
        let is_right = |(prediction, label): &(usize, u32)| *prediction == *label as usize;
        correct += predictions.zip(batch.labels()).filter(is_right).count();
        Ok(())
    })?;
    Ok(correct as f64 / data.len() as f64)
}

fn for_each_batch(
    data: &Shard,
    batch_size: usize,
    on_batch: &mut OnBatch<'_>,
    mut work: impl FnMut(&Batch<'_>) -> Result<()>,
) -> Result<()> {
    if batch_size == 0 {
        return Err(Error::BatchSize);
    }
    let images = data.len();
    let mut images_done = 0;
    while images_done < images {
        let end = images.min(images_done.saturating_add(batch_size));
        work(&data.batch(images_done..end))?;
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
