//! Transport security: TLS 1.3, mutual, against the federation’s own authority.
