"""How the new module of a swap is made from the old one."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from torch import Tensor, nn

from ..frontends.sources import Source, describe
from ..neurons.base import ClockedNeuron
from . import registry
from .errors import (
    BackendMismatchError,
    NotAHostNeuronError,
    StateArityError,
    SwapError,
    TimeLayoutError,
    WeightsWouldBeLostError,
)
from .plan import Replacement

PACKAGE = __package__.partition(".")[0]


def neuron_target(
    module: nn.Module, value: Any, name: str, carry: bool | str, overrides: dict[str, Any]
) -> Replacement:
    """New neuron for a host's neuron ``module`` called ``name``, as ``value`` says."""
    if not isinstance(value, str | type):
        return _by_function(module, value, name, overrides)
    source = _source(module, name)
    made = _host_class(value, source, name)
    carried = _named(name, made.carried, module, carry=carry, **overrides)
    new = _named(name, made, **carried.options)
    if source.host == "snntorch":
        new = _in_shape(new, source, name, made, carried.options)
    _place_like(new, module)
    return Replacement([name], module, new, carried.taken, carried.dropped)


def synapse_target(
    module: nn.Module, value: Any, name: str, overrides: dict[str, Any]
) -> Replacement:
    """New synapse for the layer ``module`` called ``name``, as ``value`` says."""
    if not isinstance(value, str | type):
        return _by_function(module, value, name, overrides)
    made = registry.get("synapse", value) if isinstance(value, str) else value
    if not hasattr(made, "from_module"):
        raise SwapError(
            f"{name}: {made.__name__} has no from_module(module, **overrides), so it cannot take "
            f"the place of a {type(module).__name__}; give a function instead."
        )
    new = _named(name, made.from_module, module, **overrides)
    new.train(module.training)
    return Replacement([name], module, new, ["weights"])


def _by_function(
    module: nn.Module, function: Any, name: str, overrides: dict[str, Any]
) -> Replacement:
    if not callable(function):
        raise TypeError(
            "swap: a value must be a registered name, a class, or a function f(module, **options),"
            f" got {function!r}."
        )
    new = _named(name, function, module, **overrides)
    if not isinstance(new, nn.Module):
        raise TypeError(f"swap: the function for {name} must return a module, got {new!r}.")
    return Replacement([name], module, new.train(module.training))


def _named(name: str, made: Any, *args: Any, **options: Any) -> Any:
    """Call something, with the module's name in front of what it complains about."""
    try:
        return made(*args, **options)
    except SwapError as error:
        raise type(error)(f"{name}: {error}") from error
    except (TypeError, ValueError) as error:
        raise SwapError(f"{name}: {error}") from error


def _source(module: nn.Module, name: str) -> Source:
    source = describe(module)
    what = f"{name} ({type(module).__name__})"
    if source is None:
        raise NotAHostNeuronError(
            f"{what} is no neuron of snnTorch or Norse, so it is not known what its caller passes "
            "and takes; give a function f(module, **overrides) as the value."
        )
    if source.weights:
        raise WeightsWouldBeLostError(
            f"{what} owns input or recurrent weights, which a feed-forward neuron has no place "
            "for; write the layer as a Linear and a neuron, and swap that."
        )
    if source.host == "snntorch" and source.layout == "sequence":
        raise TimeLayoutError(
            f"{what} takes a sequence per call, neurons for snnTorch take one time step; use "
            "snn.Leaky in a loop over time, and swap that."
        )
    return source


def _host_class(value: str | type, source: Source, name: str) -> Any:
    """Class for the source's host and layout."""
    wanted = f"{source.host}.cell" if (source.host, source.layout) == ("norse", "step") else ""
    if isinstance(value, str):
        return registry.get("neuron", value, host=wanted or source.host)
    if hasattr(value, "Core"):  # a host class already
        _check_host(value, source, name)
        return value
    if not issubclass(value, ClockedNeuron):
        raise SwapError(
            f"{name}: {value.__name__} is neither a clocked neuron nor a host class made from "
            "one; give a registered name, a class derived from ClockedNeuron, or a function."
        )
    front_end = import_module(f"{PACKAGE}.frontends.{source.host}")
    return front_end.host_class(value, "cell") if wanted else front_end.host_class(value)


def _check_host(made: Any, source: Source, name: str) -> None:
    hosts = [host for host in ("snntorch", "norse") if f"frontends.{host}" in _modules(made)]
    if source.host not in hosts:
        raise BackendMismatchError(
            f"{name} is a neuron of {source.host}, but {made.__name__} was made for "
            f"{', '.join(hosts)}; give the name or the plain neuron class, and the right one is "
            "made."
        )
    layout = {"cell": "step", "": "sequence"}.get(getattr(made, "layout", "cell"))
    if source.layout != layout:
        raise TimeLayoutError(
            f"{name} takes a {source.layout} per call, {made.__name__} a {layout}; give the name "
            "or the plain neuron class, and the right one is made."
        )


def _modules(made: type) -> str:
    return " ".join(base.__module__ for base in made.__mro__)


def _in_shape(new: Any, source: Source, name: str, made: Any, options: dict[str, Any]) -> Any:
    """New neuron with as many states as the old one's caller passes around."""
    assert source.states is not None
    states = len(new.slots)
    if states == source.states or (source.hidden and not source.output):
        return new
    if states > source.states:
        raise StateArityError(
            f"{name}: the model's code passes {source.states} state(s) of a {source.kind} around, "
            f"{made.Core.__name__} has {states}; set init_hidden=True there, or write the call for "
            f"a snn.{new.shape}."
        )
    front_end = import_module(f"{PACKAGE}.frontends.snntorch")
    return front_end.host_class(made.Core, front_end.SHAPES[source.states])(**options)


def _place_like(new: nn.Module, old: nn.Module) -> None:
    """Device, floating type and mode of the old module."""
    new.train(old.training)
    for tensor in [*old.parameters(), *old.buffers()]:
        if isinstance(tensor, Tensor) and tensor.is_floating_point():
            new.to(device=tensor.device, dtype=tensor.dtype)
            return
