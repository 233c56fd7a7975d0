//! The typed step graph of Veilflow: messages, steps, placements, descriptions and fingerprints.
