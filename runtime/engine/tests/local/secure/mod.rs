//! Secure joins.

mod closing;
mod confidentiality;
mod dropouts;
mod places;
mod restart;
mod sums;
mod support;
