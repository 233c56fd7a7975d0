//! Secure aggregation (SecAgg) as client and server roles without I/O.
