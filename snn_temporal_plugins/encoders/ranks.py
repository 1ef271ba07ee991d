"""The rank-order code."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .. import _checks

INF = float("inf")


def rank_order(x: Tensor, *, silent_zeros: bool = True) -> Tensor:
    r"""Rank-order code: a value's time is the number of distinct larger values of its sample.

    .. math:: t_i = |\{\, x_j : x_j > x_i \,\}|

    The brightest values fire at 0, the second brightest at 1, and so on: equal values share a
    rank, and no rank is left out. Only the order of the values matters, not their size.

    Parameters
    ----------
    x : Tensor of shape [B, ...]
        Values in [0, 1], float32 or float64, or grey levels 0 ... 255 of type uint8. The first
        dimension counts samples; each is ranked by itself.
    silent_zeros : bool, default=True
        A value of 0 never fires (``inf``).

    Returns
    -------
    Tensor of the shape of ``x``
        Ranks 0, 1, ... as spike times in steps; float64 for float64 values, else float32.

    Raises
    ------
    TypeError
        If ``x`` is neither uint8 nor float32 nor float64.
    ValueError
        If values are NaN or outside [0, 1], or ``x`` has no dimension beside the samples.

    Notes
    -----
    A sample of N values takes as many steps as it has distinct values, at most N (256 for grey
    levels). No gradient passes.

    References
    ----------
    .. [1] S. Thorpe, J. Gautrais, "Rank order coding", in Computational Neuroscience: Trends in
       Research, Plenum Press, 1998.

    Examples
    --------
    >>> import torch, snn_temporal_plugins as stp
    >>> stp.rank_order(torch.tensor([[0.2, 0.9, 0.0, 0.9, 0.4]]))
    tensor([[2., 0., inf, 0., 1.]])
    """
    _checks.unit_values("rank_order", x)
    if x.dim() < 2:
        raise ValueError(f"rank_order: x must have shape [B, ...], got {list(x.shape)}.")
    ordered, place = x.detach().flatten(1).sort(dim=1, descending=True)
    darker = torch.zeros_like(place)
    darker[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    ranks = torch.empty_like(place).scatter_(1, place, darker.cumsum(1)).view(x.shape)
    times = ranks.to(torch.float64 if x.dtype == torch.float64 else torch.float32)
    return times.masked_fill(x == 0, INF) if silent_zeros else times


def decode_rank_order(times: Tensor) -> Tensor:
    r"""Evenly spaced values in the order of a rank-order code.

    .. math:: x_i = 1 - t_i / R, \qquad R = 1 + \max_j t_j

    Parameters
    ----------
    times : Tensor of shape [B, ...]
        Ranks, as :func:`rank_order` returns them.

    Returns
    -------
    Tensor of the shape of ``times``
        Values in [0, 1] of the same order as those that were encoded; what is lost is their size.
        A silent neuron stands for 0.

    Raises
    ------
    ValueError
        If times are NaN or negative, or have no dimension beside the samples.

    References
    ----------
    .. [1] S. Thorpe, J. Gautrais, "Rank order coding", in Computational Neuroscience: Trends in
       Research, Plenum Press, 1998: the code that is read back.

    Examples
    --------
    >>> import torch, snn_temporal_plugins as stp
    >>> stp.decode_rank_order(torch.tensor([[3.0, 0.0, float("inf"), 1.0]]))
    tensor([[0.2500, 1.0000, 0.0000, 0.7500]])
    """
    _checks.spike_times("decode_rank_order", times)
    if times.dim() < 2:
        raise ValueError(
            f"decode_rank_order: times must have shape [B, ...], got {list(times.shape)}."
        )
    flat = times.flatten(1)
    fired = flat.isfinite()
    ranks = flat.masked_fill(~fired, 0.0)
    count = ranks.amax(1, keepdim=True) + 1
    return (1 - ranks / count).masked_fill(~fired, 0.0).view(times.shape)


class RankOrder(nn.Module):
    """Rank-order code as a layer; see :func:`rank_order`.

    Parameters
    ----------
    silent_zeros : bool, default=True
        A value of 0 never fires.

    Raises
    ------
    TypeError, ValueError
        As :func:`rank_order`, in the call.

    Examples
    --------
    >>> import torch, snn_temporal_plugins as stp
    >>> stp.RankOrder()(torch.tensor([[0.3, 0.7, 0.0]]))
    tensor([[1., 0., inf]])
    """

    def __init__(self, *, silent_zeros: bool = True) -> None:
        super().__init__()
        self.silent_zeros = silent_zeros

    def extra_repr(self) -> str:
        return f"silent_zeros={self.silent_zeros}"

    def forward(self, x: Tensor) -> Tensor:
        """Ranks of the values ``[B, ...]``, of the same shape."""
        return rank_order(x, silent_zeros=self.silent_zeros)
