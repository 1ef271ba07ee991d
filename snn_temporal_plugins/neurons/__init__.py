"""Neuron models, one file each."""

from .base import ClockedNeuron as ClockedNeuron
from .base import TimedNeuron as TimedNeuron
from .exact_lif import ExactLIF as ExactLIF
from .exact_lif_forward import TruncatedSpikesWarning as TruncatedSpikesWarning
from .herding import HerdingQuantizer as HerdingQuantizer
from .herding import HerdingReLU as HerdingReLU
from .single_spike_if import SingleSpikeIF as SingleSpikeIF
from .tssl_lif import TSSLLIF as TSSLLIF
