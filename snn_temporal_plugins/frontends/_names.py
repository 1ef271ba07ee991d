"""Names under which host classes are found again: by people who import them, and by pickle.

No host is imported here.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Sequence
from importlib import import_module
from typing import Any

from ..neurons.base import ClockedNeuron
from ..plugins import registry
from ..plugins.errors import PluginConflictError

PACKAGE = __package__.partition(".")[0]


def public_name(core: type) -> str:
    """Name of a core inside a front end: short for our own neurons, with its module for others.

    ``module/path:Class`` cannot clash, and pickle takes it for one attribute (it has no dots).
    """
    if core.__module__.partition(".")[0] == PACKAGE:
        return core.__name__
    return long_name(core)


def long_name(cls: type) -> str:
    """``module/path:Class`` of any class; :func:`find_long_name` is its inverse."""
    return f"{cls.__module__}:{cls.__qualname__}".replace(".", "/")


def find_long_name(name: str) -> Any:
    """Object behind a name of :func:`long_name`."""
    module, _, path = name.replace("/", ".").partition(":")
    found: Any = import_module(module)
    for part in path.split("."):
        found = getattr(found, part)
    return found


def find_core(name: str) -> type[ClockedNeuron] | None:
    """Core that a front end knows by ``name``: a public name, or the class of a plug-in."""
    if ":" in name:
        try:
            return _clocked(find_long_name(name))
        except (ImportError, AttributeError):
            return None
    own = _clocked(getattr(import_module(f"{PACKAGE}.neurons"), name, None))
    if own is not None:
        return own
    named = [entry for entry in registry.entries("neuron") if _class_name(entry) == name]
    if len(named) > 1:
        choices = ", ".join(entry.qualified for entry in named)
        raise PluginConflictError(
            f"several plug-ins have a neuron class {name} ({choices}); use "
            'snn_temporal_plugins.get("neuron", "distribution:name", host=...).'
        )
    return _clocked(_load(named[0])) if named else None


def core_names() -> list[str]:
    """Classes of all clocked neurons that are registered, for ``dir()`` of a front end."""
    found = []
    for entry in registry.entries("neuron"):
        if entry.spec is not None and _clocked(_load(entry)):
            found.append(_class_name(entry))
    return sorted(set(found))


def core_by_plugin_name(name: str) -> type[ClockedNeuron] | None:
    """Core of the neuron that is registered as ``name``."""
    for entry in registry.entries("neuron"):
        if entry.name == name and entry.spec is not None:
            return _clocked(_load(entry))
    return None


def _load(entry: registry.Entry) -> Any:
    spec = entry.usable()
    return registry.load(spec, spec.core)


def _class_name(entry: registry.Entry) -> str:
    if entry.spec is None:
        return ""
    core = entry.spec.core
    return core.__name__ if isinstance(core, type) else re.split("[.:]", core)[-1]


def _clocked(found: Any) -> type[ClockedNeuron] | None:
    is_core = isinstance(found, type) and issubclass(found, ClockedNeuron)
    return found if is_core and not inspect.isabstract(found) else None


def check_core(owner: str, core: Any) -> type[ClockedNeuron]:
    """Raise unless a host class can be made from ``core``."""
    clocked = _clocked(core)
    if clocked is None:
        raise TypeError(
            f"{owner}: host classes are made from subclasses of ClockedNeuron with "
            f"initial_state and step, got {getattr(core, '__name__', core)!r}."
        )
    fields = getattr(getattr(core, "State", None), "_fields", None)
    if not fields:
        raise TypeError(f"{owner}: {core.__name__}.State must be a NamedTuple class.")
    return clocked


def potential_field(fields: Sequence[str]) -> int:
    """Which state is the membrane potential: the one called ``v``, else the first."""
    return fields.index("v") if "v" in fields else 0


def arguments(core: type) -> list[inspect.Parameter]:
    """Named arguments of a core's constructor (``nn.Module``'s own takes ``*args`` and none)."""
    found = inspect.signature(core).parameters.values()
    return [p for p in found if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]


def signature(core: type, options: dict[str, Any]) -> inspect.Signature:
    """Signature of ``core`` with the host's ``options`` as further keyword arguments.

    Where both have one name, the neuron's argument is called ``neuron_<name>``.
    """
    kept: list[inspect.Parameter] = []
    keyword: list[inspect.Parameter] = []
    for parameter in arguments(core):
        if parameter.name in options:
            parameter = parameter.replace(name=f"neuron_{parameter.name}")
        is_keyword = parameter.kind is inspect.Parameter.KEYWORD_ONLY
        (keyword if is_keyword else kept).append(parameter)
    kind = inspect.Parameter.KEYWORD_ONLY
    for name, default in options.items():
        keyword.append(inspect.Parameter(name, kind, default=default))
    return inspect.Signature([*kept, *keyword])


def core_arguments(options: dict[str, Any], host_options: Sequence[str]) -> dict[str, Any]:
    """Arguments of the core from those of the host class: ``neuron_output`` is its ``output``."""
    return {
        name.removeprefix("neuron_") if name.removeprefix("neuron_") in host_options else name: v
        for name, v in options.items()
    }
