//! What both flows report.

use serde::{Deserialize, Serialize};
use veilflow::prelude::*;

use crate::{Cnn, Scores};

/// What a flow ends in: the model, and how each round was judged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Message)]
pub struct TrainedModel {
    /// The parameters with their names, in PyTorch's order.
    pub parameters: Vec<(String, Tensor)>,
    /// The scores of each round, averaged over the sites by their numbers of examples.
    pub rounds: Vec<Scores>,
}

impl TrainedModel {
    /// A report of a model whose parameters are given in one vector.
    ///
    /// # Errors
    /// If there are not [`Cnn::PARAMETERS`] of them.
    pub fn new(model: &[f32], rounds: Vec<Scores>) -> Result<Self> {
        let parameters = Cnn::from_flat(model)?.parameters()?.into_iter();
        let named = parameters
            .map(|parameter| Ok((parameter.name.to_owned(), Tensor::new(parameter.shape, parameter.data)?)));
        Ok(Self { parameters: named.collect::<Result<_>>()?, rounds })
    }

    /// All parameters in one vector.
    pub fn to_flat(&self) -> Vec<f32> {
        self.parameters.iter().flat_map(|(_, tensor)| tensor.values()).copied().collect()
    }
}

/// Adds a round to the table of results.
pub(crate) fn add_row(scores: &Scores, cx: &Context) {
    cx.row([
        ("Rounds", cx.round().into()),
        ("Agg Model Validation Score", scores.aggregated_model.into()),
        ("Local Train loss", scores.train_loss.into()),
        ("Local Model Validation score", scores.local_model.into()),
    ]);
}
