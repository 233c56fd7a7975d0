//! A director and its envoys in one process: real flows and journals, and envoys that say what a test has them say.

mod answers;
mod cancelling;
mod following;
mod lifecycle;
mod network;
mod restarts;
mod sessions;
mod support;
