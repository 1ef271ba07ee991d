"""Specs: light descriptions of plug-ins, the targets of entry points."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, ClassVar

from .errors import PluginVersionError

API_VERSION = 1


@dataclass(frozen=True)
class PluginSpec:
    """What a plug-in is called and where it lives; nothing heavy is imported.

    Use the subclass of the kind: ``NeuronSpec``, ``SynapseSpec``, ``LossSpec``, ``EncoderSpec``,
    ``SurrogateSpec``.

    Parameters
    ----------
    name : str
        Name under which the plug-in is found; equal to the name of its entry point.
    core : str or type
        ``"package.module:Class"``, imported only when the plug-in is used. A class itself is
        accepted too, for notebooks.
    summary : str, default=""
        One line for lists.
    reference : str, default=""
        Where the model is published.
    aliases : tuple of str, default=()
        Other names.
    api_version : int, default=1
        Version of the plug-in interface the plug-in was written for.

    Raises
    ------
    ValueError
        If ``name`` is empty or holds a colon, or ``core`` has not the form ``module:Class``.
    TypeError
        If ``core`` is neither a string nor a class, or ``aliases`` is one string.
    """

    kind: ClassVar[str] = ""

    name: str
    core: str | type
    summary: str = field(default="", kw_only=True)
    reference: str = field(default="", kw_only=True)
    aliases: tuple[str, ...] = field(default=(), kw_only=True)
    api_version: int = field(default=1, kw_only=True)

    def __post_init__(self) -> None:
        owner = type(self).__name__
        if isinstance(self.aliases, str):
            raise TypeError(f"{owner}: aliases must be a tuple of strings, got {self.aliases!r}.")
        for name in (self.name, *self.aliases):
            if not isinstance(name, str) or not name or ":" in name:
                raise ValueError(f"{owner}: a name must be a string without colon, got {name!r}.")
        check_path(owner, "core", self.core)

    def load(self) -> Any:
        """Import and return the object that ``core`` points to."""
        return load_path(self.core)


@dataclass(frozen=True)
class NeuronSpec(PluginSpec):
    """Spec of a neuron: a subclass of ``ClockedNeuron``, ``TimedNeuron`` or both.

    Host classes are made from a ``ClockedNeuron`` by the front ends; nothing else is needed.

    Parameters
    ----------
    name, core, summary, reference, aliases, api_version
        As in :class:`~snn_temporal_plugins.plugins.PluginSpec`.
    hosts : mapping of str to str, optional
        Hand-written host classes that replace the made ones, as
        ``{"snntorch": "package.module:Class"}``. Hosts: ``snntorch``, ``norse`` (a sequence),
        ``norse.cell`` (one step).
    example : mapping, optional
        Constructor arguments with which :func:`~snn_temporal_plugins.check_neuron` builds the
        neuron; needed where the constructor has arguments without default.
    expected_failed_checks : mapping of str to str, optional
        Checks of :func:`~snn_temporal_plugins.check_neuron` that the model cannot pass by its
        definition, with the reasons.

    Examples
    --------
    >>> import snn_temporal_plugins as stp
    >>> stp.NeuronSpec("quadratic_if", "my_package.neurons:QuadraticIF", summary="v' = v^2 + I")
    ... # doctest: +ELLIPSIS
    NeuronSpec(name='quadratic_if', core='my_package.neurons:QuadraticIF', ...)
    """

    kind: ClassVar[str] = "neuron"

    hosts: Mapping[str, str] = field(default_factory=dict, kw_only=True, hash=False)
    example: Mapping[str, Any] = field(default_factory=dict, kw_only=True, hash=False)
    expected_failed_checks: Mapping[str, str] = field(
        default_factory=dict, kw_only=True, hash=False
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        for host, path in self.hosts.items():
            check_path("NeuronSpec", f"hosts[{host!r}]", path)


@dataclass(frozen=True)
class SynapseSpec(PluginSpec):
    """Spec of a synapse: a module with weights that spikes travel through."""

    kind: ClassVar[str] = "synapse"


@dataclass(frozen=True)
class LossSpec(PluginSpec):
    """Spec of a loss: ``loss(times, targets, *, potential=None)``."""

    kind: ClassVar[str] = "loss"


@dataclass(frozen=True)
class EncoderSpec(PluginSpec):
    """Spec of an encoder: a module that turns values into spike times or spike trains."""

    kind: ClassVar[str] = "encoder"


@dataclass(frozen=True)
class SurrogateSpec(PluginSpec):
    """Spec of a surrogate gradient: a picklable callable on ``potential - threshold``."""

    kind: ClassVar[str] = "surrogate"


SPECS: dict[str, type[PluginSpec]] = {
    spec.kind: spec for spec in (NeuronSpec, SynapseSpec, LossSpec, EncoderSpec, SurrogateSpec)
}
GROUPS: dict[str, str] = {
    "neuron": "snn_temporal_plugins.neurons",
    "synapse": "snn_temporal_plugins.synapses",
    "loss": "snn_temporal_plugins.losses",
    "encoder": "snn_temporal_plugins.encoders",
    "surrogate": "snn_temporal_plugins.surrogates",
}


def check_version(spec: PluginSpec, distribution: str) -> None:
    """Raise unless ``spec`` was written for this version of the plug-in interface."""
    if spec.api_version != API_VERSION:
        from .. import __version__

        raise PluginVersionError(
            f"The {spec.kind} {spec.name!r} of {distribution} was written for plug-in interface "
            f"{spec.api_version}; snn_temporal_plugins {__version__} has interface {API_VERSION}."
        )


def check_path(owner: str, name: str, path: Any) -> None:
    """Raise unless ``path`` is a class or a string of the form ``module:Class``."""
    if isinstance(path, type):
        return
    if not isinstance(path, str):
        raise TypeError(f"{owner}: {name} must be 'module:Class' or a class, got {path!r}.")
    module, _, attribute = path.partition(":")
    if not module or not attribute:
        raise ValueError(f"{owner}: {name} must have the form 'module:Class', got {path!r}.")


def load_path(path: str | type) -> Any:
    """Object behind ``"module:Class"``; a class is returned as it is."""
    if isinstance(path, type):
        return path
    module, _, attribute = path.partition(":")
    found = import_module(module)
    for part in attribute.split("."):
        found = getattr(found, part)
    return found
