"""Synapses: layers that tell an event-driven neuron their weights."""

from .base import Synapse as Synapse
from .binary import BinaryConv2d as BinaryConv2d
from .binary import BinaryLinear as BinaryLinear
from .packed import PackedConv2d as PackedConv2d
from .packed import PackedLinear as PackedLinear
from .packed import pack as pack
