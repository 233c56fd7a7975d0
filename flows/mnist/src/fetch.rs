//! Downloading the full data set.
//!
//! Each file is written to `NAME.part`, continued where an earlier attempt stopped, checked against its SHA-256
//! and only then renamed. The contents are pinned by their digests, so a mirror need not be trusted.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest, Sha256};
use ureq::http::StatusCode;
use ureq::http::header::{CONTENT_RANGE, RANGE};

use crate::{Error, FetchFailure, Result};

#[cfg(test)]
mod tests;

/// A file to download.
struct RemoteFile {
    name: &'static str,
    /// Its length, in bytes.
    bytes: u64,
    /// The SHA-256 of its contents, hexadecimal.
    sha256: &'static str,
}

/// The four files of the data set, as their authors published them.
const FILES: [RemoteFile; 4] = [
    RemoteFile {
        name: "train-images-idx3-ubyte.gz",
        bytes: 9_912_422,
        sha256: "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
    },
    RemoteFile {
        name: "train-labels-idx1-ubyte.gz",
        bytes: 28_881,
        sha256: "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
    },
    RemoteFile {
        name: "t10k-images-idx3-ubyte.gz",
        bytes: 1_648_877,
        sha256: "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
    },
    RemoteFile {
        name: "t10k-labels-idx1-ubyte.gz",
        bytes: 4_542,
        sha256: "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
    },
];

/// How often one address is asked for one file, as long as each attempt changes what is there.
const ATTEMPTS: usize = 5;

/// Where to download from, and how long to wait.
#[derive(Clone, Debug)]
pub struct FetchOptions {
    /// Addresses of folders that hold the files, tried in order.
    pub base_urls: Vec<String>,
    /// Longest wait for a connection.
    pub connect_timeout: Duration,
    /// Longest wait for the next bytes of an answer.
    pub read_timeout: Duration,
}

impl Default for FetchOptions {
    /// Two public mirrors, 15 and 30 seconds.
    fn default() -> Self {
        Self {
            base_urls: vec![
                "https://ossci-datasets.s3.amazonaws.com/mnist/".to_owned(),
                "https://storage.googleapis.com/cvdf-datasets/mnist/".to_owned(),
            ],
            connect_timeout: Duration::from_secs(15),
            read_timeout: Duration::from_secs(30),
        }
    }
}

/// How far the download of one file has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FetchProgress {
    /// The file's name.
    pub file: &'static str,
    /// Its number, from 1.
    pub file_number: usize,
    /// The number of files.
    pub files: usize,
    /// Bytes of this file that are there, including those of an earlier attempt.
    pub bytes_done: u64,
    /// Bytes of this file.
    pub bytes: u64,
}

/// What became of one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fetched {
    /// It was there already, with the right contents.
    AlreadyThere,
    /// It has been downloaded.
    Downloaded {
        /// Bytes that were received now: fewer than the file has if an earlier attempt was resumed.
        received: u64,
    },
}

impl std::fmt::Display for Fetched {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::AlreadyThere => f.write_str("already there"),
            Self::Downloaded { received } => write!(f, "downloaded, {received} bytes now"),
        }
    }
}

/// Downloads the four files of the full data set into `directory`, which is created if need be.
///
/// Files that are there with the right contents are left alone, others are replaced. `progress` is called when a
/// file begins and as it grows; `Break` stops the download, which the next call resumes.
///
/// # Errors
///
/// If no address delivers a file with the right contents (the error lists what each of them did), if the
/// folder cannot be written to, or if another process is downloading into it.
pub fn fetch_mnist(
    directory: &Path,
    options: &FetchOptions,
    progress: &mut dyn FnMut(FetchProgress) -> ControlFlow<()>,
) -> Result<Vec<(&'static str, Fetched)>> {
    fetch_files(&FILES, directory, options, progress)
}

/// The folder for downloaded MNIST files: `veilflow/mnist` in the user's cache folder, which is
/// `$XDG_CACHE_HOME` or `~/.cache` (macOS: `~/Library/Caches`, Windows: `%LOCALAPPDATA%`).
///
/// # Errors
///
/// If the environment does not say where that is.
pub fn default_cache_dir() -> Result<PathBuf> {
    cache_dir(|name| std::env::var_os(name).map(PathBuf::from)).ok_or(Error::NoCacheDirectory)
}

fn cache_dir(variable: impl Fn(&str) -> Option<PathBuf>) -> Option<PathBuf> {
    // The XDG specification says to ignore relative paths; an empty variable is one, too.
    let absolute = |name| variable(name).filter(|path| path.is_absolute());
    let home = if cfg!(target_os = "windows") {
        absolute("LOCALAPPDATA")
    } else if cfg!(target_os = "macos") {
        absolute("HOME").map(|home| home.join("Library").join("Caches"))
    } else {
        absolute("HOME").map(|home| home.join(".cache"))
    };
    Some(absolute("XDG_CACHE_HOME").or(home)?.join("veilflow").join("mnist"))
}

