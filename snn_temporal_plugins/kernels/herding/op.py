"""A network of herding units as an operator, and the arrays that its loops work on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..common.direct import array
from ..common.threads import run_blocks
from . import cpu, learning, relu
from .queue import FULL, LANES

_BITS = {torch.float32: np.uint32, torch.float64: np.uint64}
SPIKES_PER_UNIT = 64  # that a queue holds for one step, on average over the widest layer


class Layout(NamedTuple):
    """Weights of all layers as one array of rows, and where everything lies."""

    rows: np.ndarray
    plan: np.ndarray

    @classmethod
    def of(cls, weights: Sequence[Tensor]) -> Layout:
        """Copy ``weights``, each ``[O, I]``, into padded rows ``[I, O']``."""
        sizes = np.array([weights[0].shape[1], *(len(w) for w in weights)], np.int64)
        padded = sizes + -sizes % LANES
        rows = np.concatenate([[0, 0], (sizes[:-1] * padded[1:]).cumsum()[:-1]])
        plan = np.stack([sizes, padded, padded.cumsum() - padded, rows])
        matrices = [
            np.pad(w.detach().numpy().T, ((0, 0), (0, width - len(w))))
            for w, width in zip(weights, padded[1:], strict=True)
        ]
        return cls(np.concatenate([matrix.ravel() for matrix in matrices]), plan)

    def copy_back(self, weights: Sequence[Tensor]) -> None:
        """Write the rows into ``weights``."""
        for k, weight in enumerate(weights, 1):
            matrix = self.rows[self.plan[cpu.ROWS, k] :][: weight.shape[1] * self.plan[1, k]]
            matrix = matrix.reshape(weight.shape[1], -1)[:, : len(weight)]
            with torch.no_grad():
                weight.copy_(torch.from_numpy(matrix.T))

    @property
    def units(self) -> int:
        """Number of units of all layers, padded."""
        return int(self.plan[1].sum())

    @property
    def capacity(self) -> int:
        """Spikes of one step that a queue holds."""
        return int(SPIKES_PER_UNIT * self.plan[0].max())


class Rule(NamedTuple):
    """How the engine learns."""

    event: bool  #: test thresholds after every spike instead of every step
    fractional: bool  #: change weights at every error spike instead of every sample
    smooth: bool  #: use sums instead of counts of spikes
    rate: float  #: learning rate of one pair of spikes
    quantum: float  #: size of a hidden error spike


def full(owner: str) -> RuntimeError:
    """Error of a queue that was too short."""
    return RuntimeError(
        f"{owner}: more than {SPIKES_PER_UNIT} spikes per unit in one step; the network diverged, "
        "or its activations are that large. Lower lr, or scale the weights down."
    )


@torch.library.custom_op("snn_temporal_plugins::herding_mlp", mutates_args=())
def herding_mlp(
    x: Tensor, weights: Sequence[Tensor], num_steps: int, event: bool
) -> tuple[Tensor, Tensor]:
    """Mean output potentials ``[B, O]`` and spikes per layer ``[B, L + 1]``, inputs first."""
    layout = Layout.of(weights)
    scores, spikes = _results(x, weights)
    values = array(x)
    run_blocks(
        cpu.infer,
        len(x),
        values,
        np.empty(0, _BITS[x.dtype]),
        *layout,
        num_steps,
        event,
        layout.capacity,
        scores.numpy(),
        spikes.numpy(),
    )
    if len(x) and (spikes[:, 0] == FULL).any():
        raise full("HerdingMLP")
    return scores, spikes


@herding_mlp.register_fake
def _(x: Tensor, weights: Sequence[Tensor], num_steps: int, event: bool) -> tuple[Tensor, Tensor]:
    return _results(x, weights)


def _results(x: Tensor, weights: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    spikes = x.new_empty((len(x), len(weights) + 1), dtype=torch.int64)
    return x.new_empty((len(x), weights[-1].shape[0])), spikes


def learn(
    x: Tensor,
    labels: Tensor,
    layout: Layout,
    num_steps: int,
    rule: Rule,
    at_end: bool,
    back: np.ndarray,
    starts: np.ndarray,
) -> tuple[int, np.ndarray]:
    """Train ``layout.rows`` and ``back`` in place; how many were right before, and the tally."""
    tally = np.zeros((4, max(layout.plan.shape[1], 3)), np.int64)
    right = learning.train(
        array(x),
        np.empty(0, _BITS[x.dtype]),
        labels.numpy(),
        *layout,
        num_steps,
        (*rule[:3], *map(back.dtype.type, rule[3:])),
        at_end,
        back,
        starts,
        layout.capacity,
        tally,
    )
    if right == FULL:
        raise full("HerdingMLP.learn")
    return right, tally


def learn_relu(x: Tensor, labels: Tensor, weights: Sequence[Tensor], rate: float) -> int:
    """Train a dense ReLU network in place, one sample at a time; how many were right before.

    The comparison of the spiking engine: same loss, same order, plain gradient descent.
    """
    layout = Layout.of(weights)
    rate = layout.rows.dtype.type(rate)
    right = relu.train(array(x), labels.numpy(), *layout, rate)
    layout.copy_back(weights)
    return right
