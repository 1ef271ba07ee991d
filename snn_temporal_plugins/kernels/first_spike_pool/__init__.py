"""Pooling on first spikes."""