fn fetch_files(
    files: &[RemoteFile],
    directory: &Path,
    options: &FetchOptions,
    progress: &mut dyn FnMut(FetchProgress) -> ControlFlow<()>,
) -> Result<Vec<(&'static str, Fetched)>> {
    if options.base_urls.is_empty() {
        return Err(Error::NoMirror);
    }
    fs::create_dir_all(directory).map_err(write_error(directory))?;
    let _lock = lock(directory)?;
    let mut fetched = Vec::with_capacity(files.len());
    for (index, file) in files.iter().enumerate() {
        let mut report = |bytes_done| {
            let (file_number, count) = (index + 1, files.len());
            let state =
                FetchProgress { file: file.name, file_number, files: count, bytes_done, bytes: file.bytes };
            match progress(state) {
                ControlFlow::Continue(()) => Ok(()),
                ControlFlow::Break(()) => Err(Error::DownloadCancelled { file: file.name }),
            }
        };
        let path = directory.join(file.name);
        let outcome = if is_right(&path, file)? {
            report(file.bytes)?;
            Fetched::AlreadyThere
        } else {
            let mut download = Download::open(file, &path)?;
            report(download.length)?;
            download.run(options, &mut report)?;
            Fetched::Downloaded { received: download.received }
        };
        fetched.push((file.name, outcome));
    }
    Ok(fetched)
}

fn write_error(path: &Path) -> impl Fn(io::Error) -> Error {
    move |source| Error::Write { path: path.to_owned(), source }
}

/// Keeps two processes from writing the same files. The lock ends with the process, whatever ends that.
fn lock(directory: &Path) -> Result<File> {
    let path = directory.join(".fetch.lock");
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(write_error(&path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Error::DownloadRunning { directory: directory.to_owned() }),
        // Some network file systems cannot lock; the digest still guards the contents.
        Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => Ok(file),
        Err(TryLockError::Error(source)) => Err(write_error(&path)(source)),
    }
}

fn is_right(path: &Path, file: &RemoteFile) -> Result<bool> {
    match fs::metadata(path) {
        Ok(metadata) if metadata.len() == file.bytes => {
            let read = |source| Error::Read { file: path.display().to_string(), source };
            let mut open = File::open(path).map_err(read)?;
            Ok(sha256(&mut open).map_err(read)? == file.sha256)
        }
        // Missing, or of another length; what else is wrong with it shows when it is replaced.
        _ => Ok(false),
    }
}

