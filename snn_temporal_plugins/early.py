"""Early decision: a whole network up to its first output spike, and no further."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from functools import partial
from itertools import accumulate
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from . import _checks
from .decisions import first_class
from .kernels.common.direct import array, scalar_type
from .neurons.single_spike_if import SingleSpikeIF
from .synapses.base import event_weights
from .timed import Timed

INF = float("inf")
OWNER = "first_spike_decision"


class Decision(NamedTuple):
    """What a network decided, when, and at what cost."""

    label: Tensor  #: class of the first output spike, int64 ``[B]``
    time: Tensor  #: time of that spike, ``[B]``; ``inf`` where the potential decided
    spikes: Tensor  #: spikes that acted on each layer until then, int64 ``[B, L]``
    additions: Tensor  #: weights added until then, int64 ``[B]``


def first_spike_decision(model: nn.Module, times: Tensor) -> Decision:
    """Decisions of a network of single-spike neurons, which stops at its first output spike.

    Each sample is followed in time order through all layers, and left as soon as an output
    neuron exceeds its threshold. The result is that of the whole network: the earliest output
    decides, among several the larger potential, then the lowest index; where nobody fires, the
    largest potential at the last step.

    Parameters
    ----------
    model : Timed or nn.Sequential of Timed
        Fully connected layers of :class:`~snn_temporal_plugins.SingleSpikeIF`; ``nn.Flatten`` and
        ``nn.Identity`` may stand in between, and the containers may be nested.
    times : Tensor of shape [B, I] or [B, ...]
        Input spike times, ``inf`` for silent inputs; further dimensions are flattened.

    Returns
    -------
    Decision
        Classes, times, and the synaptic operations: the spikes up to the crossing that decides,
        each of which adds one weight per neuron of the next layer. (A delay moves the output
        spike behind that crossing, not the cost.)

    Raises
    ------
    TypeError
        If the model holds anything else, naming it.

    Notes
    -----
    With the numba backend this is one call for the whole network; transposed weights are kept
    until a parameter changes, which is seen by its version: writing to ``parameter.data`` is not.
    A bias, a late drive, the torch backend or another device run layer by layer to the end.

    Examples
    --------
    >>> import torch, snn_temporal_plugins as stp
    >>> layer = stp.Timed(torch.nn.Linear(2, 2, bias=False), stp.SingleSpikeIF(threshold=1.5))
    >>> _ = layer.synapse.weight.data.copy_(torch.tensor([[1.0, 1.0], [2.0, 0.0]]))
    >>> decision = stp.first_spike_decision(layer, torch.tensor([[3.0, 7.0]]))
    >>> decision.label.item(), decision.time.item(), decision.additions.item()
    (1, 3.0, 2)
    """
    state = _state(model)
    plan = _plans.get(model)
    if plan is None or plan.state != state:
        plan = _plans[model] = _Plan(model, state)
    fast = plan.run is not None and getattr(times, "is_cpu", False)
    if not fast:  # the kernel looks at the values on its way
        _checks.spike_times(OWNER, times)
    if times.dim() > 2:
        times = times.flatten(1)
    if times.dim() != 2 or times.shape[1] != plan.inputs:
        raise ValueError(
            f"{OWNER}: times must have shape [B, I={plan.inputs}], got {list(times.shape)}."
        )
    if times.dtype != plan.dtype:
        raise TypeError(f"{OWNER}: times are {times.dtype} but the weights {plan.dtype}.")
    if fast:
        return plan.decide(times)
    with torch.no_grad():
        return _layer_by_layer(timed_stack(OWNER, model), times)


def timed_stack(owner: str, model: nn.Module) -> list[Timed]:
    """Return the fully connected single-spike layers of a model, or name what it holds else."""
    layers: list[Timed] = []
    for module in _leaves(model):
        if isinstance(module, Timed):
            synapse, neuron = module.synapse, module.neuron
            if not isinstance(neuron, SingleSpikeIF) or synapse.weight.dim() != 2:
                raise TypeError(
                    f"{owner}: needs fully connected layers of SingleSpikeIF, got "
                    f"{type(synapse).__name__} and {type(neuron).__name__}."
                )
            layers.append(module)
        elif not isinstance(module, nn.Flatten | nn.Identity):
            raise TypeError(f"{owner}: needs Timed layers, got {type(module).__name__}.")
    if not layers:
        raise TypeError(f"{owner}: the model holds no Timed layer.")
    return layers


def _leaves(model: nn.Module) -> list[nn.Module]:
    """Return the modules of nested ``nn.Sequential`` containers, in order."""
    if not isinstance(model, nn.Sequential):
        return [model]
    leaves: list[Any] = []
    for child in model._modules.values():
        if isinstance(child, nn.Sequential):
            leaves += _leaves(child)
        else:
            leaves.append(child)
    return leaves


def _state(model: nn.Module) -> list[Any]:
    """Everything a plan depends on. Written for speed: it is a tenth of the cost of one sample.

    A tensor is known by its identity, address and version; plans keep theirs alive, so that no
    other tensor can take over an identity.
    """
    state: list[Any] = []
    for module in _leaves(model):
        if not isinstance(module, Timed):
            state.append(type(module))
            continue
        fields: dict[str, Any] = module.__dict__  # attribute access would cost more than the rest
        parts = fields["_modules"]
        synapse, neuron = parts["synapse"].__dict__, parts["neuron"].__dict__
        tensors = synapse["_parameters"].values()
        if synapse["_modules"]:
            tensors = parts["synapse"].parameters()
        for tensor in (*tensors, *synapse["_buffers"].values()):
            if tensor is not None:
                version = object() if tensor.is_inference() else tensor._version
                state += id(tensor), tensor.data_ptr(), version
        state += neuron.get("threshold"), neuron.get("delay"), neuron["training"]
        state += neuron.get("late_drive"), fields["t_max"], fields["_chosen"]
    return state


def _layer_by_layer(layers: list[Timed], times: Tensor) -> Decision:
    """Decide from the complete spike times of every layer."""
    arrived, limits = [], [INF if layer.t_max is None else layer.t_max for layer in layers]
    for layer, limit in zip(layers, limits, strict=True):
        arrived.append(times.masked_fill(times >= limit, INF))
        times, potential = layer.solve(times)
    when = times.min(1).values
    delay: Any = layers[-1].neuron.delay
    last = when.unsqueeze(1)  # the crossing plus the delay; subtracting would round
    counts = [((t + delay <= last) & torch.isfinite(t)).sum(1) for t in arrived]
    spikes = torch.stack(counts, 1)
    fan_out = spikes.new_tensor([len(layer.synapse.weight) for layer in layers])
    return Decision(first_class(times, potential), when, spikes, (spikes * fan_out).sum(1))


class _Plan:
    """A stack in the form the kernel wants it, valid while the state stays the same."""

    def __init__(self, model: nn.Module, state: list[Any]) -> None:
        layers = timed_stack(OWNER, model)
        with torch.no_grad():
            weights = [event_weights(layer.synapse)[0] for layer in layers]
        self.state, self.inputs, self.dtype = state, weights[0].shape[1], weights[0].dtype
        self.tensors = [
            t for layer in layers for t in layer.synapse.state_dict(keep_vars=True).values()
        ]
        self.run: Callable[..., None] | None = None
        if all(map(_has_kernel, layers)):
            self._prepare(layers, weights)

    def _prepare(self, layers: list[Timed], weights: list[Tensor]) -> None:
        from .kernels.common.threads import run_blocks
        from .kernels.first_decision.cpu import decide
        from .kernels.single_spike.op import weight_rows

        rows = [weight_rows(weight) for weight in weights]
        inputs, scalar = self.inputs, scalar_type(weights[0])
        sizes = [inputs, *map(len, weights)], [inputs, *(matrix.shape[1] for matrix in rows)]
        starts = [0, *accumulate(sizes[1][1:])], [0, *accumulate(map(torch.numel, rows))]
        limits = [INF if layer.t_max is None else layer.t_max for layer in layers]
        self.run, self.bits = partial(run_blocks, decide), np.dtype(f"u{weights[0].element_size()}")
        self.depth, self.work = len(layers), sum(weight.numel() for weight in weights)
        self.layers = (
            torch.cat([matrix.flatten() for matrix in rows]).numpy(),
            np.array([*sizes, *starts]),
            np.array([layer.neuron.threshold for layer in layers], scalar),
            np.array([layer.neuron.delay for layer in layers], scalar),
            np.array(limits, scalar),
        )

    def decide(self, times: Tensor) -> Decision:
        assert self.run is not None
        inputs = array(times)
        batch = len(inputs)
        label, when = np.empty(batch, np.int64), np.empty(batch, inputs.dtype)
        spikes, additions = np.empty((batch, self.depth), np.int64), np.empty(batch, np.int64)
        wrong = np.zeros(1, np.bool_)
        self.run(
            batch,
            inputs,
            inputs.view(self.bits),
            *self.layers,
            label,
            when,
            spikes,
            additions,
            wrong,
            work=batch * self.work,
        )
        if wrong[0]:
            _checks.spike_times(OWNER, times)
        return Decision(*map(torch.from_numpy, (label, when, spikes, additions)))


def _has_kernel(layer: Timed) -> bool:
    neuron = layer.neuron
    driven = neuron.late_drive is not None and not neuron.training
    return layer._chosen == "numba" and layer.synapse.bias is None and not driven


_plans: weakref.WeakKeyDictionary[nn.Module, _Plan] = weakref.WeakKeyDictionary()
