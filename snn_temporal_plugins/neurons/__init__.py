"""Neuron models, one file each."""

from .base import ClockedNeuron as ClockedNeuron
from .base import TimedNeuron as TimedNeuron
from .single_spike_if import SingleSpikeIF as SingleSpikeIF
