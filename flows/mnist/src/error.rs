//! What can go wrong with the data and the model.

use std::io;
use std::path::PathBuf;

use crate::Split;

/// The result of this crate's functions.
pub type Result<T> = std::result::Result<T, Error>;

/// What can go wrong with the data and the model.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file of the data set is not there.
    #[error(
        "{} does not hold {name} (nor {name}.gz); `veilflow data fetch mnist` downloads the data set, \
         `--data-dir` says where it is", directory.display()
    )]
    MissingFile {
        /// The folder that was searched.
        directory: PathBuf,
        /// The file's name, without `.gz`.
        name: &'static str,
    },
    /// A file could not be read, or its gzip stream is damaged.
    #[error(
        "{file} cannot be read ({source}); if it is damaged, delete it and run `veilflow data fetch mnist`, \
         or choose another folder with `--data-dir`"
    )]
    Read {
        /// The file.
        file: String,
        /// What the system reported.
        source: io::Error,
    },
    /// A file does not start as an IDX file of bytes with the right number of dimensions.
    #[error(
        "{file} is not an IDX file of {expected_dimensions}-dimensional bytes: it starts with {found:#010x} instead \
         of {expected:#010x}; `veilflow data fetch mnist` downloads the right one"
    )]
    Magic {
        /// The file.
        file: String,
        /// The number of dimensions that it must have.
        expected_dimensions: u8,
        /// The magic number that it must start with.
        expected: u32,
        /// The magic number that it starts with.
        found: u32,
    },
    /// The images in a file are not 28×28.
    #[error(
        "{file} holds images of {rows}×{columns} pixels instead of 28×28; `veilflow data fetch mnist` downloads \
         the right ones"
    )]
    ImageSize {
        /// The file.
        file: String,
        /// Height that the header states, in pixels.
        rows: u32,
        /// Width that the header states, in pixels.
        columns: u32,
    },
    /// A header states more items than any file of this data set has.
    #[error("{file} states {found} items, more than the {limit} that this program reads from one file")]
    TooManyItems {
        /// The file.
        file: String,
        /// The largest number that is read.
        limit: u32,
        /// The number that the header states.
        found: u32,
    },
    /// A file ends before its header says.
    #[error(
        "{file} is truncated: its header announces {expected} bytes (uncompressed), it holds {found}; delete it \
         and run `veilflow data fetch mnist`, or choose another folder with `--data-dir`"
    )]
    Truncated {
        /// The file.
        file: String,
        /// Bytes of the uncompressed file by its header.
        expected: u64,
        /// Bytes that are there.
        found: u64,
    },
    /// A file goes on after its header says.
    #[error(
        "{file} is too long: its header announces {expected} bytes (uncompressed) and more follow; delete it and \
         run `veilflow data fetch mnist`, or choose another folder with `--data-dir`"
    )]
    TrailingBytes {
        /// The file.
        file: String,
        /// Bytes of the uncompressed file by its header.
        expected: u64,
    },
    /// The files of images and of labels do not belong together.
    #[error(
        "{images_file} holds {images} images but {labels_file} {labels} labels; they must come from the same data set \
         (`veilflow data fetch mnist`)"
    )]
    Mismatch {
        /// The file of images.
        images_file: String,
        /// Its number of images.
        images: usize,
        /// The file of labels.
        labels_file: String,
        /// Its number of labels.
        labels: usize,
    },
    /// A file of images is whole, but holds none.
    #[error("{file} holds no images; `veilflow data fetch mnist` downloads the data set")]
    NoImages {
        /// The file.
        file: String,
    },
    /// A label is not a digit.
    #[error(
        "{file}: label {position} is {found} instead of a digit from 0 to 9; `veilflow data fetch mnist` downloads the \
         right labels"
    )]
    Label {
        /// The file.
        file: String,
        /// Position of the label in it, from 0.
        position: usize,
        /// Its value.
        found: u8,
    },
    /// A limit asks for no image or for more images than there are.
    #[error("the limit of {limit} {split} images is not between 1 and the {available} that there are")]
    Limit {
        /// Which part of the data.
        split: Split,
        /// The limit.
        limit: usize,
        /// Images that there are.
        available: usize,
    },
    /// A shard does not exist or would hold no image.
    #[error(
        "there is no shard {index} of {count} in {available} {split} images: each shard needs at least one"
    )]
    Shard {
        /// Which part of the data.
        split: Split,
        /// The shard, from 0.
        index: usize,
        /// The number of shards.
        count: usize,
        /// Images to be shared out.
        available: usize,
    },
    /// The batch size is zero.
    #[error("the batch size is 0; it must be at least 1")]
    BatchSize,
    /// The values for a model are not as many as it has parameters.
    #[error("the model has {expected} parameters, got {got} values")]
    ModelLength {
        /// Parameters of the model.
        expected: usize,
        /// Values given.
        got: usize,
    },
    /// The caller's callback asked to stop.
    #[error("cancelled after {images_done} of {images} images")]
    Cancelled {
        /// Images processed so far.
        images_done: usize,
        /// Images in all.
        images: usize,
    },
    /// A layer reported an error.
    #[error(transparent)]
    Layer(#[from] veilflow_nn::Error),
    /// No mirror delivered a file.
    #[error("{file} could not be downloaded:{}", list(failures))]
    Download {
        /// The file.
        file: &'static str,
        /// What happened at each address, in order.
        failures: Vec<(String, FetchFailure)>,
    },
    /// No address to download from was given.
    #[error("there is no address to download from")]
    NoMirror,
    /// The caller's callback asked to stop a download.
    #[error("the download of {file} was cancelled; the next one resumes it")]
    DownloadCancelled {
        /// The file.
        file: &'static str,
    },
    /// Another process is downloading into the same folder.
    #[error("another download into {} is running; wait for it to end", directory.display())]
    DownloadRunning {
        /// The folder.
        directory: PathBuf,
    },
    /// A downloaded file could not be stored.
    #[error("{} cannot be written: {source}", path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// What the system reported.
        source: io::Error,
    },
    /// No environment variable says where caches go.
    #[error("no cache folder: neither XDG_CACHE_HOME nor HOME is set; say where the data is to go")]
    NoCacheDirectory,
}

