//! Derive macros of Veilflow.
