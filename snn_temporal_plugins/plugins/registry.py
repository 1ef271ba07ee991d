"""Finding plug-ins: our own, those of installed distributions, those of this session."""

from __future__ import annotations

import os
import re
import warnings
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from importlib import import_module, metadata
from typing import Any

from . import builtin
from .errors import PluginConflictError, PluginError, PluginLoadError, UnknownPluginError
from .spec import GROUPS, SPECS, NeuronSpec, PluginSpec, check_version, load_path

OWN = "snn-temporal-plugins"
SESSION = "session"
DISABLE = "SNN_TEMPORAL_PLUGINS_DISABLE"
HOSTS = ("snntorch", "norse", "norse.cell")


@dataclass(frozen=True)
class Entry:
    """One name that some distribution offers. The spec, or the error that loading it gave."""

    kind: str
    name: str
    distribution: str
    version: str
    spec: PluginSpec | None
    error: PluginError | None = None

    @property
    def qualified(self) -> str:
        """Name that no other distribution can take."""
        return f"{self.distribution}:{self.name}"

    def answers_to(self, name: str) -> bool:
        """Whether ``name`` is the name, the qualified name or an alias of this entry."""
        names = (self.name, *(self.spec.aliases if self.spec else ()))
        return name in names or name in {f"{self.distribution}:{n}" for n in names}

    def usable(self) -> PluginSpec:
        """Return the spec, or raise what went wrong with it."""
        if self.spec is None:
            assert self.error is not None
            raise self.error
        return self.spec


_session: dict[tuple[str, str], PluginSpec] = {}
_warned: set[str] = set()


def register(spec: PluginSpec, *, override: bool = False) -> PluginSpec:
    """Make a plug-in known to this Python session, without an installed distribution.

    Parameters
    ----------
    spec : NeuronSpec, SynapseSpec, LossSpec, EncoderSpec or SurrogateSpec
    override : bool, default=False
        Replace a plug-in of the same name that was registered before, or take precedence over
        an installed one.

    Returns
    -------
    PluginSpec
        The spec itself.

    Raises
    ------
    PluginConflictError
        If the name is taken: built-in names always, others unless ``override=True``.
        Registering an equal spec again (a notebook cell run twice) is no conflict.

    Examples
    --------
    >>> import snn_temporal_plugins as stp
    >>> spec = stp.NeuronSpec("my_neuron", "my_package.neurons:MyNeuron")
    >>> stp.register(spec) is spec  # doctest: +SKIP
    True
    """
    if type(spec) not in SPECS.values():
        raise TypeError(f"register: spec must be a NeuronSpec or its like, got {spec!r}.")
    check_version(spec, SESSION)
    if _session.get((spec.kind, spec.name)) == spec:
        return spec
    for name in (spec.name, *spec.aliases):
        for entry in entries(spec.kind):
            replaced = override and entry.distribution != OWN
            if entry.answers_to(name) and not replaced:
                cure = (
                    "built-in names cannot be replaced: choose another name"
                    if entry.distribution == OWN
                    else "pass override=True or choose another name"
                )
                raise PluginConflictError(
                    f"register: the {spec.kind} name {name!r} is taken by {entry.qualified}; "
                    f"{cure}."
                )
    _session[spec.kind, spec.name] = spec
    return spec


def list_plugins(kind: str | None = None) -> list[PluginSpec]:
    """Specs of all plug-ins that can be used, sorted by kind and name.

    Hosts and plug-in code are not imported. A plug-in that is broken is left out, with one
    warning; ``python -m snn_temporal_plugins list`` shows it with its error.

    Parameters
    ----------
    kind : {"neuron", "synapse", "loss", "encoder", "surrogate"}, optional
        By default all kinds.

    Returns
    -------
    list of PluginSpec

    Examples
    --------
    >>> import snn_temporal_plugins as stp
    >>> "single_spike_if" in [spec.name for spec in stp.list_plugins("neuron")]
    True
    """
    specs = []
    for entry in entries(kind):
        if entry.spec is not None:
            specs.append(entry.spec)
        elif entry.qualified not in _warned:
            _warned.add(entry.qualified)
            warnings.warn(
                f"{entry.error} It is left out of the list.", RuntimeWarning, stacklevel=2
            )
    return specs


def get(kind: str, name: str, *, host: str | None = None) -> Any:
    """Class of a plug-in, by name; of a neuron also the class made for a host.

    Parameters
    ----------
    kind : {"neuron", "synapse", "loss", "encoder", "surrogate"}
    name : str
        Name or alias; ``"distribution:name"`` where two distributions offer one name.
    host : {None, "snntorch", "norse", "norse.cell"}, default=None
        ``None`` is the plain torch module. ``"norse"`` runs over time, ``"norse.cell"`` is one
        step. Only neurons have hosts.

    Returns
    -------
    type

    Raises
    ------
    UnknownPluginError
        If nothing of this kind has this name; the message lists what there is.
    PluginConflictError
        If several distributions offer the name.
    PluginLoadError
        If the plug-in cannot be imported.
    PluginVersionError
        If it was written for another version of the plug-in interface.
    ImportError
        If the host is not installed.

    Examples
    --------
    >>> import snn_temporal_plugins as stp
    >>> stp.get("neuron", "s4nn")
    <class 'snn_temporal_plugins.neurons.single_spike_if.SingleSpikeIF'>
    """
    spec = find(kind, name)
    if host is None:
        return load(spec, spec.core)
    if host not in HOSTS:
        raise ValueError(f"get: host must be one of {', '.join(HOSTS)}; got {host!r}.")
    if not isinstance(spec, NeuronSpec):
        raise ValueError(f"get: only neurons have hosts, {name!r} is a {kind}.")
    if host in spec.hosts:
        return load(spec, spec.hosts[host])
    core, (library, _, layout) = load(spec, spec.core), host.partition(".")
    front_end = import_module(f"{__package__.rpartition('.')[0]}.frontends.{library}")
    return front_end.host_class(core, layout) if layout else front_end.host_class(core)


