"""Constants of other people's neurons in those of the exact LIF neuron."""

from __future__ import annotations

import math
from typing import Any


def synaptic_constants(alpha: float, beta: float, dt: float) -> tuple[float, float]:
    """Time constants of membrane and synapse from decays per step."""
    if not (0 < alpha < 1 and 0 < beta <= 1):
        raise ValueError(
            "ExactLIF: expected 0 < alpha < 1 and 0 < beta <= 1, got "
            f"alpha={alpha!r}, beta={beta!r}."
        )
    return -dt / math.log(beta) if beta < 1 else math.inf, -dt / math.log(alpha)


def norse_constants(parameters: Any) -> tuple[float, float, float]:
    """Time constants of membrane and synapse, and threshold, of norse's ``LIFParameters``."""
    for name in ("v_leak", "v_reset"):
        if float(getattr(parameters, name)):
            raise ValueError(f"ExactLIF: {name} must be 0, got {getattr(parameters, name)!r}.")
    return (
        1 / float(parameters.tau_mem_inv),
        1 / float(parameters.tau_syn_inv),
        float(parameters.v_th),
    )
