//! The flows on LocalRuntime, on real digits.

mod confidentiality;
mod dropouts;
mod golden_files;
mod same_model;
mod secure_join;
mod support;
