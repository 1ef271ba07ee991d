"""What binarised synapses share: signs forward, real latent weights behind them."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from .. import _checks
from .base import Synapse


def signs(weight: Tensor, size: Tensor | None = None) -> Tensor:
    """Signs of the weights times a positive ``size``, by default 1; the sign of 0 is +1."""
    size = weight.new_ones(()) if size is None else size
    return torch.copysign(size, weight + 0.0)  # -0.0 + 0.0 is 0.0


def exact_scale(scale: Tensor, fan_in: int) -> Tensor:
    """Round a scale so that every sum of ``fan_in`` of its positive and negative is exact.

    The last ``log2(fan_in)`` bits of the mantissa are cleared (Veltkamp's splitting).
    """
    bits = fan_in.bit_length()
    if 2.0 ** (bits + 2) * torch.finfo(scale.dtype).eps > 1:  # half precision: nothing would stay
        return scale
    lifted = scale * (2.0**bits + 1)
    return lifted - (lifted - scale)


class _Binarize(torch.autograd.Function):
    """``scale * sign(weight)`` with the gradients of the paper."""

    @staticmethod
    def forward(weight: Tensor, scale: Tensor, bounds: tuple[float, float]) -> Tensor:
        shape = (-1, *[1] * (weight.dim() - 1)) if scale.dim() else ()
        fan_in = math.prod(weight.shape[1:])
        return signs(weight, exact_scale(scale.clamp(*bounds), fan_in).view(shape))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: Tensor) -> None:
        weight, scale, ctx.bounds = inputs
        ctx.save_for_backward(weight, scale)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        weight, scale = ctx.saved_tensors
        grad_scale = None
        if ctx.needs_input_grad[1]:
            grad_scale = _inward(_scale_gradient(grad, weight, scale), scale, *ctx.bounds)
        return grad, grad_scale, None


def _inward(grad: Tensor, value: Tensor, low: float, high: float) -> Tensor:
    """Gradient without what pushes a value further out of its range."""
    return grad.masked_fill(((value >= high) & (grad < 0)) | ((value <= low) & (grad > 0)), 0.0)


def _scale_gradient(grad: Tensor, weight: Tensor, scale: Tensor) -> Tensor:
    """Mean of ``grad * sign(weight)`` over the synapses that share a scale."""
    product = grad * signs(weight)
    return product.flatten(1).mean(1) if scale.dim() else product.mean()


class _Carry(torch.autograd.Function):
    """The first value; the error goes to both."""

    @staticmethod
    def forward(value: Tensor, carrier: Tensor) -> Tensor:
        return value.clone()

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: Tensor) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:
        return grad, grad


class BinarySynapse(Synapse):
    """What the binarised layers share; subclasses know their geometry."""

    weight: nn.Parameter
    bias: nn.Parameter | None

    def _setup(
        self,
        shape: tuple[int, ...],
        bias: bool,
        factory: dict[str, Any],
        *,
        scale: float | None,
        scale_per: str,
        learn_scale: bool,
        scale_bounds: tuple[float, float],
        backward: str,
        clip: float | None,
    ) -> None:
        owner = type(self).__name__
        self.init_scale = None if scale is None else _checks.positive(owner, "scale", scale)
        self.scale_per = _checks.choice(owner, "scale_per", scale_per, ("layer", "channel"))
        self.scale_bounds = _check_bounds(owner, scale_bounds)
        self.backward_rule = _checks.choice(
            owner, "backward", backward, ("latent", "straight_through")
        )
        self.clip = None if clip is None else _checks.positive(owner, "clip", clip)
        self.weight = nn.Parameter(torch.empty(shape, **factory))
        if bias:
            self.bias = nn.Parameter(torch.empty(shape[0], **factory))
        else:
            self.register_parameter("bias", None)
        channels = shape[:1] if scale_per == "channel" else ()
        self.scale = nn.Parameter(torch.empty(channels, **factory), requires_grad=learn_scale)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw latent weights and bias as torch's own layers do, and set the scale."""
        nn.init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        if self.bias is not None:
            bound = 1 / math.sqrt(math.prod(self.weight.shape[1:]))
            nn.init.uniform_(self.bias, -bound, bound)
        with torch.no_grad():
            self.scale.copy_(self._scale_for(self.weight))

    def scale_(self, factor: float) -> None:
        """Multiply the scale and the bias; the latent weights stay."""
        with torch.no_grad():
            self.scale.mul_(factor)
            if self.bias is not None:
                self.bias.mul_(factor)

    def _scale_for(self, weight: Tensor) -> Tensor:
        """Scale to start with: the one given, or the mean size of the weights."""
        if self.init_scale is not None:
            return weight.new_full(self.scale.shape, self.init_scale)
        size = weight.detach().abs()
        return size.flatten(1).mean(1) if self.scale.dim() else size.mean()

    def event_weights(self) -> tuple[Tensor, Tensor]:
        """Scaled signs, and the weights that carry the error back (by the ``backward`` rule)."""
        forward = _Binarize.apply(self.weight, self.scale, self.scale_bounds)
        if self.backward_rule == "straight_through":
            return forward, forward
        latent = self.weight.detach()
        return forward, latent if self.clip is None else latent.clamp(-self.clip, self.clip)

    def forward(self, x: Tensor) -> Tensor:
        """Currents caused by spikes (or values) ``x``; the error goes back by the rule."""
        weight, carrier = self.event_weights()
        if carrier is weight or not (x.requires_grad and torch.is_grad_enabled()):
            return self._connect(x, weight, self.bias)
        value = self._connect(x.detach(), weight, self.bias)
        return _Carry.apply(value, self._connect(x, carrier, None))

    @abstractmethod
    def _connect(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """Apply weights of the geometry of this layer."""

    @torch.no_grad()
    def constrain_(self) -> None:
        """Bring latent weights and scale back into ``clip`` and ``scale_bounds``.

        Call it after each step of the optimizer. Without it the values *used* are inside, too,
        but the parameters wander further out and need longer to come back.
        """
        if self.clip is not None:
            self.weight.clamp_(-self.clip, self.clip)
        self.scale.clamp_(*self.scale_bounds)

    @torch.no_grad()
    def refresh_scale_grad_(self) -> None:
        """Compute the gradient of the scale once more, with the signs as they are now.

        The authors' program steps the weights first and the scale afterwards: step the weights,
        call this, step the scale. Without it the scale's gradient belongs to the signs before
        the step.

        Raises
        ------
        ValueError
            If there is no gradient on the weights.
        """
        if self.weight.grad is None:
            raise ValueError(
                f"{type(self).__name__}: refresh_scale_grad_ needs the gradient of the weights; "
                "call it after loss.backward() and the step of the weights."
            )
        gradient = _scale_gradient(self.weight.grad, self.weight, self.scale)
        self.scale.grad = _inward(gradient, self.scale, *self.scale_bounds)

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, *args: Any, **kwargs: Any
    ) -> None:
        weight, key = state_dict.get(f"{prefix}weight"), f"{prefix}scale"
        if weight is not None and key not in state_dict:  # a checkpoint of real weights
            state_dict = {**state_dict, key: self._scale_for(weight)}
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)

    def _adopt(self, module: nn.Module) -> None:
        """Take over the parameters of a layer of torch as latent weights and bias."""
        owner, kind = type(self).__name__, type(module).__name__
        if nn.utils.parametrize.is_parametrized(module):
            raise ValueError(
                f"{owner}: {kind} has parametrised weights; bake them in first with "
                "torch.nn.utils.parametrize.remove_parametrizations."
            )
        self.weight = module.weight  # type: ignore[assignment]
        self.bias = module.bias  # type: ignore[assignment]
        with torch.no_grad():
            self.scale.copy_(self._scale_for(self.weight))
        self.train(module.training)

    def _options_repr(self) -> str:
        text = f"scale_per={self.scale_per!r}, backward={self.backward_rule!r}"
        if self.clip is not None:
            text += f", clip={self.clip:g}"
        return text + (", learn_scale=True" if self.scale.requires_grad else "")


def _check_bounds(owner: str, bounds: tuple[float, float]) -> tuple[float, float]:
    low, high = bounds
    low = _checks.positive(owner, "scale_bounds[0]", low)
    high = _checks.positive(owner, "scale_bounds[1]", high)
    if low > high:
        raise ValueError(f"{owner}: scale_bounds must ascend, got {bounds!r}.")
    return low, high
