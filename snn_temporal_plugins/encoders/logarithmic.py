"""The logarithmic latency code."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from .. import _checks
from .steps import check_window, whole_steps

INF = float("inf")


def log_latency(x: Tensor, t_max: float, *, x_min: float = 1 / 256, steps: bool = True) -> Tensor:
    r"""Logarithmic latency code: equal ratios of values are equal differences of times.

    .. math:: t_i = \Bigl\lfloor t_{max} \, \frac{\ln x_i}{\ln x_{min}} \Bigr\rfloor

    A factor on all values, such as another contrast, shifts all spikes by the same time [1]_.

    Parameters
    ----------
    x : Tensor of any shape
        Values in [0, 1], float32 or float64, or grey levels 0 ... 255 of type uint8.
    t_max : int
        Number of steps of the window; with ``steps=False`` a float, the length of the window.
    x_min : float, default=1/256
        Values up to it never fire (``inf``). By default every grey level but 0 fires.
    steps : bool, default=True
        Whole steps ``0 ... t_max - 1``; ``False`` leaves the floor out.

    Returns
    -------
    Tensor of the shape of ``x``
        Spike times; float64 for float64 values, else float32.

    Raises
    ------
    TypeError
        If ``x`` is neither uint8 nor float32 nor float64.
    ValueError
        If values are NaN or outside [0, 1], ``t_max`` is below 1, or ``x_min`` not in (0, 1).

    Notes
    -----
    The gradient is that of the logarithm with ``steps=False`` (0 for a silent value), and 0 with
    steps.

    References
    ----------
    .. [1] J. J. Hopfield, "Pattern recognition computation using action potential timing for
       stimulus representation", Nature 376, 1995.

    Examples
    --------
    >>> import torch, snn_temporal_plugins as stp
    >>> stp.log_latency(torch.tensor([1.0, 0.5, 0.25, 0.0]), 16)
    tensor([0., 2., 4., inf])
    """
    check_window("log_latency", t_max, steps)
    _check_x_min("log_latency", x_min)
    _checks.unit_values("log_latency", x)
    if x.dtype == torch.uint8:
        levels = torch.arange(256, device=x.device) / 255
        return log_latency(levels, t_max, x_min=x_min, steps=steps)[x.int()]
    # float64 inside, for times that do not depend on the dtype; clamped, for log(0) has no gradient
    times = x.double().clamp(min=x_min).reciprocal().log() * (t_max / -math.log(x_min))
    if steps:
        times = whole_steps(times, int(t_max))
    return times.masked_fill(x <= x_min, INF).to(x.dtype)


def decode_log_latency(times: Tensor, t_max: float, *, x_min: float = 1 / 256) -> Tensor:
    r"""Values of a logarithmic latency code, the inverse of :func:`log_latency`.

    .. math:: x_i = x_{min}^{\, t_i / t_{max}}

    Parameters
    ----------
    times : Tensor of any shape
        Spike times.
    t_max : float
        Length of the window, in the unit of the times.
    x_min : float, default=1/256
        As in :func:`log_latency`.

    Returns
    -------
    Tensor of the shape of ``times``
        Values in [0, 1]. From whole steps they are too bright by at most one step, a factor of
        ``x_min ** (-1 / t_max)``. A silent neuron stands for 0.

    Raises
    ------
    ValueError
        If times are NaN or negative, or a constant is outside its range.

    References
    ----------
    .. [1] J. J. Hopfield, "Pattern recognition computation using action potential timing for
       stimulus representation", Nature 376, 1995: the code that is read back.

    Examples
    --------
    >>> import torch, snn_temporal_plugins as stp
    >>> stp.decode_log_latency(torch.tensor([0.0, 4.0, float("inf")]), 16)
    tensor([1.0000, 0.2500, 0.0000])
    """
    _checks.positive("decode_log_latency", "t_max", t_max)
    _check_x_min("decode_log_latency", x_min)
    _checks.spike_times("decode_log_latency", times)
    return x_min ** (times / t_max)


def _check_x_min(owner: str, x_min: float) -> None:
    if not 0 < _checks.positive(owner, "x_min", x_min) < 1:
        raise ValueError(f"{owner}: x_min must lie between 0 and 1, got {x_min!r}.")


class LogLatency(nn.Module):
    """Logarithmic latency code as a layer; see :func:`log_latency`.

    Parameters
    ----------
    t_max : int
        Number of steps of the window; with ``steps=False`` its length.
    x_min : float, default=1/256
        Values up to it never fire.
    steps : bool, default=True
        Whole steps.

    Raises
    ------
    TypeError, ValueError
        As :func:`log_latency`; bad constants already when the layer is made.

    Examples
    --------
    >>> import torch, snn_temporal_plugins as stp
    >>> stp.LogLatency(16)(torch.tensor([[1.0, 0.25, 0.0]]))
    tensor([[0., 4., inf]])
    """

    def __init__(self, t_max: float, *, x_min: float = 1 / 256, steps: bool = True) -> None:
        super().__init__()
        check_window("LogLatency", t_max, steps)
        _check_x_min("LogLatency", x_min)
        self.t_max, self.x_min, self.steps = t_max, x_min, steps

    def extra_repr(self) -> str:
        return f"t_max={self.t_max}, x_min={self.x_min:g}, steps={self.steps}"

    def forward(self, x: Tensor) -> Tensor:
        """Spike times of values, of the same shape."""
        return log_latency(x, self.t_max, x_min=self.x_min, steps=self.steps)
