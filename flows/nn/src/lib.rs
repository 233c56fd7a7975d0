//! Neural-network layers that are right and fast on a CPU, on candle.
