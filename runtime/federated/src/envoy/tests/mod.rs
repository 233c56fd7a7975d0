//! An envoy whose director is the test, and whose flow does what the test says.

mod connection;
mod drain;
mod over_the_wire;
mod policy;
mod renewal;
mod stage;
mod tasks;
mod toy;
