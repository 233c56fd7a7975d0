//! Files of identities: written whole or not at all, secrets for their owner only.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use pem_rfc7468::LineEnding;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use tokio::time::sleep;
use zeroize::Zeroizing;

use super::error::{PkiError, malformed};

/// More than any file of an identity has; rosters and records of large federations are the largest.
const MAX_FILE_BYTES: u64 = 64 * 1024 * 1024;

/// The bytes of a file; `None` where there is none.
pub(crate) fn read_if_there(path: &Path) -> Result<Option<Vec<u8>>, PkiError> {
    match read(path) {
        Err(PkiError::Read { error, .. }) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        bytes => bytes.map(Some),
    }
}

/// The bytes of a file.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, PkiError> {
    let unreadable = |error| PkiError::Read { path: path.to_owned(), error };
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(unreadable)?;
    file.take(MAX_FILE_BYTES).read_to_end(&mut bytes).map_err(unreadable)?;
    Ok(bytes)
}

/// The text of a file that only its owner, or a group that the administrator chose, can read.
pub(crate) fn read_secret(path: &Path) -> Result<Zeroizing<String>, PkiError> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;

        let unreadable = |error| PkiError::Read { path: path.to_owned(), error };
        if fs::metadata(path).map_err(unreadable)?.permissions().mode() & 0o007 != 0 {
            return Err(PkiError::Exposed { path: path.to_owned() });
        }
    }
    let bytes = Zeroizing::new(read(path)?);
    let text = std::str::from_utf8(&bytes).map_err(|_| malformed("private key", "it is no PEM"))?;
    Ok(Zeroizing::new(text.to_owned()))
}

/// Writes a file that only its owner can read, and never over another.
pub(crate) fn write_secret(path: &Path, bytes: &[u8]) -> Result<(), PkiError> {
    // Temporary files are for their owner only, and stay so.
    let file = temporary(path, 0o600, bytes)?;
    file.persist_noclobber(path).map_err(|error| match error.error.kind() {
        io::ErrorKind::AlreadyExists => PkiError::Exists { path: path.to_owned() },
        _ => PkiError::Write { path: path.to_owned(), error: error.error },
    })?;
    sync_folder(path)
}

/// Writes a file in place of the one that is there, for its owner only.
pub(crate) fn replace_secret(path: &Path, bytes: &[u8]) -> Result<(), PkiError> {
    replace_with(path, 0o600, bytes)
}

/// Writes a file in place of the one that is there.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<(), PkiError> {
    replace_with(path, 0o666, bytes)
}

/// Makes a folder, and those around it.
pub(crate) fn folder(path: &Path) -> Result<(), PkiError> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path).map_err(|error| PkiError::Write { path: path.to_owned(), error })
}

/// Certificates as PEM.
pub(crate) fn certificates_to_pem(certificates: &[CertificateDer<'_>]) -> Result<String, PkiError> {
    let pem = |der: &CertificateDer<'_>| pem_rfc7468::encode_string("CERTIFICATE", LineEnding::LF, der);
    let text: Result<String, _> = certificates.iter().map(pem).collect();
    text.map_err(|error| malformed("certificate", error))
}

/// The certificates of a PEM file: at least one, at most two (its owner's and the authority's).
pub(crate) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, PkiError> {
    let bytes = read(path)?;
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).take(3).collect();
    let bad = |why: String| malformed("certificate file", format!("{}: {why}", path.display()));
    let read = read.map_err(|error| bad(error.to_string()))?;
    if read.is_empty() || read.len() > 2 {
        return Err(bad(format!("it has {} certificates, and one or two were expected", read.len())));
    }
    Ok(read)
}

/// A file that an administrator may replace while a process runs.
pub(crate) struct Watched {
    path: PathBuf,
    /// When it was written, and its length.
    seen: Option<(SystemTime, u64)>,
}

/// How often such a file is looked at.
const LOOK: Duration = Duration::from_secs(10);

impl Watched {
    /// What is there now counts as new: somebody may have replaced it just before.
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path, seen: None }
    }

    /// Returns when it is there and is another one than the last time.
    pub(crate) async fn replaced(&mut self) {
        loop {
            let now = fs::metadata(&self.path).and_then(|it| Ok((it.modified()?, it.len()))).ok();
            let is_new = now.is_some() && now != self.seen;
            self.seen = now;
            if is_new {
                return;
            }
            sleep(LOOK).await;
        }
    }
}

fn replace_with(path: &Path, mode: u32, bytes: &[u8]) -> Result<(), PkiError> {
    let file = temporary(path, mode, bytes)?;
    file.persist(path).map_err(|error| PkiError::Write { path: path.to_owned(), error: error.error })?;
    sync_folder(path)
}

fn temporary(path: &Path, mode: u32, bytes: &[u8]) -> Result<tempfile::NamedTempFile, PkiError> {
    let write = || {
        let mut builder = tempfile::Builder::new();
        builder.prefix(".veilflow-");
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(mode));
        #[cfg(not(unix))]
        let _ = mode;
        let mut file = builder.tempfile_in(parent(path))?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        Ok(file)
    };
    write().map_err(|error| PkiError::Write { path: path.to_owned(), error })
}

/// So that the new name outlasts a loss of power too.
fn sync_folder(path: &Path) -> Result<(), PkiError> {
    #[cfg(unix)]
    {
        let synced = File::open(parent(path)).and_then(|folder| folder.sync_all());
        synced.map_err(|error| PkiError::Write { path: path.to_owned(), error })?;
    }
    #[cfg(not(unix))]
    let _ = path;
    Ok(())
}

fn parent(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
