"""Layers without memory over a whole window, and first layers of inputs that do not change."""

from __future__ import annotations

from torch import Tensor, nn

from . import _checks
from .neurons.tssl_lif import TSSLLIF, TSSLSpikeState, TSSLState


class OverTime(nn.Module):
    """Apply a module without memory to all steps of a window in one call.

    Time and batch become one dimension, so that a convolution over a window of ``T`` steps is one
    call on ``T * B`` images, not ``T`` calls.

    Parameters
    ----------
    module : nn.Module
        Maps ``[B, ...]`` to ``[B, ...]`` and treats samples alike: a convolution, a pooling.
        Dropout would draw another mask in every step; see :class:`RowDropout`.

    Raises
    ------
    ValueError
        If the input has less than two dimensions.

    Notes
    -----
    *Shapes.* ``[T, B, ...]`` to ``[T, B, ...]``. Nothing is added for *silent neurons*.

    Examples
    --------
    >>> import torch, snn_temporal_plugins as stp
    >>> conv = stp.OverTime(torch.nn.Conv2d(1, 6, 5, bias=False))
    >>> conv(torch.zeros(4, 2, 1, 28, 28)).shape
    torch.Size([4, 2, 6, 24, 24])
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: Tensor) -> Tensor:
        """Apply the module to ``[T, B, ...]``."""
        _checks.current("OverTime", x, name="input")
        return self.module(x.flatten(0, 1)).unflatten(0, x.shape[:2])


class StaticInput(nn.Module):
    r"""First layer of a network whose input does not change: one product for all steps.

    An input :math:`p` that is shown in every step has the PSC :math:`c[t]\, p` with

    .. math:: c[t] = 1 - (1 - 1/\tau_s)^{t+1},

    so its current is :math:`c[t]\, W p`: one product per image instead of one per step, forward
    and backward. It is exact: what filtering the repeated input gives.

    Parameters
    ----------
    synapse : nn.Module
        Linear and without bias: ``nn.Linear(..., bias=False)``, ``nn.Conv2d(..., bias=False)``.
    neuron : TSSLLIF
        In either form. Its ``tau_syn`` filters the input.
    num_steps : int
        Number of steps T of the window.

    Raises
    ------
    TypeError
        If ``neuron`` is no ``TSSLLIF``.
    ValueError
        If the synapse has a bias, or ``num_steps`` is below 1.

    Notes
    -----
    *Shapes.* Values ``[B, ...]``, of any sign, to the output of the neurons ``[T, B, ...]``.
    *Silent neurons* put out zeros, as everywhere.

    References
    ----------
    .. [1] W. Zhang, P. Li, arXiv:2002.10085: real-valued input currents in place of an encoder.

    Examples
    --------
    >>> import torch, snn_temporal_plugins as stp
    >>> first = stp.StaticInput(torch.nn.Linear(784, 40, bias=False), stp.TSSLLIF(), 5)
    >>> first(torch.rand(2, 784)).shape
    torch.Size([5, 2, 40])
    """

    def __init__(self, synapse: nn.Module, neuron: TSSLLIF, num_steps: int) -> None:
        super().__init__()
        if not isinstance(neuron, TSSLLIF):
            raise TypeError(f"StaticInput: neuron must be a TSSLLIF, got {type(neuron).__name__}.")
        if getattr(synapse, "bias", None) is not None:
            raise ValueError(
                "StaticInput: a bias is not filtered over time as the input is; build "
                f"{type(synapse).__name__} with bias=False."
            )
        self.synapse, self.neuron = synapse, neuron
        self.num_steps = _checks.integer("StaticInput", "num_steps", num_steps, 1)

    def extra_repr(self) -> str:
        return f"num_steps={self.num_steps}"

    def forward(self, values: Tensor) -> Tensor:
        """Show ``values [B, ...]`` for the whole window; the neurons' output ``[T, B, ...]``."""
        return self.run(values)[0]

    def run(self, values: Tensor) -> tuple[Tensor, TSSLState | TSSLSpikeState]:
        """Output ``[T, B, ...]`` and last state of the neurons."""
        return self.neuron.static(self.synapse(values), self.num_steps)
