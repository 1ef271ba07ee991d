"""Encoders: values in [0, 1] to spike times, and the way back; currents for clocked hosts.

Every encoder is a function, and a module of the same name in capitals for ``nn.Sequential``. Grey
levels of type uint8 are taken as they are: their times are exact, and nothing need be divided.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from . import _checks

INF = float("inf")
# A float32 grey level x = I / 255 misses its step by up to 6e-4 steps at t_max = 4096, and exact
# times that are not whole are at least 1/255 away from the next step: 1/512 separates the two.
_HALF_LEVEL = 2.0**-9


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
    _window("latency", t_max, steps)
    _checks.unit_values("latency", x)
    if x.dtype == torch.uint8:
        return _grey_times(t_max, steps, silent_zeros, x.device)[x.int()]
    times = (1 - x).mul_(t_max)
    if steps:
        times = times.add_(_HALF_LEVEL).floor_().clamp_(max=t_max - 1)
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


def _window(owner: str, t_max: float, steps: bool) -> None:
    """Steps are counted, a continuous window is measured."""
    if steps:
        _checks.integer(owner, "t_max", t_max, 1)  # type: ignore[arg-type]
    else:
        _checks.positive(owner, "t_max", t_max)


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

    Examples
    --------
    >>> import torch, snn_temporal_plugins as stp
    >>> stp.Latency(8)(torch.tensor([[1.0, 0.5, 0.0]]))
    tensor([[0., 4., inf]])
    """

    def __init__(self, t_max: float, *, steps: bool = True, silent_zeros: bool = True) -> None:
        super().__init__()
        _window("Latency", t_max, steps)
        self.t_max, self.steps, self.silent_zeros = t_max, steps, silent_zeros

    def extra_repr(self) -> str:
        return f"t_max={self.t_max}, steps={self.steps}, silent_zeros={self.silent_zeros}"

    def forward(self, x: Tensor) -> Tensor:
        """Spike times of values, of the same shape."""
        return latency(x, self.t_max, steps=self.steps, silent_zeros=self.silent_zeros)
