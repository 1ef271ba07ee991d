"""Encoders: values in [0, 1] to spike times, and the way back; currents for clocked hosts.

Every encoder is a function, and a module of the same name in capitals for ``nn.Sequential``. Grey
levels of type uint8 are taken as they are: their times are exact, and nothing need be divided.
"""

from .clocked import ConstantCurrent as ConstantCurrent
from .clocked import SpikeTrain as SpikeTrain
from .clocked import constant_current as constant_current
from .linear import Latency as Latency
from .linear import decode_latency as decode_latency
from .linear import latency as latency
from .logarithmic import LogLatency as LogLatency
from .logarithmic import decode_log_latency as decode_log_latency
from .logarithmic import log_latency as log_latency
from .ranks import RankOrder as RankOrder
from .ranks import decode_rank_order as decode_rank_order
from .ranks import rank_order as rank_order
