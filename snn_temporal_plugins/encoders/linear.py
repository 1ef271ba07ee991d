"""The linear latency code."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor, nn

from .. import _checks
from .steps import check_window, whole_steps

INF = float("inf")


def latency(x: Tensor, t_max: float, *, steps: bool = True, silent_zeros: bool = True) -> Tensor:
    r"""Latency code: the brighter, the earlier.

    .. math:: t_i = \lfloor (1 - x_i) \, t_{max} \rfloor

    Parameters
    ----------
    x : Tensor of any shape
        Values in [0, 1], float32 or float64, or grey levels 0 ... 255 of type uint8.
    t_max : int
        Number of steps of the window; with ``steps=False`` a float, the length of the window.
    steps : bool, default=True
        Whole steps ``0 ... t_max - 1``; ``False`` leaves the floor out.
    silent_zeros : bool, default=True
        A value of 0 never fires (``inf``). ``False``: it fires at the end of the window, which is
        step ``t_max - 1``, or time ``t_max`` with ``steps=False``.

    Returns
    -------
    Tensor of the shape of ``x``
        Spike times; float64 for float64 values, else float32.

    Raises
    ------
    TypeError
        If ``x`` is neither uint8 nor float32 nor float64.
    ValueError
        If values are NaN or outside [0, 1], or ``t_max`` is below 1.

    Notes
    -----
    uint8 is computed in integers, :math:`\lfloor (255 - I)\, t_{max} / 255 \rfloor`. A float that
    is within 1/512 of the next whole step counts as having reached it, which undoes the rounding
    of ``I / 255``: all 256 grey levels get the same time in both types for every ``t_max`` up to
    4096. Values above 0 always fire.

    The gradient is ``-t_max`` with ``steps=False`` (0 for a silent value), and 0 with steps.

    ``silent_zeros=True`` is the code of S4NN [1]_, ``False`` at ``t_max=256`` that of BS4NN [2]_.

    References
    ----------
    .. [1] S. R. Kheradpisheh, T. Masquelier, "S4NN: temporal backpropagation for spiking neural
       networks with one spike per neuron", arXiv:1910.09495.
    .. [2] S. R. Kheradpisheh, M. Mirsadeghi, T. Masquelier, "BS4NN: binarized spiking neural
       networks with temporal coding and learning", arXiv:2007.04039.

    Examples
    --------
    >>> import torch, snn_temporal_plugins as stp
    >>> stp.latency(torch.tensor([255, 254, 1, 0], dtype=torch.uint8), 256)
    tensor([  0.,   1., 254.,  inf])
    >>> stp.latency(torch.tensor([1.0, 0.75, 0.0]), 10.0, steps=False)
    tensor([0.0000, 2.5000,    inf])
    """
    check_window("latency", t_max, steps)
    _checks.unit_values("latency", x)
    if x.dtype == torch.uint8:
        traced = type(x) is not Tensor or torch.compiler.is_compiling()
        table = _grey_times if traced else _kept_grey_times
        times = table(t_max, steps, silent_zeros, x.device)
        return times.index_select(0, x.flatten().int()).view(x.shape)  # thrice as fast as [x]
    times = (1 - x).mul_(t_max)
    if steps:
        times = whole_steps(times, int(t_max))
    return times.masked_fill_(x == 0, INF) if silent_zeros else times


def _grey_times(t_max: float, steps: bool, silent_zeros: bool, device: torch.device) -> Tensor:
    """Times of the 256 grey levels."""
    late = 255 - torch.arange(256, device=device)
    if steps:
        times = (late * int(t_max) // 255).clamp(max=int(t_max) - 1).float()
    else:
        times = late.float() * t_max / 255
    if silent_zeros:
        times[0] = INF
    return times


_kept_grey_times = lru_cache(16)(_grey_times)


def decode_latency(times: Tensor, t_max: float) -> Tensor:
    r"""Values of a latency code, the inverse of :func:`latency`.

    .. math:: x_i = \max(0, \, 1 - t_i / t_{max})

    Parameters
    ----------
    times : Tensor of any shape
        Spike times.
    t_max : float
        Length of the window, in the unit of the times.

    Returns
    -------
    Tensor of the shape of ``times``
        Values in [0, 1]. From whole steps they are at most one step, ``1 / t_max``, too bright;
        from continuous times they are exact. A silent neuron stands for 0.

    Raises
    ------
    ValueError
        If times are NaN or negative, or ``t_max`` is not positive.

    References
    ----------
    .. [1] S. R. Kheradpisheh, T. Masquelier, "S4NN: temporal backpropagation for spiking neural
       networks with one spike per neuron", arXiv:1910.09495: the code that is read back.

    Examples
    --------
    >>> import torch, snn_temporal_plugins as stp
    >>> stp.decode_latency(torch.tensor([0.0, 2.0, float("inf")]), 8)
    tensor([1.0000, 0.7500, 0.0000])
    """
    _checks.positive("decode_latency", "t_max", t_max)
    _checks.spike_times("decode_latency", times)
    return (1 - times / t_max).clamp(min=0)


class Latency(nn.Module):
    """Latency code as a layer; see :func:`latency`.

    Parameters
    ----------
    t_max : int
        Number of steps of the window; with ``steps=False`` its length.
    steps : bool, default=True
        Whole steps.
    silent_zeros : bool, default=True
        A value of 0 never fires.

    Raises
    ------
    TypeError, ValueError
        As :func:`latency`; a bad ``t_max`` already when the layer is made.

    Examples
    --------
    >>> import torch, snn_temporal_plugins as stp
    >>> stp.Latency(8)(torch.tensor([[1.0, 0.5, 0.0]]))
    tensor([[0., 4., inf]])
    """

    def __init__(self, t_max: float, *, steps: bool = True, silent_zeros: bool = True) -> None:
        super().__init__()
        check_window("Latency", t_max, steps)
        self.t_max, self.steps, self.silent_zeros = t_max, steps, silent_zeros

    def extra_repr(self) -> str:
        return f"t_max={self.t_max}, steps={self.steps}, silent_zeros={self.silent_zeros}"

    def forward(self, x: Tensor) -> Tensor:
        """Spike times of values, of the same shape."""
        return latency(x, self.t_max, steps=self.steps, silent_zeros=self.silent_zeros)