def find(kind: str, name: str) -> PluginSpec:
    """Spec of a plug-in by name, alias or qualified name (errors as in :func:`get`)."""
    known = entries(kind)
    found = [entry for entry in known if entry.answers_to(name)]
    for privileged in (OWN, SESSION):  # our own cannot be shadowed; register() asked before
        found = [e for e in found if e.distribution == privileged] or found
    if len(found) > 1:
        choices = " or ".join(repr(entry.qualified) for entry in found)
        raise PluginConflictError(
            f"{len(found)} distributions offer a {kind} called {name!r}; say which: {choices}."
        )
    if not found:
        raise UnknownPluginError(_unknown(kind, name, known))
    return found[0].usable()


def load(spec: PluginSpec, path: str | type) -> Any:
    """Import the object behind ``path``, or raise ``PluginLoadError`` from the cause."""
    try:
        return load_object(path)
    except PluginLoadError as error:
        raise PluginLoadError(f"The {spec.kind} {spec.name!r}: {error}") from error.__cause__


def load_object(path: str | type) -> Any:
    """Import the object behind ``"module:Class"``, or raise ``PluginLoadError``."""
    try:
        return load_path(path)
    except Exception as error:
        raise PluginLoadError(f"{path!r} cannot be imported: {error}") from error


def entries(kind: str | None = None) -> list[Entry]:
    """Everything that is offered, broken entries included, except what is switched off."""
    if kind is not None and kind not in GROUPS:
        raise ValueError(f"kind must be one of {', '.join(GROUPS)}; got {kind!r}.")
    session = [Entry(s.kind, s.name, SESSION, "", s) for s in _session.values()]
    offered = [*_builtin(), *session, *_installed()]
    off = _disabled()
    offered = [e for e in offered if not off & {e.name, e.distribution, e.qualified}]
    chosen = [e for e in offered if kind is None or e.kind == kind]
    return sorted(chosen, key=lambda e: (list(GROUPS).index(e.kind), e.name, e.distribution))


def refresh() -> None:
    """Look again for installed distributions (after ``pip install`` in a running session)."""
    _installed.cache_clear()
    _warned.clear()


@cache
def _builtin() -> tuple[Entry, ...]:
    from .. import __version__

    specs = [value for value in vars(builtin).values() if isinstance(value, PluginSpec)]
    return tuple(Entry(spec.kind, spec.name, OWN, __version__, spec) for spec in specs)


@cache
def _installed() -> tuple[Entry, ...]:
    """Entries of other distributions. Ours come from :mod:`.builtin`, so that they are found
    from a source checkout and in frozen programs, where metadata is missing.
    """
    found = []
    for kind, group in GROUPS.items():
        for point in metadata.entry_points(group=group):
            if not point.value.startswith(f"{builtin.__name__}:"):
                found.append(_entry(kind, point))
    return tuple(found)


def _entry(kind: str, point: metadata.EntryPoint) -> Entry:
    distribution = point.dist.name if point.dist else "unknown"
    version = point.dist.version if point.dist else ""
    try:
        spec = _spec_of(kind, point)
        check_version(spec, distribution)
    except PluginError as error:
        return Entry(kind, point.name, distribution, version, None, error)
    return Entry(kind, point.name, distribution, version, spec)


def _spec_of(kind: str, point: metadata.EntryPoint) -> PluginSpec:
    where = f"The {kind} {point.name!r} ({point.value})"
    try:
        spec = point.load()
    except Exception as cause:
        error = PluginLoadError(f"{where} cannot be loaded: {cause}.")
        error.__cause__ = cause
        raise error from cause
    if not isinstance(spec, SPECS[kind]):
        raise PluginLoadError(
            f"{where} must be a {SPECS[kind].__name__}, got {type(spec).__name__}."
        )
    if spec.name != point.name:
        raise PluginLoadError(f"{where} holds a spec of another name, {spec.name!r}.")
    return spec


def _disabled() -> set[str]:
    return {name for name in re.split(r"[,\s]+", os.environ.get(DISABLE, "")) if name}


def _unknown(kind: str, name: str, known: list[Entry]) -> str:
    names = [entry.name for entry in known]
    aliases = [alias for e in known if e.spec for alias in e.spec.aliases]
    if _disabled() & {name, name.rpartition(":")[2]}:
        return f"The {kind} {name!r} is switched off by {DISABLE}={os.environ[DISABLE]!r}."
    close = get_close_matches(name, [*names, *aliases], n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    listed = ", ".join(sorted(set(names))) or "none"
    return f"No {kind} is called {name!r}.{hint} Known: {listed}."
