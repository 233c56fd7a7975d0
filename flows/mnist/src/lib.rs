//! MNIST: data, the CNN, and the flows secure_aggregation_mnist and fedavg_mnist.
