"""Synapses: layers that tell an event-driven neuron their weights."""

from .base import Synapse as Synapse
