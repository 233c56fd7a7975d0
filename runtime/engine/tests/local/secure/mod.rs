//! Secure joins.

mod closing;
mod confidentiality;
mod dropouts;
mod flows;
mod sums;
mod support;
