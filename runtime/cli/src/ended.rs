//! A run that ended with its report, and how it is shown and kept.

use std::path::Path;

use veilflow_spec::{Fingerprint, Name, Tensor};

use crate::entry::Model;
use crate::error::CliError;
use crate::files::{self, Target};
use crate::plot::{self, Picture};
use crate::results::Results;
use crate::usage::Usage;
use crate::{save, table};

/// A run that ended with its report.
pub(crate) struct Ended {
    pub(crate) flow: String,
    pub(crate) fingerprint: Fingerprint,
    pub(crate) seed: u64,
    /// In the order of the command line.
    pub(crate) participants: Vec<Name>,
    pub(crate) results: Results,
    pub(crate) model: Model,
    pub(crate) usage: Usage,
}

impl Ended {
    /// The results as tables, and a line about the run.
    pub(crate) fn table(&self) -> String {
        let mut text = table::results(&self.results);
        if let Some(rounds) = table::rounds(&self.results.rounds()) {
            text.push_str(&rounds);
        }
        let mut parts = vec![
            format!("{} collaborators", self.participants.len()),
            format!("seed {}", self.seed),
            format!("{:.1} s", self.usage.wall_s),
        ];
        if let Some(cpu) = self.usage.cpu_s {
            parts.push(format!("{cpu:.1} CPU-s"));
        }
        if let Some(bytes) = self.usage.peak_rss_bytes {
            parts.push(format!("{:.0} MB at most", bytes as f64 / 1e6));
        }
        if let Some(digest) = self.digest() {
            parts.push(format!("model {}", digest.get(..12).unwrap_or(&digest)));
        }
        text + &format!("{}: {}\n", self.flow, parts.join(", "))
    }

    /// SHA-256 of the model's little-endian values, in the model's order.
    pub(crate) fn digest(&self) -> Option<String> {
        if self.model.is_empty() {
            return None;
        }
        let digest = Tensor::digest(self.model.iter().map(|(_, tensor)| tensor));
        Some(digest.iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

/// The files that a run writes, known to be writable before it starts.
pub(crate) struct Files {
    plot: Option<(Target, Picture)>,
    save: Option<Target>,
}

impl Files {
    pub(crate) fn check(plot: Option<&Path>, save: Option<&Path>) -> Result<Self, CliError> {
        let plot = plot.map(|path| {
            let picture = match files::ending("plot", path, &[".svg", ".png"])? {
                ".svg" => Picture::Svg,
                _ => Picture::Png,
            };
            Ok::<_, CliError>((Target::check(path)?, picture))
        });
        let save = save.map(|path| {
            files::ending("save", path, &[".safetensors"])?;
            Target::check(path)
        });
        Ok(Self { plot: plot.transpose()?, save: save.transpose()? })
    }

    /// Writes each file, whatever became of the other, and says so.
    pub(crate) fn write(&self, ended: &Ended, say: &dyn Fn(String)) -> [Result<(), CliError>; 2] {
        let plot = || {
            let Some((target, picture)) = &self.plot else { return Ok(()) };
            let (collaborators, seed) = (ended.participants.len(), ended.seed);
            let title = format!("{}, {collaborators} collaborators, seed {seed}", ended.flow);
            target.write(&plot::draw(&title, &ended.results, *picture)?)?;
            say(format!("plot written to {}", target.path().display()));
            Ok(())
        };
        let save = || {
            let Some(target) = &self.save else { return Ok(()) };
            if ended.model.is_empty() {
                return Err(CliError::NoModel { flow: ended.flow.clone() });
            }
            let about = [
                ("flow", ended.flow.clone()),
                ("fingerprint", ended.fingerprint.to_string()),
                ("seed", ended.seed.to_string()),
            ];
            target.write(&save::safetensors(&ended.model, &about)?)?;
            say(format!("model written to {}", target.path().display()));
            Ok(())
        };
        [plot(), save()]
    }
}

/// What went wrong once the results were printed. They came first: whatever fails after them does not lose them.
pub(crate) fn after(
    printed: Result<(), CliError>,
    written: impl IntoIterator<Item = Result<(), CliError>>,
) -> Result<(), CliError> {
    let failed: Vec<_> = [printed].into_iter().chain(written).filter_map(Result::err).collect();
    if failed.is_empty() { Ok(()) } else { Err(CliError::After(failed)) }
}
