"""What a swap would replace, and what else has to change with it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from torch import nn

from ._table import table
from .errors import (
    HooksAttachedError,
    NothingMatchedError,
    SwapError,
    UnsupportedContainerError,
)

CONTAINERS = {
    "OptimizedModule": "swap first and compile the result",
    "ScriptModule": "swap the module that was scripted",
    "RecursiveScriptModule": "swap the module that was scripted",
    "GraphModule": "swap the module that was traced",
    "DataParallel": "swap model.module and wrap the result",
    "DistributedDataParallel": "swap model.module and wrap the result",
    "FullyShardedDataParallel": "swap the module and wrap the result",
}


@dataclass
class Replacement:
    """One module that is replaced, under all its names."""

    names: list[str]
    old: nn.Module
    new: nn.Module
    carried: list[str] = field(default_factory=list)  #: what comes from the old module
    dropped: list[tuple[str, str]] = field(default_factory=list)  #: what does not, and why

    @property
    def new_parameters(self) -> list[str]:
        """Names of parameters that the old module did not have, as they will be called."""
        before = {name for name, _ in self.old.named_parameters()}
        added = [name for name, _ in self.new.named_parameters() if name not in before]
        return [f"{self.names[0]}.{name}" for name in added]


@dataclass
class SwapPlan:
    """Replacements and notes of a swap; ``str`` gives tables."""

    replacements: list[Replacement]
    notes: list[tuple[str, str]] = field(default_factory=list)  #: topic, what to do about it

    def __str__(self) -> str:
        rows = [
            (
                " = ".join(r.names),
                type(r.old).__name__,
                repr(r.new).partition("\n")[0],
                ", ".join(r.carried) or "-",
                ", ".join(r.new_parameters) or "-",
            )
            for r in self.replacements
        ]
        columns = ("module", "is now", "becomes", "carried", "new parameters")
        parts = [table(columns, rows, title="Replaced")]
        dropped: dict[tuple[str, str], list[str]] = {}
        for r in self.replacements:
            for item in r.dropped:
                dropped.setdefault(item, []).append(r.names[0])
        if dropped:
            lines = [(what, why, ", ".join(names)) for (what, why), names in dropped.items()]
            parts.append(table(("option", "because", "in"), lines, title="Dropped"))
        if self.notes:
            parts.append(table(("what", "note"), self.notes, title="What else changes"))
        return "\n\n".join(parts)


def make_plan(
    model: nn.Module,
    mapping: Mapping[Any, Any],
    where: Callable[[nn.Module, str], bool] | None,
    target: Callable[[nn.Module, Any, str], Replacement],
) -> SwapPlan:
    """Find what matches and make what replaces it; nothing in ``model`` changes."""
    refuse_containers(model)
    names: dict[int, list[str]] = {}
    modules: dict[int, nn.Module] = {}
    for name, module in model.named_modules(remove_duplicate=False):
        names.setdefault(id(module), []).append(name)
        modules[id(module)] = module
    by_name, by_class = _keys(model, mapping)
    replacements = []
    for key, module in modules.items():
        found = [by_name[name] for name in names[key] if name in by_name]
        value = found[0] if found else by_class.get(type(module))
        accepted = where is None or any(where(module, name) for name in names[key])
        if value is None or not accepted:
            continue
        name = names[key][0]
        if not name:
            raise UnsupportedContainerError(
                f"the model itself is a {type(module).__name__}, and a module has no place for "
                "another instead of itself; make the new one directly."
            )
        _refuse_hooks(module, name)
        replacement = target(module, value, name)
        replacement.names = names[key]
        replacements.append(replacement)
    if not replacements:
        raise NothingMatchedError(_nothing(model, mapping))
    _refuse_lists(model, {id(r.old) for r in replacements})
    return SwapPlan(replacements)


def _keys(model: nn.Module, mapping: Mapping[Any, Any]) -> tuple[dict[str, Any], dict[type, Any]]:
    """Split the mapping into names of modules and classes."""
    if not isinstance(mapping, Mapping) or not mapping:
        raise TypeError(f"swap: mapping must be a dictionary with entries, got {mapping!r}.")
    known = dict(model.named_modules(remove_duplicate=False))
    by_name: dict[str, Any] = {}
    by_class: dict[type, Any] = {}
    for key, value in mapping.items():
        if isinstance(key, type):
            by_class[key] = value
        elif isinstance(key, str) and key in known:
            by_name[key] = value
        elif isinstance(key, str):
            by_class[_class(key)] = value
        else:
            raise TypeError(f"swap: a key must be a class or a string, got {key!r}.")
    return by_name, by_class


def _class(name: str) -> type:
    module, _, attribute = name.rpartition(".")
    try:
        found = getattr(import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise SwapError(
            f"the key {name!r} is neither a module of this model nor a class that can be "
            f"imported ({error})."
        ) from error
    if not isinstance(found, type):
        raise SwapError(f"the key {name!r} is not a class.")
    return found


def refuse_containers(model: nn.Module) -> None:
    """Raise if the model is, or holds, something whose modules cannot be replaced."""
    for name, module in model.named_modules():
        kinds = {c.__name__ for c in type(module).__mro__ if c.__module__.startswith("torch.")}
        for kind in kinds & set(CONTAINERS):
            raise UnsupportedContainerError(
                f"{name or 'the model'} is a {kind}, whose modules cannot be replaced from "
                f"outside; {CONTAINERS[kind]}."
            )


def _refuse_hooks(module: nn.Module, name: str) -> None:
    kinds = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    if any(getattr(module, kind) for kind in kinds):
        raise HooksAttachedError(
            f"{name} ({type(module).__name__}) has hooks, which would be lost; remove them, swap, "
            "and attach them to the new module."
        )
    if nn.utils.parametrize.is_parametrized(module):
        raise HooksAttachedError(
            f"{name} ({type(module).__name__}) has parametrisations, which would be lost; remove "
            "them (torch.nn.utils.parametrize.remove_parametrizations) and swap."
        )


def _plain(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Modules in plain lists, tuples and dictionaries, which torch does not know about."""
    for name, module in model.named_modules():
        for attribute, value in vars(module).items():
            if attribute == "_modules" or not isinstance(value, list | tuple | dict):
                continue
            for item in value.values() if isinstance(value, dict) else value:
                if isinstance(item, nn.Module):
                    yield f"{name}.{attribute}".lstrip("."), item


