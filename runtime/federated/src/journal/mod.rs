//! What must outlast a process: at the director its experiments, at a site what it has masked.
//!
//! | part | what it is |
//! |---|---|
//! | [`StateDir`] | the director's directory: one process at a time, a directory for each experiment |
//! | [`ExperimentJournal`] | one experiment: what was asked for, its transitions, its events, how it ended |
//! | [`Events`] | an experiment's events, to be read from any number on |
//! | [`FileInputJournal`] | a site's memory of what it has masked (`SECURITY.md`, row 6) |
//!
//! **How it is durable.** What is appended is written and synced before the call returns; several that wait together
//! share one sync, and its cost is that of writing over bytes that are there already. A record has its length and checksums before it. A process or a machine that stops in the middle of
//! a write leaves a torn tail: it is cut off when the file is opened, and all before it is kept. Damage anywhere else is
//! no torn tail, and is refused. Other files are written beside their place and moved there.
//!
//! No secret of a secure session is ever in here: the server holds none, and sites keep theirs in memory only.

mod error;
mod events;
mod experiment;
pub(crate) mod files;
mod frame;
mod inputs;
mod lock;
mod segments;
mod state_dir;
mod tail;

pub use self::error::JournalError;
pub use self::events::{Events, Page};
pub use self::experiment::ExperimentJournal;
pub use self::inputs::FileInputJournal;
pub use self::state_dir::{Experiments, StateDir};
