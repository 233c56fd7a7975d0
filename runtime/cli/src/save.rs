//! A model as a safetensors file.

use std::collections::{BTreeSet, HashMap};

use safetensors::Dtype;
use safetensors::tensor::TensorView;

use crate::entry::Model;
use crate::error::CliError;

/// The file's bytes: each tensor under its name with its shape, and `about` as its metadata.
pub(crate) fn safetensors(model: &Model, about: &[(&str, String)]) -> Result<Vec<u8>, CliError> {
    let mut names = BTreeSet::new();
    if let Some((name, _)) = model.iter().find(|(name, _)| !names.insert(name)) {
        return Err(CliError::DuplicateTensor { name: name.clone() });
    }
    let bytes: Vec<_> = model.iter().map(|(_, tensor)| tensor.to_le_bytes()).collect();
    let views = model.iter().zip(&bytes).map(|((name, tensor), bytes)| {
        Ok((name.as_str(), TensorView::new(Dtype::F32, tensor.shape().to_vec(), bytes)?))
    });
    let views = views.collect::<Result<Vec<_>, safetensors::SafeTensorError>>()?;
    let about: HashMap<_, _> = about.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
    Ok(safetensors::serialize(views, Some(about))?)
}
