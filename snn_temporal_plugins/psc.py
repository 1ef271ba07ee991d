"""Post-synaptic currents: the exponential filter between spikes and what they cause."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from . import _backends, _checks


class _Filter(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, a: Tensor, theta: float) -> Tensor:
        ctx.theta = theta
        out = torch.empty_like(x)
        for t, x_t in enumerate(x.unbind(0)):
            a = a + theta * (x_t - a)
            out[t] = a
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        grad_x = torch.empty_like(grad)
        grad_a = torch.zeros_like(grad[0])
        for t in range(len(grad) - 1, -1, -1):
            total = grad[t] + grad_a
            grad_x[t] = ctx.theta * total
            grad_a = (1 - ctx.theta) * total
        return grad_x, grad_a, None


def psc_filter(
    x: Tensor, tau_syn: float, start: Tensor | None = None, *, backend: str = "torch"
) -> Tensor:
    """PSC ``[T, ...]`` of a train or current ``x [T, ...]``, from the PSC ``start [...]``."""
    a = torch.zeros_like(x[0]) if start is None else start
    if backend == "numba":
        from .kernels.tssl_lif.op import psc

        return psc(x, a, 1 / tau_syn)
    return _Filter.apply(x, a, 1 / tau_syn)


class PSC(nn.Module):
    r"""Post-synaptic current that spikes cause: a first-order filter over time.

    .. math::
        a[t] = a[t-1] + (s[t] - a[t-1]) / \tau_s
             = \sum_{k \ge 0} \frac{1}{\tau_s} \Bigl(1 - \frac{1}{\tau_s}\Bigr)^k s[t-k]

    A spike acts in its own step, and the kernel sums to 1. The filter commutes with synapses
    without bias. In a network of :class:`~snn_temporal_plugins.TSSLLIF` it stands in front of
    the first synapse, and, in the spike form, behind the last neuron.

    Parameters
    ----------
    tau_syn : float
        Synaptic time constant, in steps; at least 1 (no filter).
    backend : {"auto", "torch", "numba"}, default="auto"
        ``"torch"`` is the reference; ``"auto"`` takes the kernel where it is installed and the
        train is on the CPU.

    Raises
    ------
    ValueError
        If ``tau_syn`` is below 1, or a train has no step.
    ImportError
        If ``backend="numba"`` is named and numba is not installed.

    Notes
    -----
    *Shapes.* Spikes, or any real signal, ``[T, B, ...]`` to PSCs of the same shape; :meth:`step`
    for one step of it. The gradient is the derivative.

    *Silent neurons* cause no current.

    References
    ----------
    .. [1] W. Zhang, P. Li, "Temporal spike sequence learning via backpropagation for deep spiking
       neural networks", arXiv:2002.10085.

    Examples
    --------
    >>> import torch, snn_temporal_plugins as stp
    >>> spikes = torch.tensor([0.0, 1.0, 0.0, 1.0]).view(4, 1, 1)
    >>> stp.PSC(tau_syn=2.0)(spikes).flatten().tolist()
    [0.0, 0.5, 0.25, 0.625]
    """

    backends = ("numba",)

    def __init__(self, tau_syn: float, *, backend: str = "auto") -> None:
        super().__init__()
        self.tau_syn = _checks.at_least("PSC", "tau_syn", tau_syn, 1)
        self.backend = _checks.choice("PSC", "backend", backend, ("auto", "torch", *self.backends))
        self._chosen = _backends.load("PSC", self.backend, self.backends, self.load_backend)

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._chosen = _backends.load("PSC", self.backend, self.backends, self.load_backend)

    def load_backend(self, backend: str) -> None:
        """Import what one of ``backends`` needs; ``ImportError`` if it is not installed."""
        from .kernels.tssl_lif import op  # noqa: F401

    def extra_repr(self) -> str:
        chosen = _backends.describe(self.backend, self._chosen)
        return f"tau_syn={self.tau_syn:g}, backend={chosen!r}"

    def forward(self, spikes: Tensor) -> Tensor:
        """PSCs ``[T, B, ...]`` of a train ``[T, B, ...]``, from rest."""
        _checks.current("PSC", spikes, name="spikes")
        return psc_filter(
            spikes, self.tau_syn, backend=_backends.on(self.backend, self._chosen, spikes)
        )

    def step(self, spikes: Tensor, psc: Tensor | None = None) -> Tensor:
        """PSC ``[B, ...]`` after one step, from the spikes of the step and the PSC before it."""
        before = torch.zeros_like(spikes) if psc is None else psc
        return before + (spikes - before) / self.tau_syn
