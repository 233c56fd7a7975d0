//! The interpreter of Veilflow's step graphs, and LocalRuntime.
