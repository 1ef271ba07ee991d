"""What a clocked host is fed: constant currents, and trains of encoded spikes."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .. import _checks
from ..codes import spike_train


def constant_current(x: Tensor, num_steps: int, *, gain: float = 1.0) -> Tensor:
    r"""The same current at every step: the stronger it is, the earlier a neuron fires.

    .. math:: I_i(t) = g \, x_i, \qquad t = 0, \ldots, T - 1

    Parameters
    ----------
    x : Tensor of shape [B, ...]
        Values in [0, 1], float32 or float64, or grey levels 0 ... 255 of type uint8.
    num_steps : int
        Number of steps T.
    gain : float, default=1.0
        Factor g.

    Returns
    -------
    Tensor of shape [T, B, ...]
        Currents, time first; a view of one step, so do not write into it. float64 for float64
        values, else float32.

    Raises
    ------
    TypeError
        If ``x`` is neither uint8 nor float32 nor float64.
    ValueError
        If values are NaN or outside [0, 1], ``num_steps`` is below 1 or ``gain`` not positive.

    References
    ----------
    .. [1] J. K. Eshraghian et al., "Training spiking neural networks using lessons from deep
       learning", Proceedings of the IEEE 111(9), 2023, arXiv:2109.12894: features as currents.

    Examples
    --------
    >>> import torch, snn_temporal_plugins as stp
    >>> stp.constant_current(torch.tensor([[0.0, 0.5]]), 3, gain=4.0).squeeze(1)
    tensor([[0., 2.],
            [0., 2.],
            [0., 2.]])
    """
    _checks.integer("constant_current", "num_steps", num_steps, 1)
    _checks.positive("constant_current", "gain", gain)
    _checks.unit_values("constant_current", x)
    values = x.float() / 255 if x.dtype == torch.uint8 else x
    return (values * gain).expand(num_steps, *x.shape)


class ConstantCurrent(nn.Module):
    """Constant current as a layer; see :func:`constant_current`.

    Parameters
    ----------
    num_steps : int
        Number of steps T.
    gain : float, default=1.0
        Factor on the values.

    Raises
    ------
    ValueError
        If ``num_steps`` is below 1 or ``gain`` not positive.

    Examples
    --------
    >>> import torch, snn_temporal_plugins as stp
    >>> tuple(stp.ConstantCurrent(5)(torch.zeros(2, 3)).shape)
    (5, 2, 3)
    """

    def __init__(self, num_steps: int, *, gain: float = 1.0) -> None:
        super().__init__()
        self.num_steps = _checks.integer("ConstantCurrent", "num_steps", num_steps, 1)
        self.gain = _checks.positive("ConstantCurrent", "gain", gain)

    def extra_repr(self) -> str:
        return f"num_steps={self.num_steps}, gain={self.gain:g}"

    def forward(self, x: Tensor) -> Tensor:
        """Currents ``[T, B, ...]`` of values ``[B, ...]``."""
        return constant_current(x, self.num_steps, gain=self.gain)


class SpikeTrain(nn.Module):
    """Spike times to a spike train as a layer; see :func:`snn_temporal_plugins.spike_train`.

    Parameters
    ----------
    num_steps : int
        Number of steps T.

    Raises
    ------
    ValueError
        If ``num_steps`` is below 1.

    Examples
    --------
    >>> import torch, snn_temporal_plugins as stp
    >>> encoder = torch.nn.Sequential(stp.Latency(4), stp.SpikeTrain(4))
    >>> encoder(torch.tensor([[1.0, 0.5, 0.0]])).squeeze(1)
    tensor([[1., 0., 0.],
            [0., 0., 0.],
            [0., 1., 0.],
            [0., 0., 0.]])
    """

    def __init__(self, num_steps: int) -> None:
        super().__init__()
        self.num_steps = _checks.integer("SpikeTrain", "num_steps", num_steps, 1)

    def extra_repr(self) -> str:
        return f"num_steps={self.num_steps}"

    def forward(self, times: Tensor) -> Tensor:
        """Spike train ``[T, B, ...]`` of spike times ``[B, ...]``."""
        return spike_train(times, self.num_steps)
