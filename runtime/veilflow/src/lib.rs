//! Federated-learning workflow graphs with secure aggregation.