/// The SHA-256 of all that `input` yields, hexadecimal.
fn sha256(input: &mut impl Read) -> io::Result<String> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match input.read(&mut buffer) {
            Ok(0) => return Ok(hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()),
            Ok(count) => hasher.update(&buffer[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// The download of one file, over as many attempts as it takes.
struct Download<'a> {
    file: &'a RemoteFile,
    path: &'a Path,
    part_path: PathBuf,
    part: File,
    /// Bytes in the part file.
    length: u64,
    /// Bytes received by this process.
    received: u64,
}

impl<'a> Download<'a> {
    fn open(file: &'a RemoteFile, path: &'a Path) -> Result<Self> {
        let part_path = path.with_file_name(format!("{}.part", file.name));
        let failed = write_error(&part_path);
        let mut part = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&part_path)
            .map_err(&failed)?;
        // What arrives is appended.
        let length = part.seek(SeekFrom::End(0)).map_err(&failed)?;
        drop(failed);
        let mut download = Self { file, path, part_path, part, length, received: 0 };
        if download.length > file.bytes {
            download.restart()?;
        }
        Ok(download)
    }

    fn run(&mut self, options: &FetchOptions, report: &mut dyn FnMut(u64) -> Result<()>) -> Result<()> {
        // An earlier process may have ended between the last byte and the renaming.
        if self.length == self.file.bytes && self.finish()?.is_ok() {
            return Ok(());
        }
        let mut failures = Vec::new();
        for base_url in &options.base_urls {
            let url = format!("{}/{}", base_url.trim_end_matches('/'), self.file.name);
            for _ in 0..ATTEMPTS {
                let before = self.length;
                let failure = match self.attempt(&url, options, report)? {
                    Ok(()) => match self.finish()? {
                        Ok(()) => return Ok(()),
                        Err(failure) => failure,
                    },
                    Err(failure) => failure,
                };
                failures.push((url.clone(), failure));
                // Otherwise it got nearer to the end, or what an earlier attempt had left was of no use.
                if self.length == before {
                    break;
                }
            }
        }
        Err(Error::Download { file: self.file.name, failures })
    }

    /// Asks `url` for what is missing and appends it. The outer error ends the download, the inner one is the
    /// server's and leaves the others to be tried.
    fn attempt(
        &mut self,
        url: &str,
        options: &FetchOptions,
        report: &mut dyn FnMut(u64) -> Result<()>,
    ) -> Result<std::result::Result<(), FetchFailure>> {
        let mut request = agent(url, options).get(url);
        if self.length > 0 {
            request = request.header(RANGE, format!("bytes={}-", self.length));
        }
        let mut response = match request.call() {
            Ok(response) => response,
            Err(error) => return Ok(Err(FetchFailure::Connection { source: Box::new(error) })),
        };
        let expected = self.file.bytes;
        match response.status() {
            // The server begins at the first byte: it does not know ranges, or was not asked for one.
            StatusCode::OK => {
                self.restart()?;
                if let Some(found) = response.body().content_length().filter(|found| *found != expected) {
                    return Ok(Err(FetchFailure::Length { expected, found }));
                }
            }
            StatusCode::PARTIAL_CONTENT => {
                let sent = response.headers().get(CONTENT_RANGE).and_then(|value| value.to_str().ok());
                let sent = sent.unwrap_or_default().to_owned();
                let asked = format!("bytes {}-{}/{expected}", self.length, expected - 1);
                if sent != asked {
                    // What is there may not belong to this server's file: ask for all of it next time.
                    self.restart()?;
                    return Ok(Err(FetchFailure::Range { asked, sent }));
                }
            }
            status => {
                if status == StatusCode::RANGE_NOT_SATISFIABLE {
                    self.restart()?;
                }
                return Ok(Err(FetchFailure::Status { status: status.as_u16() }));
            }
        }
        self.receive(&mut response.body_mut().as_reader(), report)
    }

    /// Appends `body` to the part file, up to the length that the file must have.
    fn receive(
        &mut self,
        body: &mut impl Read,
        report: &mut dyn FnMut(u64) -> Result<()>,
    ) -> Result<std::result::Result<(), FetchFailure>> {
        let expected = self.file.bytes;
        let mut buffer = vec![0; 64 * 1024];
        while self.length < expected {
            let wanted = buffer.len().min(usize::try_from(expected - self.length).unwrap_or(usize::MAX));
            let interrupted =
                |received, source| Ok(Err(FetchFailure::Interrupted { received, expected, source }));
            match body.read(&mut buffer[..wanted]) {
                Ok(0) => return interrupted(self.length, None),
                Ok(count) => {
                    self.part.write_all(&buffer[..count]).map_err(write_error(&self.part_path))?;
                    self.length += count as u64;
                    self.received += count as u64;
                    report(self.length)?;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return interrupted(self.length, Some(error)),
            }
        }
        Ok(Ok(()))
    }

    /// Checks the part file and gives it its name, or empties it.
    fn finish(&mut self) -> Result<std::result::Result<(), FetchFailure>> {
        let failed = write_error(&self.part_path);
        self.part.seek(SeekFrom::Start(0)).map_err(&failed)?;
        let found = sha256(&mut self.part).map_err(&failed)?;
        if found != self.file.sha256 {
            drop(failed);
            self.restart()?;
            return Ok(Err(FetchFailure::Digest { expected: self.file.sha256.to_owned(), found }));
        }
        // On disk before it has its name, so that a power cut leaves no empty file under that name.
        self.part.sync_all().map_err(&failed)?;
        fs::rename(&self.part_path, self.path).map_err(write_error(self.path))?;
        Ok(Ok(()))
    }

    fn restart(&mut self) -> Result<()> {
        let failed = write_error(&self.part_path);
        self.part.set_len(0).map_err(&failed)?;
        self.part.seek(SeekFrom::Start(0)).map_err(&failed)?;
        self.length = 0;
        Ok(())
    }
}

fn agent(url: &str, options: &FetchOptions) -> ureq::Agent {
    // A proxy of the environment serves the outside world; it cannot reach this machine's own loopback.
    let host = url.split_once("://").map_or(url, |(_, rest)| rest);
    let local = ["localhost", "127.", "[::1]"].iter().any(|name| host.starts_with(name));
    ureq::Agent::config_builder()
        .proxy(if local { None } else { ureq::Proxy::try_from_env() })
        .http_status_as_error(false)
        .max_redirects(5)
        .timeout_connect(Some(options.connect_timeout))
        .timeout_recv_response(Some(options.read_timeout))
        .timeout_per_read(Some(options.read_timeout))
        .build()
        .new_agent()
}
