//! Veilflow's command line, as a library that takes a registry of flows.
