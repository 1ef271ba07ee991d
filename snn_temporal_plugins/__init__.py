"""Temporal coding for spiking neural networks in PyTorch."""

from . import datasets as datasets
from . import metrics as metrics
from . import models as models
from ._checks import set_validation as set_validation
from .codes import first_spike_times as first_spike_times
from .codes import spike_train as spike_train
from .decision_stream import DecisionStream as DecisionStream
from .decision_window import DecisionWindow as DecisionWindow
from .early import Decision as Decision
from .early import first_spike_decision as first_spike_decision
from .encoders import ConstantCurrent as ConstantCurrent
from .encoders import Latency as Latency
from .encoders import LogLatency as LogLatency
from .encoders import RankOrder as RankOrder
from .encoders import SpikeTrain as SpikeTrain
from .encoders import constant_current as constant_current
from .encoders import decode_latency as decode_latency
from .encoders import decode_log_latency as decode_log_latency
from .encoders import decode_rank_order as decode_rank_order
from .encoders import latency as latency
from .encoders import log_latency as log_latency
from .encoders import rank_order as rank_order
from .losses import FirstSpikeCrossEntropy as FirstSpikeCrossEntropy
from .losses import FirstSpikeLoss as FirstSpikeLoss
from .losses import PotentialMarginLoss as PotentialMarginLoss
from .losses import RankOrderLoss as RankOrderLoss
from .losses import TargetTimeLoss as TargetTimeLoss
from .neurons import ClockedNeuron as ClockedNeuron
from .neurons import HerdingQuantizer as HerdingQuantizer
from .neurons import HerdingReLU as HerdingReLU
from .neurons import SingleSpikeIF as SingleSpikeIF
from .neurons import TimedNeuron as TimedNeuron
from .plugins import NeuronSpec as NeuronSpec
from .plugins import get as get
from .plugins import list_plugins as list_plugins
from .plugins import register as register
from .pooling import FirstSpikePool2d as FirstSpikePool2d
from .synapses import BinaryConv2d as BinaryConv2d
from .synapses import BinaryLinear as BinaryLinear
from .synapses import Synapse as Synapse
from .timed import SilentLayerWarning as SilentLayerWarning
from .timed import Timed as Timed
from .to_timed import to_timed as to_timed

__version__ = "0.1.0"
