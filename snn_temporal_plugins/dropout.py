"""Dropout for trains: one mask for all time steps."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from . import _checks


class RowDropout(nn.Module):
    r"""Dropout whose mask is shared by all time steps, and by the pixels of an image row.

    In training, what a neuron or row puts out is set to zero with probability ``p`` for the whole
    window and scaled by ``1 / (1 - p)`` otherwise; in evaluation nothing changes.

    Parameters
    ----------
    p : float, default=0.2
        Probability to drop, at least 0 and below 1.

    Raises
    ------
    ValueError
        If ``p`` is outside its range, or the train has less than three dimensions.

    Notes
    -----
    *Shapes.* Spikes or PSCs ``[T, B, N]``: per neuron. ``[T, B, C, H, W]``: per row of a channel,
    as in the authors' program of TSSL-BP (a consequence of how it reshapes).

    *Silent neurons* stay silent.

    Examples
    --------
    >>> import torch, snn_temporal_plugins as stp
    >>> out = stp.RowDropout(0.5)(torch.ones(4, 2, 6))
    >>> bool((out == out[0]).all())
    True
    """

    def __init__(self, p: float = 0.2) -> None:
        super().__init__()
        self.p = _checks.non_negative("RowDropout", "p", p)
        if not self.p < 1:
            raise ValueError(f"RowDropout: p must be below 1, got {p!r}.")

    def extra_repr(self) -> str:
        return f"p={self.p:g}"

    def forward(self, x: Tensor) -> Tensor:
        """Drop from a train ``[T, B, N]`` or ``[T, B, C, H, W]``."""
        if x.dim() < 3:
            raise ValueError(
                f"RowDropout: expected [T, B, N] or [T, B, C, H, W], got {list(x.shape)}."
            )
        if not self.training or not self.p:
            return x
        shape = x.shape[1:] if x.dim() == 3 else (*x.shape[1:-1], 1)
        keep = 1 - self.p
        return x * torch.empty(shape, dtype=x.dtype, device=x.device).bernoulli_(keep).div_(keep)
