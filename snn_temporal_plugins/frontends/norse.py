"""Neurons for Norse: ``out, state = neuron(input, state)``.

Host classes are made from the neurons of this package and of plug-ins when they are asked for::

    from snn_temporal_plugins.frontends.norse import SingleSpikeIF, SingleSpikeIFCell

``SingleSpikeIF`` takes a sequence ``[T, B, ...]``, ``SingleSpikeIFCell`` one step ``[B, ...]``;
beside them stand ``SingleSpikeIFParameters``, ``SingleSpikeIFState`` and
``single_spike_if_feed_forward_step``, as Norse has them for its own neurons.
"""

from __future__ import annotations

import inspect
import re
import warnings
from collections import namedtuple
from collections.abc import Callable
from functools import cache
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from .. import _checks
from ..neurons.base import ClockedNeuron
from . import _names
from .sources import Carried, carried_by_norse

try:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Norse uses torch.jit
        import norse.torch as norse_torch  # noqa: F401  # stock.py takes neurons from it
        from norse.torch.module.snn import SNN, SNNCell, _merge_states
except ImportError as error:
    raise ImportError(
        f"the Norse front end needs Norse ({error}); pip install 'snn-temporal-plugins[norse]'"
    ) from error

OPTIONS: dict[str, Any] = {"p": None, "dt": 0.001}
STEP, STATE = "_feed_forward_step", "__state"


class _Moves:
    """A tuple of tensors that moves with ``.to()``, as Norse's own states do."""

    __slots__ = ()

    def to(self, *args: Any, **options: Any) -> Any:
        """Copy whose tensors went through ``tensor.to``."""
        moved = (v.to(*args, **options) if isinstance(v, Tensor) else v for v in self)  # type: ignore[attr-defined]
        return type(self)(*moved)


class HostNeuron:
    """What all host classes of this module share; see the module's text."""

    Core: ClassVar[type[ClockedNeuron]]  #: the class of this package or plug-in that computes
    layout: ClassVar[str]  #: "cell" (one step per call) or "" (a sequence)

    core: Any
    dt: float

    def __init__(self, *args: Any, **options: Any) -> None:
        p, dt = options.pop("p", None), options.pop("dt", OPTIONS["dt"])
        record = options.pop("record_states", False)
        if p is not None and (args or options):
            raise TypeError(f"{type(self).__name__}: give either p={p!r} or its values, not both.")
        if p is not None:
            options = p._asdict()
        else:
            options = _names.core_arguments(options, [*OPTIONS, "record_states"])
        self._adopt(self.Core(*args, **options), dt=dt, record_states=record)

    @classmethod
    def from_core(cls, core: ClockedNeuron, **options: Any) -> Any:
        """Host neuron around an instance of :attr:`Core`, which is not copied."""
        neuron = cls.__new__(cls)
        neuron._adopt(core, **options)
        return neuron

    @classmethod
    def from_module(cls, module: nn.Module, *, carry: bool | str = True, **overrides: Any) -> Any:
        """Host neuron in place of a neuron of Norse, with what it can carry on.

        Parameters
        ----------
        module : norse.torch.SNNCell or norse.torch.SNN
            The neuron to be replaced.
        carry : {True, False, "drop"}, default=True
            ``"drop"`` drops options that the neuron cannot honour, instead of an error;
            ``False`` carries only ``dt`` and ``record_states``.
        **overrides
            Arguments of the constructor, in place of what would be carried.
        """
        return cls(**cls.carried(module, carry=carry, **overrides).options)

    @classmethod
    def carried(cls, module: nn.Module, *, carry: bool | str = True, **overrides: Any) -> Carried:
        """Say what :meth:`from_module` carries and drops, and why."""
        return carried_by_norse(cls.Core, module, carry, overrides)

    def _adopt(
        self, core: ClockedNeuron, *, dt: float = 0.001, record_states: bool = False
    ) -> None:
        module: Any = self
        keywords = {} if self.layout else {"record_states": record_states}
        p = _values(type(core), core)
        super().__init__(self.activate, self.initial_state, p, dt, **keywords)  # type: ignore[call-arg]
        module.core = core
        module._State = state_class(core.State)

    def activate(self, input_tensor: Tensor, state: Any, p: Any, dt: float) -> tuple[Tensor, Any]:
        """One step, in the form of Norse's activations; the neuron's own constants act."""
        module: Any = self
        out, state = module._modules["core"].step(input_tensor, state)  # __getattr__ costs 1 us
        if out.dtype != input_tensor.dtype:
            out = out.to(input_tensor.dtype)
        return out, module._State(*state)

    def initial_state(self, input_tensor: Tensor) -> Any:
        """Return the state before the first step, for an input of this module."""
        step = input_tensor if self.layout else input_tensor[0]
        return self._State(*self.core.initial_state(step))  # type: ignore[attr-defined]

    def __repr__(self) -> str:
        inner = [self.core.extra_repr()]
        if getattr(self, "record_states", False):
            inner.append("record_states=True")
        return f"{type(self).__name__}({', '.join([*filter(None, inner), 'host=norse'])})"

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *rest: Any) -> None:
        if not any(key.startswith(f"{prefix}core.") for key in state_dict):  # of the host's own
            for name, value in self.core.state_dict(prefix=f"{prefix}core.").items():
                state_dict[name] = value
        super()._load_from_state_dict(state_dict, prefix, *rest)  # type: ignore[misc]


