"""Neurons and synapses of existing models, replaced by one call."""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable, Mapping
from inspect import signature
from typing import Any

from torch import Tensor, nn

from .plan import SwapPlan, make_plan, notes_on_neurons, notes_on_synapses, refuse_containers
from .targets import neuron_target, synapse_target

Where = Callable[[nn.Module, str], bool]


def swap(
    model: nn.Module,
    mapping: Mapping[Any, Any],
    *,
    where: Where | None = None,
    inplace: bool = False,
    carry: bool | str = True,
    **overrides: Any,
) -> nn.Module:
    """Model whose neurons are replaced, in the shape that its own code calls them.

    Parameters
    ----------
    model : nn.Module
        A model of snnTorch or Norse.
    mapping : mapping
        What is replaced by what. Keys: a class (matched exactly, ``snn.Leaky`` is not
        ``snn.DeltaLeaky``), its dotted name ``"snntorch.Leaky"``, or the name of a module in
        the model, ``"features.2"``, which precedes classes. Values: a registered name, a neuron
        class, or a function ``f(module, **overrides)`` that returns the new module.
    where : callable, optional
        ``where(module, name)`` says whether a module that matches is replaced.
    inplace : bool, default=False
        Change ``model`` itself. By default a copy is returned and ``model`` stays as it is.
    carry : {True, False, "drop"}, default=True
        Carry options of the old neurons (threshold, ``init_hidden``, ``output``, ...). With
        ``"drop"`` options that a new neuron cannot honour are left out instead of refused;
        ``False`` carries only what the model's own code relies on.
    **overrides
        Arguments of the new neurons, in place of what would be carried.

    Returns
    -------
    nn.Module
        The copy, or ``model``. A module that appears under several names stays one module.
        Checkpoints of the original load with ``strict=True``.

    Raises
    ------
    SwapError
        Before anything has changed: ``NothingMatchedError``, ``NotAHostNeuronError``,
        ``StateArityError``, ``WeightsWouldBeLostError``, ``TimeLayoutError``,
        ``BackendMismatchError``, ``UnsupportedContainerError``, ``HooksAttachedError``,
        ``OptionNotSupportedError``. The message names the module, the cause and the cure.
    UnknownPluginError
        If a name is not registered.

    See Also
    --------
    plan_swap : The same without doing it: what is replaced, carried, dropped, and what else in
        the training script must change (encoder, loss, accuracy, optimiser).

    Examples
    --------
    >>> import torch, snntorch as snn, snn_temporal_plugins as stp
    >>> net = torch.nn.Sequential(torch.nn.Linear(4, 3), snn.Leaky(beta=0.9, init_hidden=True))
    >>> stp.swap(net, {snn.Leaky: "single_spike_if"}, threshold=2.5)[1]
    SingleSpikeIF(threshold=2.5, delay=0, init_hidden=True, host=snntorch.Leaky)
    """
    return _swap(model, mapping, where, inplace, _neurons(carry, overrides))


def plan_swap(
    model: nn.Module,
    mapping: Mapping[Any, Any],
    *,
    where: Where | None = None,
    inplace: bool = False,
    carry: bool | str = True,
    **overrides: Any,
) -> SwapPlan:
    """Say what :func:`swap` would do with these arguments; print it.

    Parameters
    ----------
    model, mapping, where, inplace, carry, **overrides
        As for :func:`swap`, and refused with the same errors.

    Returns
    -------
    SwapPlan
        ``replacements`` (names, old and new module, carried, dropped with reasons, new
        parameters) and ``notes`` on what else must change. ``str`` gives tables.

    Examples
    --------
    >>> import torch, snntorch as snn, snn_temporal_plugins as stp
    >>> net = torch.nn.Sequential(torch.nn.Linear(4, 3), snn.Leaky(beta=0.9))
    >>> plan = stp.plan_swap(net, {"1": "single_spike_if"})
    >>> plan.replacements[0].carried
    ['threshold=1']
    """
    return _plan(model, mapping, where, inplace, _neurons(carry, overrides))


def swap_synapses(
    model: nn.Module,
    mapping: Mapping[Any, Any] | None = None,
    *,
    where: Where | None = None,
    inplace: bool = False,
    **overrides: Any,
) -> nn.Module:
    """Model whose synapses are replaced, for instance by binary ones.

    Parameters
    ----------
    model : nn.Module
        Any model.
    mapping : mapping, optional
        As for :func:`swap`; values are registered synapses, classes with
        ``from_module(module, **overrides)``, or functions. By default
        ``{nn.Linear: "binary_linear", nn.Conv2d: "binary_conv2d"}``, as far as they occur.
    where, inplace
        As for :func:`swap`.
    **overrides
        Arguments of the new synapses.

    Returns
    -------
    nn.Module
        The copy, or ``model``. Weights are carried over; checkpoints of the original load as far
        as the new synapses have no further parameters.

    Raises
    ------
    SwapError
        As :func:`swap`.

    Examples
    --------
    >>> import torch, snn_temporal_plugins as stp
    >>> net = torch.nn.Sequential(torch.nn.Linear(4, 3, bias=False), stp.SingleSpikeIF())
    >>> type(stp.swap_synapses(net)[0]).__name__
    'BinaryLinear'
    """
    if mapping is None:
        mapping = {nn.Linear: "binary_linear", nn.Conv2d: "binary_conv2d"}
    return _swap(model, mapping, where, inplace, _synapses(overrides))