def _refuse_lists(model: nn.Module, replaced: set[int]) -> None:
    for name, item in _plain(model):
        if id(item) in replaced:
            raise UnsupportedContainerError(
                f"{name}, a plain container, holds a {type(item).__name__} that is to be "
                "replaced, and would go on holding the old one; make it an nn.ModuleList or "
                "nn.ModuleDict."
            )


def _nothing(model: nn.Module, mapping: Mapping[Any, Any]) -> str:
    present = sorted({type(m).__name__ for m in model.modules() if not list(m.children())})
    wanted = ", ".join(getattr(key, "__name__", repr(key)) for key in mapping)
    text = f"no module is a {wanted}; the model holds {', '.join(present) or 'no module'}."
    classes = {key for key in mapping if isinstance(key, type)}
    for name, item in _plain(model):
        if type(item) in classes:
            text += (
                f" {name} holds a {type(item).__name__} in a plain container, which torch does "
                "not see: make it an nn.ModuleList or nn.ModuleDict."
            )
            break
    return text


def notes_on_neurons(
    model: nn.Module, replacements: list[Replacement], inplace: bool
) -> list[tuple[str, str]]:
    """What else in the training script changes with these neurons."""
    from ..neurons import SingleSpikeIF

    cores = [getattr(r.new, "core", r.new) for r in replacements]
    notes = []
    if any(isinstance(core, SingleSpikeIF) for core in cores):
        notes += [
            ("input", "one spike per pixel: latency(x, t_max) and spike_train; or a constant one"),
            ("loss", "on first spikes: loss.from_spikes(spk_rec, targets, potential=mem_rec);"),
            ("", "the potential is -inf after the spike, so losses on mem become infinite"),
            ("accuracy", "metrics.first_spike_accuracy; spike counts (accuracy_rate) say nothing"),
        ]
    kinds = {type(module) for module in model.modules()}
    if any(issubclass(kind, nn.modules.batchnorm._BatchNorm) for kind in kinds):
        notes.append(("BatchNorm", "per step it amplifies gradients once all units have fired"))
    if nn.MaxPool2d in kinds or nn.AvgPool2d in kinds:
        notes.append(("pooling", "FirstSpikePool2d passes one spike per window; to_timed needs it"))
    if any(getattr(module, "bias", None) is not None for module in _linear(model)):
        notes.append(("bias", "a constant current at every step: with it a blank image may fire"))
    notes.append(("silence", "calibrate_(model, inputs) scales the weights so that neurons fire"))
    return [*notes, _optimizer(replacements, inplace)]


def notes_on_synapses(
    model: nn.Module, replacements: list[Replacement], inplace: bool
) -> list[tuple[str, str]]:
    """What else in the training script changes with these synapses."""
    note = ("thresholds", "weights have another size: calibrate_(model, inputs)")
    return [note, _optimizer(replacements, inplace)]


def _optimizer(replacements: list[Replacement], inplace: bool) -> tuple[str, str]:
    if not inplace:
        return "optimiser", "swap returns a copy: create the optimiser from its parameters"
    fresh = any(r.new_parameters for r in replacements)
    change = (
        "add the new parameters" if fresh else "no new parameters; old ones of neurons are gone"
    )
    return "optimiser", change


def _linear(model: nn.Module) -> list[nn.Module]:
    return [m for m in model.modules() if isinstance(m, nn.Linear | nn.Conv2d)]