class _Cell(HostNeuron):
    layout = "cell"

    def forward(self, input_tensor: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """One step ``[B, ...]`` and its state to output and state."""
        if state is None:
            state = self.core.initial_state(input_tensor)
        return self.activate(input_tensor, state, None, self.dt)


class _Sequence(HostNeuron):
    layout = ""
    record_states: bool

    def forward(self, input_tensor: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """Sequence ``[T, B, ...]`` and its state to outputs and the last (or every) state."""
        if not self.record_states:
            out, state = self.core(input_tensor, state)
            if out.dtype != input_tensor.dtype:
                out = out.to(input_tensor.dtype)
            return out, self._State(*state)  # type: ignore[attr-defined]
        outs, states = [], []
        for current in input_tensor.unbind(0):
            if state is None:
                state = self.core.initial_state(current)
            out, state = self.activate(current, state, None, self.dt)
            outs.append(out)
            states.append(state)
        return torch.stack(outs), _merge_states(states)


def host_class(core: type[ClockedNeuron], layout: str = "") -> Any:
    """Class for Norse made from ``core``, the same one each time; ``layout="cell"``: one step."""
    core = _names.check_core("Norse front end", core)
    _checks.choice("Norse front end", "layout", layout, ("", "cell"))
    return _made(core, layout)


def state_class(state: type) -> Any:
    """Class of Norse states with the fields of a core's ``State``, the same one each time."""
    return _made_state(state)


@cache
def _made(core: type[ClockedNeuron], layout: str) -> type:
    call, host, suffix = (_Cell, SNNCell, "Cell") if layout else (_Sequence, SNN, "")
    options = OPTIONS if layout else {**OPTIONS, "record_states": False}
    members = {
        "__module__": __name__,
        "__qualname__": _names.public_name(core) + suffix,
        "__doc__": f"``{core.__name__}`` as a ``norse.torch.{host.__name__}``.\n\n"
        f"{core.__doc__ or ''}",
        "__signature__": _names.signature(core, options),
        "Core": core,
    }
    return type(core.__name__ + suffix, (call, host), members)


@cache
def _made_state(state: type) -> type:
    members = {
        "__module__": __name__,
        "__qualname__": _names.long_name(state) + STATE,
        "__slots__": (),
        "__doc__": f"{state.__name__} that moves with ``.to()``.",
    }
    return type(state.__name__, (_Moves, state), members)


@cache
def _made_parameters(core: type[ClockedNeuron]) -> Any:
    """``NamedTuple`` of the constructor's arguments, with the same defaults."""
    empty = inspect.Parameter.empty
    arguments = _names.arguments(core)
    needed = [a.name for a in arguments if a.default is empty]
    given = {a.name: a.default for a in arguments if a.default is not empty}
    name = f"{core.__name__}Parameters"
    fields = namedtuple(name, [*needed, *given], defaults=given.values())  # type: ignore[misc]
    members = {
        "__module__": __name__,
        "__qualname__": f"{_names.public_name(core)}Parameters",
        "__slots__": (),
        "__doc__": f"Arguments of ``{core.__name__}``, in the form Norse has for parameters.",
    }
    return type(name, (_Moves, fields), members)


@cache
def _made_step(core: type[ClockedNeuron], name: str) -> Any:
    parameters = _made_parameters(core)

    def step(
        input_tensor: Tensor, state: Any = None, p: Any = None, dt: float = 0.001
    ) -> tuple[Tensor, Any]:
        neuron = core(**(parameters() if p is None else p)._asdict())
        state = neuron.initial_state(input_tensor) if state is None else state
        out, state = neuron.step(input_tensor, state)
        return out.to(input_tensor.dtype), _made_state(neuron.State)(*state)

    step.__name__ = step.__qualname__ = name
    step.__doc__ = (
        f"One step of ``{core.__name__}``: input ``[B, ...]``, state, ``{core.__name__}"
        "Parameters`` and ``dt`` (unused: one call is one step) to output and state."
    )
    return step


def _values(core: type, neuron: nn.Module) -> Any:
    """Parameters of a neuron that keeps its arguments under their names; else their defaults."""
    parameters = _made_parameters(core)
    default = parameters._field_defaults
    return parameters(**{n: getattr(neuron, n, default.get(n)) for n in parameters._fields})


def snake(name: str) -> str:
    """``SingleSpikeIF`` as ``single_spike_if``."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


def _found(name: str) -> Any:
    """Object of this module by name, or ``None``."""
    if name.endswith(STEP):
        core = _names.core_by_plugin_name(name.removesuffix(STEP))
        return core and _made_step(core, name)
    if name.endswith(STATE):
        return _made_state(_names.find_long_name(name.removesuffix(STATE)))
    core = _names.find_core(name)
    if core is not None:
        return host_class(core)
    for suffix, made in _BESIDE.items():
        core = _names.find_core(name.removesuffix(suffix)) if name.endswith(suffix) else None
        if core is not None:
            return made(core)
    return None


_BESIDE: dict[str, Callable[[Any], Any]] = {
    "Cell": lambda core: host_class(core, "cell"),
    "Parameters": _made_parameters,
    "State": lambda core: _made_state(core.State),
}


def __getattr__(name: str) -> Any:
    found = None if name.startswith("__") else _found(name)
    if found is None:
        raise AttributeError(f"module {__name__!r} has no neuron {name!r}")
    return found


def __dir__() -> list[str]:
    names = _names.core_names()
    return [*globals(), *names, *(f"{name}Cell" for name in names)]
