"""How far a herding network can be from its ReLU network, whatever the input."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from . import _checks
from .to_spiking import SUMS, Folded, SpikingModel


class _Bounded(NamedTuple):
    """A value of the ReLU network, and what T times it and the spiking network may differ by."""

    value: Tensor
    error: Tensor
    swing: Tensor  #: the largest sum of the spikes of one step, where their order is free


def herding_error_bound(
    spiking: SpikingModel, x: Tensor, *, order: str = "step", return_units: bool = False
) -> Tensor | tuple[Tensor, dict[str, Tensor]]:
    r"""Guaranteed bound E of the error of a spiking twin: ``|estimate(t) - relu| <= E / t``.

    With activations :math:`a_l` of the ReLU network, the counts :math:`N_l` of spikes obey
    :math:`|q N_l(t) - t a_l| \le E_l` at every step t, where

    .. math::
        E_0 = q/2, \qquad E_l = q/2 + |W_l| E_{l-1} \ \text{(step)}, \qquad
        E_l = q/2 + |W_l| (E_{l-1} + |a_{l-1}|) \ \text{(event)}

    and 0 in place of :math:`E_0` for inputs that are exactly 0, or not encoded. A linear read-out
    adds no half quantum.

    Parameters
    ----------
    spiking : SpikingModel
        Twin made by :func:`~snn_temporal_plugins.to_spiking`.
    x : Tensor of shape [B, ...]
        Input.
    order : {"step", "event"}, default="step"
        Whether thresholds are tested after all spikes of a step, or after each one.
    return_units : bool, default=False
        Return the bounds of all units, too.

    Returns
    -------
    bound : Tensor of shape [B, ...]
        E of the output; divide by the number of steps.
    units : dict of str to Tensor of shape [B, ...]
        E of each unit, named as in ``spiking.graph``; only with ``return_units``.

    Raises
    ------
    TypeError
        If ``spiking`` is no ``SpikingModel``.
    ValueError
        If ``order`` is unknown.

    References
    ----------
    .. [1] P. O'Connor, M. Welling, "Deep Spiking Networks", 2016, arXiv:1602.08323 (the limit; the
       bound is ours: the running maximum of ``ceil(S - 1/2)`` of a sum S that stays within D of
       ``t u`` is within ``D + 1/2`` of ``t max(u, 0)``).

    Examples
    --------
    >>> import torch, snn_temporal_plugins as stp
    >>> model = torch.nn.Sequential(torch.nn.Linear(3, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2))
    >>> spiking, x = stp.to_spiking(model, num_steps=20), torch.rand(5, 3)
    >>> error = (spiking(x) - model(x)).abs()
    >>> bool((error <= stp.herding_error_bound(spiking, x) / 20).all())
    True
    """
    owner = "herding_error_bound"
    if not isinstance(spiking, SpikingModel):
        raise TypeError(f"{owner}: spiking must be a SpikingModel, got {type(spiking).__name__}.")
    _checks.choice(owner, "order", order, ("step", "event"))
    sweep = _Sweep(spiking.graph, order == "event")
    with torch.no_grad():
        error = torch.zeros_like(x)
        if spiking.encoder is not None:
            error = spiking.encoder.quantum / 2 * (x != 0).to(x.dtype)
        out = sweep.run(_Bounded(x, error, error + x.abs()), 1)
    return (out.error, sweep.units) if return_units else out.error


class _Sweep(fx.Interpreter):
    """Carries values and bounds through the graph of a spiking model."""

    def __init__(self, graph: fx.GraphModule, event: bool) -> None:
        super().__init__(graph)
        self.event = event
        self.units: dict[str, Tensor] = {}

    def call_module(self, target: Any, args: tuple, kwargs: dict) -> Any:
        module, x = self.fetch_attr(target), args[0]
        if isinstance(module, Folded):
            value = x.value.relu()
            error = (x.swing if self.event else x.error) + module.unit.quantum / 2
            self.units[target] = error
            return _Bounded(value, error, error + value)
        return _Bounded(module(x.value), _absolute(module, x.error), _absolute(module, x.swing))

    def call_function(self, target: Any, args: tuple, kwargs: dict) -> Any:
        if target in SUMS:
            a, b = args
            return _Bounded(target(a.value, b.value), a.error + b.error, a.swing + b.swing)
        if target is getattr or not isinstance(args[0], _Bounded):  # shapes
            of = args[0].value if isinstance(args[0], _Bounded) else args[0]
            return target(of, *args[1:], **kwargs)
        return _Bounded(*(target(part, *args[1:], **kwargs) for part in args[0]))

    def call_method(self, target: Any, args: tuple, kwargs: dict) -> Any:
        found = [getattr(part, target)(*args[1:], **kwargs) for part in args[0]]
        return found[0] if target == "size" else _Bounded(*found)


def _absolute(module: nn.Module, x: Tensor) -> Tensor:
    """What the layer does to a bound: no bias, and weights without their signs."""
    if isinstance(module, nn.Linear):
        return F.linear(x, module.weight.abs())
    if isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d):
        return module._conv_forward(x, module.weight.abs(), None)
    if isinstance(module, nn.modules.batchnorm._BatchNorm):
        mean, variance = module.running_mean, module.running_var
        assert mean is not None and variance is not None
        scale = None if module.weight is None else module.weight.abs()
        return F.batch_norm(x, torch.zeros_like(mean), variance, scale, None, False, 0, module.eps)
    return module(x)
