//! What PyTorch reached with the same network on the same machine.
//!
//! Nothing here runs PyTorch. Whoever has it times its epochs, and writes one JSON object for each batch size of training:
//!
//! ```json
//! {"threads": 1, "batch_size": 32,
//!  "epochs": [{"train_img_per_cpu_s": 4000, "eval32_img_per_cpu_s": 9500, "eval1000_img_per_cpu_s": 10000}]}
//! ```
//!
//! Of several epochs the fastest counts, as of our own stretches.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

/// Images a processor-second, where they are known.
#[derive(Debug, Default, PartialEq)]
pub(super) struct PyTorch {
    pub(super) train_b32: Option<f64>,
    pub(super) train_b128: Option<f64>,
    pub(super) eval_b32: Option<f64>,
    pub(super) eval_b1000: Option<f64>,
}

/// What is wrong with a file of PyTorch's figures.
#[derive(Debug, thiserror::Error)]
pub(super) enum PyTorchError {
    #[error("--pytorch {}: {source}", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("--pytorch {}: it is not the JSON object that is expected: {source}", path.display())]
    Json { path: PathBuf, source: serde_json::Error },
    #[error("--pytorch {}: it was measured on {got} threads; on one the figures can be compared", path.display())]
    Threads { path: PathBuf, got: u32 },
    #[error("--pytorch {}: it trained in batches of {got}; 32 and 128 are compared", path.display())]
    BatchSize { path: PathBuf, got: u32 },
    #[error("--pytorch {}: it has no epochs", path.display())]
    NoEpochs { path: PathBuf },
}

#[derive(Deserialize)]
struct Figures {
    threads: u32,
    batch_size: u32,
    epochs: Vec<Epoch>,
}

#[derive(Deserialize)]
struct Epoch {
    train_img_per_cpu_s: f64,
    eval32_img_per_cpu_s: f64,
    eval1000_img_per_cpu_s: f64,
}

impl PyTorch {
    pub(super) fn read(paths: &[PathBuf]) -> Result<Self, PyTorchError> {
        let mut all = Self::default();
        for path in paths {
            let text = fs::read(path).map_err(|source| PyTorchError::Read { path: path.clone(), source })?;
            all.add(path, &text)?;
        }
        Ok(all)
    }

    fn add(&mut self, path: &Path, text: &[u8]) -> Result<(), PyTorchError> {
        let path = || path.to_owned();
        let figures: Figures =
            serde_json::from_slice(text).map_err(|source| PyTorchError::Json { path: path(), source })?;
        if figures.threads != 1 {
            return Err(PyTorchError::Threads { path: path(), got: figures.threads });
        }
        if figures.epochs.is_empty() {
            return Err(PyTorchError::NoEpochs { path: path() });
        }
        let train = match figures.batch_size {
            32 => &mut self.train_b32,
            128 => &mut self.train_b128,
            got => return Err(PyTorchError::BatchSize { path: path(), got }),
        };
        let faster = |best: &mut Option<f64>, figure: fn(&Epoch) -> f64| {
            let fastest = figures.epochs.iter().map(figure).fold(best.unwrap_or(0.0), f64::max);
            *best = Some(fastest);
        };
        faster(train, |epoch| epoch.train_img_per_cpu_s);
        faster(&mut self.eval_b32, |epoch| epoch.eval32_img_per_cpu_s);
        faster(&mut self.eval_b1000, |epoch| epoch.eval1000_img_per_cpu_s);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(threads: u32, batch_size: u32, train: &[f64]) -> String {
        let epoch = |train: &f64| {
            format!(
                r#"{{"accuracy": 0.9, "train_img_per_cpu_s": {train}, "eval32_img_per_cpu_s": 9000.5, "eval1000_img_per_cpu_s": 10000}}"#
            )
        };
        let epochs: Vec<_> = train.iter().map(epoch).collect();
        format!(
            r#"{{"torch": "2.4.1", "threads": {threads}, "batch_size": {batch_size}, "epochs": [{}]}}"#,
            epochs.join(", ")
        )
    }

    #[test]
    fn the_fastest_epoch_of_each_batch_size_counts() {
        let mut all = PyTorch::default();
        all.add(Path::new("a.json"), figures(1, 32, &[3400.0, 4100.0, 3900.0]).as_bytes()).unwrap();
        let (eval_b32, eval_b1000) = (Some(9000.5), Some(10_000.0));
        assert_eq!(all, PyTorch { train_b32: Some(4100.0), train_b128: None, eval_b32, eval_b1000 });
        all.add(Path::new("b.json"), figures(1, 128, &[5000.0]).as_bytes()).unwrap();
        assert_eq!((all.train_b32, all.train_b128), (Some(4100.0), Some(5000.0)));
    }

    #[test]
    fn figures_that_cannot_be_compared_are_refused() {
        let refused = |text: &str| {
            PyTorch::default().add(Path::new("a.json"), text.as_bytes()).unwrap_err().to_string()
        };
        assert!(
            refused(&figures(4, 32, &[1.0])).starts_with("--pytorch a.json: it was measured on 4 threads")
        );
        assert!(refused(&figures(1, 64, &[1.0])).contains("batches of 64"));
        assert!(refused(&figures(1, 32, &[])).contains("no epochs"));
        assert!(refused("[]").contains("not the JSON object"));
        let missing = PyTorch::read(&[PathBuf::from("/nowhere/pytorch.json")]).unwrap_err();
        assert!(matches!(missing, PyTorchError::Read { .. }));
    }
}
