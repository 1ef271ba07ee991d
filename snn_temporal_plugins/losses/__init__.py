"""Losses on output spikes."""

from .base import FirstSpikeLoss as FirstSpikeLoss
from .first_spike import FirstSpikeCrossEntropy as FirstSpikeCrossEntropy
from .first_spike import TargetTimeLoss as TargetTimeLoss
from .potential_margin import PotentialMarginLoss as PotentialMarginLoss
from .rank_order import RankOrderLoss as RankOrderLoss
from .spike_time_costs import SpikeCountSurrogate as SpikeCountSurrogate
from .spike_time_costs import SpikeTimeSparsity as SpikeTimeSparsity
from .spike_time_costs import TemporalPenalty as TemporalPenalty
from .spike_train import SpikeCountHinge as SpikeCountHinge
from .spike_train import SpikeTrainDistance as SpikeTrainDistance
from .spike_train import SpikeTrainLoss as SpikeTrainLoss
