"""Spiking twin of a ReLU network: every ReLU becomes a herding unit."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from . import _checks
from .neurons.herding import HerdingQuantizer, HerdingReLU

AFFINE = (
    nn.Linear,
    nn.Conv1d,
    nn.Conv2d,
    nn.Conv3d,
    nn.AvgPool1d,
    nn.AvgPool2d,
    nn.AvgPool3d,
    nn.AdaptiveAvgPool1d,
    nn.AdaptiveAvgPool2d,
    nn.AdaptiveAvgPool3d,
    nn.Flatten,
    nn.Unflatten,
    nn.Identity,
)
EVALUATED = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.modules.dropout._DropoutNd)
RELU = (F.relu, torch.relu)
RESHAPE = ("flatten", "view", "reshape", "size")
LINEAR_FUNCTIONS: tuple[Callable[..., Any], ...] = (
    torch.flatten,
    F.avg_pool2d,
    F.adaptive_avg_pool2d,
)
SUMS = (operator.add, operator.sub, operator.iadd, torch.add, torch.sub)
_REASONS = {
    "oftmax": "it does not commute with the mean over time; apply it to the output",
    "Max": "the maximum of means over time is not the mean of maxima; use nn.AvgPool2d",
    "max": "the maximum of means over time is not the mean of maxima; use nn.AvgPool2d",
    "dropout": "it is drawn anew in every step; use nn.Dropout and model.eval()",
}


class SpikingModel(nn.Module):
    """Spiking twin that :func:`to_spiking` makes; its parameters are those of the model.

    ``spiking(x, *, return_all=False, num_steps=None)`` runs the constant input ``x [B, ...]`` for
    ``num_steps`` and returns the mean output ``[B, ...]``, or with ``return_all`` the running mean
    after every step, ``[T, B, ...]``.

    Raises
    ------
    ValueError
        In the call: if ``num_steps`` is below 1, the input is not finite, or a normalisation or
        dropout is in training mode.
    TypeError
        In the call: if the input is not of floating point.
    """

    def __init__(
        self, graph: fx.GraphModule, num_steps: int, encoder: HerdingQuantizer | None
    ) -> None:
        super().__init__()
        self.num_steps = num_steps
        self.encoder = encoder
        self.graph = graph

    def extra_repr(self) -> str:
        return f"num_steps={self.num_steps}"

    def forward(
        self, x: Tensor, *, return_all: bool = False, num_steps: int | None = None
    ) -> Tensor:
        """Mean output ``[B, ...]`` of the input ``x [B, ...]``, or all running means."""
        owner = "SpikingModel"
        steps = self.num_steps if num_steps is None else num_steps
        _checks.integer(owner, "num_steps", steps, 1)
        _checks.finite(owner, "x", _checks.floating(owner, "x", x))
        for name, module in self.graph.named_modules():
            if isinstance(module, EVALUATED) and module.training:
                raise ValueError(
                    f"{owner}: {name} ({type(module).__name__}) is in training mode, in which it "
                    "does not commute with the mean over time; call .eval() first."
                )
        sent = x.expand(steps, *x.shape)
        if self.encoder is not None:
            sent, _ = self.encoder(sent)
        out = self.graph(sent.flatten(0, 1), steps).unflatten(0, (steps, -1))
        if not return_all:
            return out.mean(0)
        count = torch.arange(1, steps + 1, dtype=out.dtype, device=out.device)
        return out.cumsum(0) / count.view(-1, *[1] * (out.dim() - 1))


class Folded(nn.Module):
    """A unit between layers that see time and batch as one axis, ``[T * B, ...]``."""

    def __init__(self, unit: HerdingReLU) -> None:
        super().__init__()
        self.unit = unit

    def forward(self, current: Tensor, steps: int) -> Tensor:
        spikes, _ = self.unit(current.unflatten(0, (steps, -1)))
        return spikes.flatten(0, 1)


def to_spiking(
    model: nn.Module,
    num_steps: int = 10,
    *,
    encode: bool = True,
    quantum: float = 1.0,
    correction: bool = False,
) -> SpikingModel:
    r"""Spiking twin of a ReLU network, equal to it up to :math:`O(1/T)`; same parameters.

    Every rectifier becomes a :class:`~snn_temporal_plugins.HerdingReLU` of its own, in front of the
    model stands a :class:`~snn_temporal_plugins.HerdingQuantizer`, and the output is the mean over
    the steps. All other layers commute with that mean; biases act once per step. Nothing is copied:
    training one trains the other (the units pass gradients straight through).

    Parameters
    ----------
    model : nn.Module
        Any module that ``torch.fx`` can trace, made of ``nn.Linear``, convolutions, average
        pooling, ``nn.Flatten``, ``nn.Identity``, ``nn.ReLU`` (also ``F.relu``, also one instance
        used twice), batch normalisation and dropout in evaluation mode, sums of branches and
        reshaping.
    num_steps : int, default=10
        Steps T of a run.
    encode : bool, default=True
        Turn the input into signed spikes. Without it the first layer gets the real values.
    quantum : float, default=1.0
        Size of one spike of every unit. A network whose activations are small needs a small one.
    correction : bool, default=False
        Let units take spikes back (see :class:`~snn_temporal_plugins.HerdingReLU`).

    Returns
    -------
    SpikingModel
        Called with ``(x [B, ...], *, return_all=False, num_steps=None)``; returns the mean output
        ``[B, ...]``, or the running mean after every step ``[T, B, ...]``.

    Raises
    ------
    TypeError
        If the model cannot be traced, or holds a layer that has no spiking form (maximum pooling,
        softmax, other activations), naming the layer and why.
    ValueError
        At a call, if batch normalisation or dropout is in training mode, or the input is not
        finite.

    Notes
    -----
    All steps run at once: each layer sees one batch of ``T * B``. The guaranteed distance from the
    ReLU network is :func:`~snn_temporal_plugins.herding_error_bound` ``/ T``. Silent units give 0,
    as a ReLU does.

    References
    ----------
    .. [1] P. O'Connor, M. Welling, "Deep Spiking Networks", 2016, arXiv:1602.08323.

    Examples
    --------
    >>> import torch, snn_temporal_plugins as stp
    >>> model = torch.nn.Sequential(torch.nn.Linear(3, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2))
    >>> x = torch.rand(5, 3)
    >>> spiking = stp.to_spiking(model, num_steps=500)
    >>> bool((spiking(x) - model(x)).abs().max() < 0.05)
    True
    """
    owner = "to_spiking"
    _checks.integer(owner, "num_steps", num_steps, 1)
    modules, graph = _trace(model)
    units = 0
    steps = None
    for node in list(graph.nodes):
        if node.op == "placeholder":
            if steps is not None:
                raise TypeError(
                    f"{owner}: forward must take one tensor, but also takes {node.name}."
                )
            with graph.inserting_after(node):
                steps = graph.placeholder("steps", type_expr=int)
        elif _is_relu(node, modules):
            name = f"relu_{units}"
            units += 1
            modules[name] = Folded(HerdingReLU(quantum, correction=correction))
            with graph.inserting_after(node):
                unit = graph.call_module(name, (node.args[0], steps))
            node.replace_all_uses_with(unit)
            graph.erase_node(node)
        else:
            _check(node, modules)
    if not units:
        raise TypeError(f"{owner}: the model holds no ReLU.")
    encoder = HerdingQuantizer(quantum) if encode else None
    twin = SpikingModel(fx.GraphModule(modules, graph), num_steps, encoder)
    twin.training = twin.graph.training = model.training  # the layers, shared, keep their modes
    return twin


def _trace(model: nn.Module) -> tuple[dict[str, nn.Module], fx.Graph]:
    """Graph of the model, and the modules that it calls."""
    tracer = fx.Tracer()
    root = model
    if tracer.is_leaf_module(model, ""):  # a single layer: give the tracer something to enter
        root = nn.Sequential(model)
    try:
        graph = tracer.trace(root)
    except Exception as error:
        raise TypeError(
            f"to_spiking: {type(model).__name__} cannot be traced by torch.fx: {error}"
        ) from error
    return dict(root.named_modules()), graph


def _is_relu(node: fx.Node, modules: dict[str, nn.Module]) -> bool:
    if node.op == "call_module":
        return type(modules[str(node.target)]) is nn.ReLU
    return node.target in RELU or (node.op == "call_method" and node.target in ("relu", "relu_"))


def _check(node: fx.Node, modules: dict[str, nn.Module]) -> None:
    """Raise unless the mean over time passes through the node."""
    what = str(getattr(node.target, "__name__", node.target))
    known = False
    if node.op == "call_module":
        module = modules[str(node.target)]
        what = f"{node.target} ({type(module).__name__})"
        known = isinstance(module, AFFINE + EVALUATED)
    elif node.op == "call_function":
        both = len(node.args) == 2 and all(isinstance(a, fx.Node) for a in node.args)
        shape = node.target in (getattr, operator.getitem)
        known = node.target in LINEAR_FUNCTIONS or shape or (node.target in SUMS and both)
    elif node.op == "call_method":
        known = node.target in RESHAPE
    elif node.op == "output":
        known = isinstance(node.args[0], fx.Node)
        what = "an output that is not one tensor"
    if not known:
        reasons = [reason for part, reason in _REASONS.items() if part in what]
        reason = reasons[0] if reasons else "whether it commutes with the mean over time is unknown"
        raise TypeError(f"to_spiking: {what} has no spiking form: {reason}.")
