"""Read-out of spike times by neurons that do not spike."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from . import _checks
from .neurons.exact_lif_dynamics import Constants, psp


class _Integral(torch.autograd.Function):
    """Sum over the spikes inside the window, which are few of the ``[B, N, K]`` times."""

    @staticmethod
    def forward(ctx: Any, times: Tensor, c: Constants, t_max: float) -> Tensor:
        ctx.shape, flat = times.shape, times.reshape(-1)
        place = (flat < t_max).nonzero().squeeze(1)
        neuron = place.div(times.shape[2], rounding_mode="floor")
        left = t_max - flat[place]
        response = psp(left, c)
        ctx.save_for_backward(place, neuron, response)
        risen = -torch.expm1(-c.leak * left) / c.leak if c.leak else left
        each = (risen - response) / c.decay  # from dK/ds = exp(-leak s) - decay K
        total = flat.new_zeros(times.shape[:2].numel()).index_add_(0, neuron, each)
        return total.view(times.shape[:2])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        place, neuron, response = ctx.saved_tensors
        each = grad.new_zeros(ctx.shape.numel())
        each[place] = -response * grad.reshape(-1)[neuron]
        return each.view(ctx.shape), None, None


class IntegratedPotential(nn.Module):
    r"""Integral of the potential that each neuron's spikes cause behind a synapse of weight 1.

    .. math::
        \phi_j = \sum_k \int_0^{t_{max} - t_j^k} K(s)\, ds, \qquad
        K(s) = \frac{e^{-s/\tau_{mem}} - e^{-s/\tau_{syn}}}{1/\tau_{syn} - 1/\tau_{mem}}

    A linear layer behind it gives the time-integral of the potentials of output neurons that do
    not spike: a decision by potentials instead of first spikes.

    Parameters
    ----------
    tau_mem, tau_syn : float
        Time constants of the output neurons, as in :class:`ExactLIF`.
    t_max : float
        End of the window.

    Raises
    ------
    ValueError
        If a constant is not positive, or times are NaN or negative.

    Notes
    -----
    *Shapes.* Spike times ``[B, N, K]`` to ``[B, N]``.

    *Silent neurons* give 0. A spike at ``t_max`` gives 0, too: a spike that appears at the end of
    the window appears without a jump.

    *Gradient.* :math:`\partial \phi_j / \partial t_j^k = -K(t_{max} - t_j^k)`.

    The read-out is this project's own; the neuron whose kernel it uses is that of [1]_.

    References
    ----------
    .. [1] K. Yamamoto, Y. Sakemi, K. Aihara, "Timing-based backpropagation in spiking neural
       networks without single-spike restrictions", arXiv:2211.16113.

    Examples
    --------
    >>> import torch, snn_temporal_plugins as stp
    >>> readout = stp.IntegratedPotential(tau_mem=4.0, tau_syn=2.0, t_max=3.0)
    >>> readout(torch.tensor([[[1.0, 2.0], [float("inf"), float("inf")]]])).tolist()[0][1]
    0.0
    """

    def __init__(self, tau_mem: float, tau_syn: float, t_max: float) -> None:
        super().__init__()
        owner = "IntegratedPotential"
        self.tau_mem = _checks.time_constant(owner, "tau_mem", tau_mem)
        self.tau_syn = _checks.positive(owner, "tau_syn", tau_syn)
        self.t_max = _checks.positive(owner, "t_max", t_max)

    def extra_repr(self) -> str:
        return f"tau_mem={self.tau_mem:g}, tau_syn={self.tau_syn:g}, t_max={self.t_max:g}"

    def forward(self, times: Tensor) -> Tensor:
        """Integrals ``[B, N]`` from spike times ``[B, N, K]``."""
        _checks.spike_times("IntegratedPotential", times)
        if times.dim() != 3:
            raise ValueError(
                f"IntegratedPotential: times must have shape [B, N, K], got {list(times.shape)}."
            )
        c = Constants.of(1.0, self.tau_mem, self.tau_syn)
        return _Integral.apply(times, c, self.t_max)
