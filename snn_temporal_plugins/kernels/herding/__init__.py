"""Networks of herding units, spike by spike: inference, training, and a dense ReLU beside it."""
