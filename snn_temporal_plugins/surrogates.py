"""Surrogate gradients: picklable step functions on the distance to the threshold."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from . import _checks
from .neurons.tssl_rule import sigmoid_slope


class _Step(torch.autograd.Function):
    @staticmethod
    def forward(x: Tensor, width: float) -> Tensor:
        return (x > 0).to(x.dtype)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, float], output: Tensor) -> None:
        ctx.save_for_backward(inputs[0])
        ctx.width = inputs[1]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        (x,) = ctx.saved_tensors
        return grad * sigmoid_slope(x, ctx.width), None


class TSSL:
    r"""Step function with the slope of a sigmoid: what of TSSL-BP is a surrogate gradient.

    .. math::
        s = \mathbb 1[x > 0], \qquad
        \frac{\partial s}{\partial x} := \frac1w \sigma'\!\left(
            \mathrm{clip}\!\left(\tfrac xw, -8, 8\right)\right)

    of the distance :math:`x = u - \theta` to the threshold. Pass it to a stock neuron, as
    ``snn.Leaky(..., spike_grad=stp.surrogates.tssl())``, or call it like norse's threshold
    functions, ``tssl()(x, alpha)`` with ``alpha`` in the place of ``1 / width``.

    Parameters
    ----------
    width : float, default=0.2
        Width :math:`w` of the sigmoid, in the unit of the threshold.

    Raises
    ------
    ValueError
        If ``width`` or ``alpha`` is not positive.

    Notes
    -----
    *An approximation.* The rule itself needs the increment of the potential, the neuron's own PSC
    and the path through its reset, which a function of the distance to the threshold cannot see:
    this is what :class:`~snn_temporal_plugins.TSSLLIF` does with ``fallback="always"``, followed by
    the host's own path through the membrane. On five steps of Fashion-MNIST it learns as well.

    *Range.* The slope lies between 0.0017 and 1.25 (at the default width) for every distance.
    snnTorch 1.0's own ``surrogate.sigmoid`` returns NaN far below the threshold.

    *Silent neurons* get gradient, more of it the closer they came to the threshold.

    References
    ----------
    .. [1] W. Zhang, P. Li, "Temporal spike sequence learning via backpropagation for deep spiking
       neural networks", arXiv:2002.10085.

    Examples
    --------
    >>> import torch, snn_temporal_plugins as stp
    >>> x = torch.tensor([-90.0, 0.0, 0.3], requires_grad=True)
    >>> spikes = stp.surrogates.tssl()(x)
    >>> spikes.tolist()
    [0.0, 0.0, 1.0]
    >>> spikes.sum().backward()
    >>> [round(g, 4) for g in x.grad.tolist()]
    [0.0017, 1.25, 0.7457]
    """

    def __init__(self, width: float = 0.2) -> None:
        self.width = _checks.positive("surrogates.tssl", "width", width)

    def __call__(self, x: Tensor, alpha: float | None = None) -> Tensor:
        """Spikes (0 or 1) of the distances ``x`` to the threshold, any shape."""
        if alpha is None:
            return _Step.apply(x, self.width)
        return _Step.apply(x, 1 / _checks.positive("surrogates.tssl", "alpha", alpha))

    def __repr__(self) -> str:
        return f"surrogates.tssl(width={self.width:g})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TSSL) and other.width == self.width

    def __hash__(self) -> int:
        return hash((TSSL, self.width))


def tssl(width: float = 0.2) -> TSSL:
    """Step function with the slope of a sigmoid, a ``TSSL``, named like those of the hosts.

    Parameters
    ----------
    width : float, default=0.2
        Width of the sigmoid, in the unit of the threshold.

    Returns
    -------
    TSSL
        A callable that pickles.

    Examples
    --------
    >>> import torch, snn_temporal_plugins as stp
    >>> stp.surrogates.tssl(width=0.4)(torch.tensor([-0.3, 0.7])).tolist()
    [0.0, 1.0]
    """
    return TSSL(width)
