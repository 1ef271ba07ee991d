"""Event-driven single-spike layers with one bit per synapse."""