def reset_(model: nn.Module) -> nn.Module:
    """Put every neuron of ``model`` that holds its state to rest, at any depth.

    Other models are left alone, which snnTorch's ``utils.reset`` (1.0) does not do. Neurons of
    Norse hold no state.

    Parameters
    ----------
    model : nn.Module
        Changed in place.

    Returns
    -------
    nn.Module
        The model itself.

    Examples
    --------
    >>> import torch, snn_temporal_plugins as stp
    >>> from snn_temporal_plugins.frontends.snntorch import SingleSpikeIF
    >>> net = torch.nn.Sequential(torch.nn.Sequential(SingleSpikeIF(init_hidden=True)))
    >>> _ = net(torch.full((1, 2), 0.4))
    >>> stp.reset_(net)[0][0].mem
    tensor([[0., 0.]])
    """
    for module in model.modules():
        reset: Any = getattr(module, "reset_mem", None)
        if reset is not None and _is_snntorch(module):
            reset()
    return model


class _Kind:
    """What differs between neurons and synapses: how a new module is made, and the notes."""

    def __init__(self, target: Callable, notes: Callable) -> None:
        self.target, self.notes = target, notes


def _neurons(carry: bool | str, overrides: dict[str, Any]) -> _Kind:
    def target(module: nn.Module, value: Any, name: str) -> Any:
        return neuron_target(module, value, name, carry, overrides)

    return _Kind(target, notes_on_neurons)


def _synapses(overrides: dict[str, Any]) -> _Kind:
    def target(module: nn.Module, value: Any, name: str) -> Any:
        return synapse_target(module, value, name, overrides)

    return _Kind(target, notes_on_synapses)


def _plan(
    model: nn.Module, mapping: Mapping, where: Where | None, inplace: bool, kind: _Kind
) -> SwapPlan:
    plan = make_plan(model, mapping, where, kind.target)
    plan.notes = kind.notes(model, plan.replacements, inplace)
    return plan


def _swap(
    model: nn.Module, mapping: Mapping, where: Where | None, inplace: bool, kind: _Kind
) -> nn.Module:
    refuse_containers(model)
    changed = model if inplace else _copy(model)
    plan = make_plan(changed, mapping, where, kind.target)
    for replacement in plan.replacements:
        for name in replacement.names:
            parent, _, key = name.rpartition(".")
            changed.get_submodule(parent)._modules[key] = replacement.new
    _refresh(changed)
    _enlist(changed, [replacement.old for replacement in plan.replacements])
    return changed


def _copy(model: nn.Module) -> nn.Module:
    """Deep copy in which held states are without the graph, which cannot be copied."""
    memo: dict[int, Any] = {}
    for module in model.modules():
        for value in [*module._buffers.values(), *vars(module).values()]:
            if isinstance(value, Tensor) and value.grad_fn is not None:
                memo[id(value)] = value.detach().clone()
    return copy.deepcopy(model, memo)


def _refresh(model: nn.Module) -> None:
    """Let Norse's containers look again which of their modules have state."""
    for module in model.modules():
        if isinstance(getattr(module, "stateful_layers", None), list):
            module.stateful_layers = [_stateful(child) for child in module.children()]  # type: ignore[assignment]
        elif hasattr(module, "lifted_module"):
            module.is_stateful = _stateful(module.lifted_module)  # type: ignore[assignment, arg-type]


def _stateful(module: nn.Module) -> bool:
    """Whether Norse passes a state to the module: by the name of the argument."""
    return "state" in signature(module.forward).parameters or isinstance(module, nn.RNNBase)


def _enlist(model: nn.Module, replaced: list[nn.Module]) -> None:
    """Keep snnTorch's list of neurons right: without replaced ones, with copied ones."""
    snntorch: Any = sys.modules.get("snntorch")
    if snntorch is None:
        return
    listed = snntorch.SpikingNeuron.instances
    gone = {id(module) for module in replaced}
    listed[:] = [neuron for neuron in listed if id(neuron) not in gone]
    known = {id(neuron) for neuron in listed}
    for module in model.modules():
        own = isinstance(module, snntorch.SpikingNeuron) and not hasattr(module, "Core")
        if own and id(module) not in known:
            listed.append(module)


def _is_snntorch(module: nn.Module) -> bool:
    return any(c.__module__.partition(".")[0] == "snntorch" for c in type(module).__mro__)


__all__ = ["SwapPlan", "plan_swap", "reset_", "swap", "swap_synapses"]
