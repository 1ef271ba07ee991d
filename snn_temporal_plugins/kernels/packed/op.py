"""Operator of the bit-packed single-spike layer: schema and fake version; it has no gradient."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..common.direct import array, scalar_type
from ..common.threads import run_blocks
from . import cpu

LANES = 16  # words that are counted at once
ONE_WORD, WORDS, SHORT, LONG = ((0,) * size for size in (1, LANES, 11, 15))


@torch.library.custom_op("snn_temporal_plugins::packed_single_spike_if", mutates_args=())
def packed_single_spike_if(
    times: Tensor,
    rows: Tensor,
    outputs: int,
    scale: float,
    needs: Tensor,
    drive: Tensor,
    begin: int,
    delay: int,
    t_max: float,
    with_potential: bool,
) -> tuple[Tensor, Tensor]:
    """Spike times ``[B, O]`` of one layer, and potentials (empty where they are not wanted).

    ``times [B, I]``; ``rows [I, W]``, int64: 64 signs per word; ``needs`` and ``drive`` as in
    :func:`.cpu.forward`.
    """
    out, potential = _results(times, outputs, with_potential)
    out.fill_(float("inf"))
    scalar = scalar_type(times)
    inputs = array(times)
    reach = inputs.shape[1] + max(abs(int(needs[0])), abs(int(needs[-1])))
    run_blocks(
        cpu.forward,
        len(times),
        inputs,
        inputs.view(np.uint64 if scalar is np.float64 else np.uint32),
        rows.numpy().view(np.uint64),
        scalar(scale),
        needs.numpy(),
        drive.numpy(),
        scalar(begin),
        scalar(delay),
        scalar(t_max),
        (ONE_WORD if outputs <= 64 else WORDS, SHORT if reach < 1000 else LONG),
        out.numpy(),
        potential.numpy(),
    )
    return out, potential


def _results(times: Tensor, outputs: int, with_potential: bool) -> tuple[Tensor, Tensor]:
    shape = times.shape[0], outputs
    return times.new_empty(shape), times.new_empty(shape if with_potential else (0, 0))


@packed_single_spike_if.register_fake
def _(
    times: Tensor,
    rows: Tensor,
    outputs: int,
    scale: float,
    needs: Tensor,
    drive: Tensor,
    begin: int,
    delay: int,
    t_max: float,
    with_potential: bool,
) -> tuple[Tensor, Tensor]:
    return _results(times, outputs, with_potential)


def weight_rows(positive: Tensor) -> Tensor:
    """Words ``[I, W]`` of each input from the signs ``positive [O, I]`` (bool)."""
    outputs, inputs = positive.shape
    words = -(-outputs // 64)
    words += -words % LANES if words > 1 else 0
    spread = np.zeros((inputs, 64 * words), np.bool_)
    spread[:, :outputs] = positive.cpu().numpy().T
    packed = np.packbits(spread, axis=1, bitorder="little").view("<u8").astype(np.uint64)
    return torch.from_numpy(packed.view(np.int64))
