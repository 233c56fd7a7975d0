//! The command line from outside: arguments in, text and exit code out.

mod config;
mod files;
mod output;
mod text;
mod toy;
mod usage;
