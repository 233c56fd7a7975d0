//! Files that are written whole or not at all, and directories that remember them.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;

use super::error::JournalError;

/// Writes a file beside its place, syncs it, and moves it there: whoever opens it finds the old bytes or the new ones.
/// It is durable when this returns.
pub(crate) fn write_atomically(path: &Path, bytes: &[u8]) -> Result<(), JournalError> {
    replace(path, |file| file.write_all(bytes)).map(drop)
}

/// As [`write_atomically`], and gives the file back, open at its end.
pub(super) fn replace(
    path: &Path,
    write: impl FnOnce(&mut File) -> io::Result<()>,
) -> Result<File, JournalError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let write = || {
        // Nobody else's to read, and gone if this fails.
        let mut file = tempfile::Builder::new().prefix(TEMPORARY).tempfile_in(folder)?;
        write(file.as_file_mut())?;
        file.as_file().sync_all()?;
        let file = file.persist(path).map_err(|error| error.error)?;
        sync_directory(folder)?;
        Ok(file)
    };
    write().map_err(JournalError::io("write", path))
}

/// What the names of half-written files begin with.
const TEMPORARY: &str = ".new-";

/// Whether this is what a process left that was stopped while it wrote: nobody needs it.
pub(super) fn is_left_over(name: &str) -> bool {
    name.starts_with(TEMPORARY)
}

/// The name under which a directory is filled before it is moved to its place.
pub(super) fn unfinished(name: &str) -> String {
    format!("{TEMPORARY}{name}")
}

/// The whole file, or `None` if there is none.
pub(crate) fn read(path: &Path) -> Result<Option<Vec<u8>>, JournalError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(JournalError::io("read", path)(error)),
    }
}

/// Makes a directory, and those above it, for this user alone.
pub(crate) fn create_directory(path: &Path) -> Result<(), JournalError> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path).map_err(JournalError::io("create", path))
}

/// Makes names that were added to a directory, or taken from it, outlast a crash of the machine.
#[cfg(unix)]
pub(super) fn sync_directory(path: &Path) -> io::Result<()> {
    // The empty path is the current directory.
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    File::open(path)?.sync_all()
}

/// Windows has no such call: its file system keeps names in its own journal.
#[cfg(not(unix))]
pub(super) fn sync_directory(_path: &Path) -> io::Result<()> {
    Ok(())
}
