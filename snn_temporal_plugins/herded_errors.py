"""Error spikes in autograd: three modules with which any optimiser learns as the engine does."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from . import _checks
from .neurons.herding import HerdingQuantizer


class _Herd(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, owner: HerdedErrors) -> Tensor:
        ctx.owner = owner
        return x.view_as(x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return ctx.owner.herd(grad), None


class HerdedErrors(nn.Module):
    r"""Identity that turns the error passing back through it into signed spikes, step by step.

    .. math::
        e(t) = R\bigl(\varphi_b + \sum_{\tau \le t} g(\tau)\bigr)
             - R\bigl(\varphi_b + \sum_{\tau < t} g(\tau)\bigr)

    with g the gradient of step t and :math:`\varphi_b` the residue of earlier samples. Put it
    behind every hidden :class:`~snn_temporal_plugins.HerdingReLU`.

    Parameters
    ----------
    reset : {"none", "random", "zero"}, default="none"
        What residues start with: those of the last backward pass, of the same place in the batch;
        uniform noise; or 0, with which nothing smaller than half a spike per sample gets through.

    Raises
    ------
    ValueError
        If ``reset`` is unknown, or the input has no time axis.

    Notes
    -----
    *Shapes.* ``[T, B, ...]`` in, the same out. The residues are no part of ``state_dict``. A
    silent unit gets the error that its own gate lets pass.

    References
    ----------
    .. [1] P. O'Connor, M. Welling, "Deep Spiking Networks", 2016, arXiv:1602.08323.

    Examples
    --------
    >>> import torch, snn_temporal_plugins as stp
    >>> x = torch.zeros(5, 1, requires_grad=True)
    >>> (0.4 * stp.HerdedErrors()(x)).sum().backward()
    >>> x.grad.flatten().tolist()
    [0.0, 1.0, 0.0, 1.0, 0.0]
    """

    residue: Tensor

    def __init__(self, *, reset: str = "none") -> None:
        super().__init__()
        self.reset: str = _checks.choice("HerdedErrors", "reset", reset, ("none", "random", "zero"))
        self.register_buffer("residue", torch.empty(0), persistent=False)
        self._quantizer = HerdingQuantizer()

    def extra_repr(self) -> str:
        return f"reset={self.reset!r}"

    def forward(self, x: Tensor) -> Tensor:
        """Pass ``x [T, B, ...]`` on; errors that come back are herded."""
        return _Herd.apply(_checks.sequence("HerdedErrors", x, name="x"), self)

    @torch.no_grad()
    def herd(self, errors: Tensor) -> Tensor:
        """Error spikes of the errors ``[T, B, ...]``; residues go on."""
        start = torch.zeros_like(errors[0])
        if self.reset == "random":
            start.uniform_(-0.5, 0.5)
        elif self.reset == "none" and self.residue.shape[1:] == start.shape[1:]:
            known = min(len(self.residue), len(start))
            start[:known] = self.residue[:known]
        spikes, state = self._quantizer(errors, (start, start))
        kept = self.residue[len(start) :]  # places that this smaller batch does not reach
        same = kept.shape[1:] == start.shape[1:]
        self.residue = torch.cat([state.phi, kept]) if same else state.phi
        return spikes


class _CountProduct(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x.sum(0), weight)
        ctx.steps, ctx.has_bias = len(x), bias is not None
        return nn.functional.linear(x, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        count, weight = ctx.saved_tensors
        errors = grad.sum(0).flatten(0, -2)
        of_weight = errors.T @ count.flatten(0, -2) / ctx.steps**2
        of_bias = errors.sum(0) / ctx.steps if ctx.has_bias else None
        return grad @ weight, of_weight, of_bias


class CountLinear(nn.Linear):
    r"""Linear layer whose weight gradient is the product of spike *counts*, not of steps.

    .. math::
        \frac{\partial L}{\partial W} = \frac{1}{T^2}
        \Bigl(\sum_t e(t)\Bigr) \Bigl(\sum_t s(t)\Bigr)^{\!\top}

    Autograd would pair input and error of the same step,
    :math:`\tfrac1T \sum_t e(t)\, s(t)^\top`, a noisier estimate that does not become exact for many
    steps. The error that is passed back is the usual one, and the bias gets
    :math:`\tfrac1T \sum_t e(t)`.

    Parameters
    ----------
    in_features, out_features, bias, device, dtype
        As in ``nn.Linear``.

    Raises
    ------
    ValueError
        If the input has no time axis.

    Notes
    -----
    *Shapes.* Spikes ``[T, B, I]`` to currents ``[T, B, O]``. Gradients are summed over the batch.
    Silent inputs get no weight gradient.

    References
    ----------
    .. [1] P. O'Connor, M. Welling, "Deep Spiking Networks", 2016, arXiv:1602.08323.

    Examples
    --------
    >>> import torch, snn_temporal_plugins as stp
    >>> layer = stp.CountLinear(3, 2, bias=False)
    >>> layer(torch.ones(4, 1, 3)).sum().backward()
    >>> layer.weight.grad.tolist()  # 4 * 4 spikes / 4 ** 2
    [[1.0, 1.0, 1.0], [1.0, 1.0, 1.0]]
    """

    def forward(self, input: Tensor) -> Tensor:
        """Currents ``[T, B, O]`` of spikes ``[T, B, I]``."""
        _checks.sequence("CountLinear", input, name="input")
        return _CountProduct.apply(input, self.weight, self.bias)


class _StepErrors(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, spikes: Tensor, target: Tensor) -> Tensor:
        ctx.save_for_backward(spikes, target)
        return (spikes.mean(0) - target).square().sum() / 2

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        spikes, target = ctx.saved_tensors
        return grad * (spikes - target), None


class SpikeErrorLoss(nn.Module):
    r"""Half the squared error of spikes per step, passing back the difference of every step.

    .. math::
        L = \tfrac12 \sum_{b,c} \Bigl(\tfrac1T \sum_t s_{bc}(t) - y_{bc}\Bigr)^2, \qquad
        e_{bc}(t) = s_{bc}(t) - y_{bc}

    with y one-hot: errors are whole spikes. Their scale belongs to
    :class:`~snn_temporal_plugins.CountLinear`, which divides by :math:`T^2`.

    Raises
    ------
    ValueError
        If shapes do not fit, or a label is out of range.

    Notes
    -----
    *Shapes.* Output spikes ``[T, B, C]`` and class labels ``[B]`` to a scalar, summed over the
    batch (errors of a mean would be no whole spikes; divide the learning rate instead). A silent
    output of the right class costs one half.

    References
    ----------
    .. [1] P. O'Connor, M. Welling, "Deep Spiking Networks", 2016, arXiv:1602.08323.

    Examples
    --------
    >>> import torch, snn_temporal_plugins as stp
    >>> spikes = torch.zeros(4, 1, 3, requires_grad=True)
    >>> loss = stp.SpikeErrorLoss()(spikes, torch.tensor([2]))
    >>> loss.backward()
    >>> loss.item(), spikes.grad[0].tolist()
    (0.5, [[0.0, 0.0, -1.0]])
    """

    def forward(self, spikes: Tensor, targets: Tensor) -> Tensor:
        """Loss of output spikes ``[T, B, C]`` for class indices ``[B]``."""
        owner = "SpikeErrorLoss"
        _checks.sequence(owner, spikes, name="spikes")
        if spikes.dim() != 3:
            shape = list(spikes.shape)
            raise ValueError(f"{owner}: spikes must have shape [T, B, C], got {shape}.")
        targets = _checks.targets(owner, targets, *spikes.shape[1:])
        one_hot = nn.functional.one_hot(targets, spikes.shape[2]).to(spikes.dtype)
        return _StepErrors.apply(spikes, one_hot)

    def predict(self, spikes: Tensor) -> Tensor:
        """Class with most spikes ``[B]``; the first among equals."""
        return spikes.sum(0).argmax(1)