/// Why one address did not deliver a file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FetchFailure {
    /// The server answered with an error.
    #[error("the server answered {status}")]
    Status {
        /// The HTTP status code.
        status: u16,
    },
    /// The server could not be reached or did not answer in time.
    #[error("{source}")]
    Connection {
        /// What the HTTP client reported.
        source: Box<ureq::Error>,
    },
    /// The connection ended before the file did.
    #[error("the connection ended after {received} of {expected} bytes; the next attempt resumes there")]
    Interrupted {
        /// Bytes of the file that are there.
        received: u64,
        /// Bytes of the file.
        expected: u64,
        /// What was reported, if the end was not an orderly one.
        source: Option<io::Error>,
    },
    /// The server offers a file of another length.
    #[error("the file there has {found} bytes instead of {expected}")]
    Length {
        /// Bytes that the file has.
        expected: u64,
        /// Bytes that the server offers.
        found: u64,
    },
    /// The server sent another part of the file than it was asked for.
    #[error("the server was asked for \"{asked}\" and sent \"{sent}\"")]
    Range {
        /// The part asked for, as the `Content-Range` header has to state it.
        asked: String,
        /// What that header stated; empty if it was missing.
        sent: String,
    },
    /// The file's contents are not the expected ones. It has been discarded.
    #[error("the file there has the SHA-256 {found} instead of {expected}")]
    Digest {
        /// The expected digest, hexadecimal.
        expected: String,
        /// The digest found, hexadecimal.
        found: String,
    },
}

fn list(failures: &[(String, FetchFailure)]) -> String {
    failures.iter().map(|(address, failure)| format!("\n  {address}: {failure}")).collect()
}
