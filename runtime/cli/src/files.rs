//! Files that are written whole or not at all.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::error::CliError;

/// A file to write when the results are there.
#[derive(Debug)]
pub(crate) struct Target {
    path: PathBuf,
}

impl Target {
    /// Makes sure now that the file can be written later: its folder exists and takes files.
    pub(crate) fn check(path: &Path) -> Result<Self, CliError> {
        let target = Self { path: path.to_owned() };
        let unwritable = |error| CliError::Write { path: path.to_owned(), error };
        if path.parent().is_some_and(|folder| !folder.as_os_str().is_empty() && !folder.is_dir()) {
            return Err(unwritable(io::Error::new(io::ErrorKind::NotFound, "its folder does not exist")));
        }
        if path.is_dir() {
            return Err(unwritable(io::Error::new(io::ErrorKind::IsADirectory, "it is a folder")));
        }
        // Made and removed at once, so that nothing is left behind however the program ends.
        target.temporary().map_err(unwritable)?;
        Ok(target)
    }

    /// Writes the file beside its place and moves it there.
    pub(crate) fn write(&self, bytes: &[u8]) -> Result<(), CliError> {
        let write = || {
            let mut file = self.temporary()?;
            file.write_all(bytes)?;
            file.as_file().sync_all()?;
            file.persist(&self.path).map_err(|error| error.error)?;
            Ok(())
        };
        write().map_err(|error| CliError::Write { path: self.path.clone(), error })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    fn temporary(&self) -> io::Result<tempfile::NamedTempFile> {
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let mut builder = tempfile::Builder::new();
        builder.prefix(".veilflow-");
        // As any file the user writes, and not for the user alone as temporary files are.
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        // The error's own text would name a file that nobody asked for.
        let plain = |error: io::Error| match error.get_ref().and_then(|inner| inner.source()) {
            Some(cause) => io::Error::new(error.kind(), cause.to_string()),
            None => error,
        };
        builder.tempfile_in(folder.unwrap_or(Path::new("."))).map_err(plain)
    }
}

/// The format that a file's ending says, one of `endings`.
pub(crate) fn ending<'a>(
    flag: &'static str,
    path: &Path,
    endings: &'static [&'static str],
) -> Result<&'a str, CliError> {
    let own = path.extension().and_then(|ending| ending.to_str()).map(str::to_ascii_lowercase);
    let known = endings.iter().find(|ending| own.as_deref() == ending.strip_prefix('.'));
    known.copied().ok_or_else(|| CliError::Ending { flag, path: path.to_owned(), endings })
}
