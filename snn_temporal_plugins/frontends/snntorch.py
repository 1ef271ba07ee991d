"""Neurons for snnTorch: ``spk, mem = neuron(current, mem)``.

Host classes are made from the neurons of this package and of plug-ins when they are asked for::

    from snn_temporal_plugins.frontends.snntorch import SingleSpikeIF

A neuron with one state is a ``snn.Leaky``, with two a ``snn.Synaptic`` and with three a
``snn.Alpha``: ``utils.reset``, ``backprop.BPTT`` and ``isinstance`` find it, and the first value
returned feeds the next layer. The last state is the membrane potential, ``mem``.
"""

from __future__ import annotations

import warnings
from functools import cache
from typing import Any, ClassVar, NamedTuple, NoReturn

import torch
from torch import Tensor, nn

from .. import _checks
from ..neurons.base import ClockedNeuron
from . import _names
from ._calls import CALLS
from ._listed import enlist
from .sources import Carried, carried_by_snntorch

try:
    import snntorch as snn
except ImportError as error:
    raise ImportError(
        f"the snnTorch front end needs snnTorch ({error}); pip install "
        "'snn-temporal-plugins[snntorch]'"
    ) from error

SHAPES = {1: "Leaky", 2: "Synaptic", 3: "Alpha"}
OPTIONS: dict[str, Any] = {"init_hidden": False, "output": False}
BUFFERS = ("alpha", "beta", "threshold", "graded_spikes_factor", "reset_mechanism_val", "V")


def step_without_gradient(distance: Tensor) -> Tensor:
    """Stand in for snnTorch's ``spike_grad``: the neuron has its own gradient rule."""
    return (distance > 0).to(distance.dtype)


class _Layout(NamedTuple):
    """How the states of snnTorch and those of the neuron lie to one another."""

    slots: tuple[str, ...]
    order: tuple[int, ...]  # field of each slot, from `unused` on
    places: tuple[int, ...]  # slot of each field
    unused: int  # slots in front that are passed on unchanged


class HostNeuron:
    """What all host classes of this module share; see the module's text."""

    Core: ClassVar[type[ClockedNeuron]]  #: the class of this package or plug-in that computes
    shape: ClassVar[str]  #: the neuron of snnTorch whose call it has
    slots: ClassVar[tuple[str, ...]]  #: names of its states in snnTorch

    core: Any
    init_hidden: bool
    output: bool
    mem: Tensor
    _layout: _Layout

    def __init__(self, *args: Any, **options: Any) -> None:
        host = {name: options.pop(name, default) for name, default in OPTIONS.items()}
        for name, value in host.items():
            if not isinstance(value, bool):
                raise TypeError(
                    f"{type(self).__name__}: {name} is snnTorch's flag, True or False, got "
                    f"{value!r}; an argument of the neuron with this name is neuron_{name}."
                )
        self._adopt(self.Core(*args, **_names.core_arguments(options, [*OPTIONS])), **host)

    @classmethod
    def from_core(
        cls, core: ClockedNeuron, *, init_hidden: bool = False, output: bool = False
    ) -> Any:
        """Host neuron around an instance of :attr:`Core`, which is not copied."""
        neuron = cls.__new__(cls)
        neuron._adopt(core, init_hidden=init_hidden, output=output)
        return neuron

    @classmethod
    def from_module(cls, module: nn.Module, *, carry: bool | str = True, **overrides: Any) -> Any:
        """Host neuron in place of a neuron of snnTorch, with what it can carry on.

        Parameters
        ----------
        module : snntorch.SpikingNeuron
            The neuron to be replaced.
        carry : {True, False, "drop"}, default=True
            ``"drop"`` drops options that the neuron cannot honour, instead of an error;
            ``False`` carries only ``init_hidden`` and ``output``.
        **overrides
            Arguments of the constructor, in place of what would be carried.
        """
        return cls(**cls.carried(module, carry=carry, **overrides).options)

    @classmethod
    def carried(cls, module: nn.Module, *, carry: bool | str = True, **overrides: Any) -> Carried:
        """Say what :meth:`from_module` carries and drops, and why."""
        return carried_by_snntorch(cls.Core, module, carry, overrides)

    def _adopt(self, core: ClockedNeuron, *, init_hidden: bool, output: bool) -> None:
        needed = len(core.State._fields)  # type: ignore[attr-defined]
        if needed > len(self.slots):  # the options chose a form with more states
            self.__class__ = host_class(type(core), SHAPES[needed])
        base: Any = getattr(snn, self.shape)
        threshold, beta = (_constant(core, name) for name in ("threshold", "beta"))
        lif: Any = super(base, self)
        lif.__init__(  # registers the buffers that people read
            beta,
            threshold,
            step_without_gradient,
            init_hidden=init_hidden,
            output=output,
            reset_mechanism="none",
        )
        module: Any = self
        if len(self.slots) > 1:
            module.register_buffer("alpha", torch.ones_like(beta))
        module.reset_delay = True
        module._init_mem()
        fields = core.State._fields  # type: ignore[attr-defined]
        v = _names.potential_field(fields)
        order = (*(i for i in range(len(fields)) if i != v), v)  # slot -> field
        unused = len(self.slots) - len(fields)
        places = tuple(unused + order.index(i) for i in range(len(fields)))  # field -> slot
        module._potential_first = order == (1, 0)
        module._layout = _Layout(self.slots, order, places, unused)
        module.core = core
        enlist(module, snn.SpikingNeuron.instances)

    def advance(self, current: Tensor, held: tuple[Tensor, ...]) -> Any:
        """One time step from the states of all slots."""
        module: Any = self
        buffers, core = module._buffers, module._modules["core"]
        slots, order, places, unused = module._layout
        if held[-1].shape != current.shape:
            held = (torch.zeros_like(current),) * unused
            state = core.initial_state(current)
        else:
            state = core.State(*[held[i] for i in places])
        out, state = core.step(current, state)
        if out.dtype != current.dtype:
            out = out.to(current.dtype)
        states = (*held[:unused], *[state[i] for i in order])
        buffers.update(zip(slots, states, strict=True))
        return out if self.init_hidden and not self.output else (out, *states)

    def refuse_states(self) -> NoReturn:
        """Say that the neuron holds its states itself."""
        raise TypeError(
            f"{type(self).__name__}: with init_hidden=True the neuron holds its states; "
            f"call it with the current alone, without {', '.join(self.slots)}."
        )

    def reset_mem(self) -> Any:
        """Put the held states to rest, and return them as the host's neuron does."""
        module: Any = self
        if self.mem.numel():
            state = self.core.initial_state(torch.zeros_like(self.mem))
            unused = [torch.zeros_like(self.mem)] * module._layout.unused
            states = (*unused, *(state[i].detach() for i in module._layout.order))
            for name, value in zip(self.slots, states, strict=True):
                module._buffers[name] = value
        states = tuple(module._buffers[name] for name in self.slots)
        return states if len(states) > 1 else states[0]

    init_leaky = init_lapicque = init_synaptic = init_alpha = reset_mem

    def __repr__(self) -> str:
        parts = [self.core.extra_repr()]
        parts += [f"{name}=True" for name in OPTIONS if getattr(self, name)]
        inner = ", ".join([*filter(None, parts), f"host=snntorch.{self.shape}"])
        return f"{type(self).__name__.partition('_as_')[0]}({inner})"

    def __getstate__(self) -> dict[str, Any]:
        """Without graph: held states of a forward pass with gradients cannot be copied."""
        state = self.__dict__.copy()
        state["_buffers"] = {name: b.detach() for name, b in state["_buffers"].items()}
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)  # type: ignore[misc]
        enlist(self, snn.SpikingNeuron.instances)  # type: ignore[arg-type]

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *rest: Any) -> None:
        module: Any = self
        if not any(key.startswith(f"{prefix}core.") for key in state_dict):  # of the host's own
            for name, value in self.core.state_dict(prefix=f"{prefix}core.").items():
                state_dict[name] = value
        for name in BUFFERS:  # what snnTorch saves; constants come from the constructor here
            saved, own = state_dict.pop(prefix + name, None), module._buffers.get(name)
            if name == "threshold" and saved is not None and not torch.equal(saved.to(own), own):
                warnings.warn(
                    f"{prefix}threshold is {saved.tolist()} in the checkpoint, but {self!r} keeps "
                    "its own: constants come from the constructor.",
                    stacklevel=2,
                )
            if own is not None:
                state_dict[prefix + name] = own
        super()._load_from_state_dict(state_dict, prefix, *rest)  # type: ignore[misc]


def host_class(core: type[ClockedNeuron], shape: str = "") -> Any:
    """Class for snnTorch made from ``core``, the same one each time.

    ``shape`` is ``"Leaky"``, ``"Synaptic"`` or ``"Alpha"``, by default by the number of states;
    states that the neuron does not have are passed on unchanged.
    """
    core = _names.check_core("snnTorch front end", core)
    states = len(core.State._fields)  # type: ignore[attr-defined]
    if states > len(SHAPES):
        raise TypeError(
            f"snnTorch front end: {core.__name__} has {states} states, snnTorch's neurons have "
            "at most 3; put two of them into one tensor."
        )
    _checks.choice("snnTorch front end", "shape", shape, ("", *SHAPES.values()))
    return _made(core, shape or SHAPES[states])


@cache
def _made(core: type[ClockedNeuron], shape: str) -> type:
    call, slots = CALLS[shape]
    usual = shape == SHAPES[len(core.State._fields)]  # type: ignore[attr-defined]
    suffix = "" if usual else f"_as_{shape}"
    members = {
        "__module__": __name__,
        "__qualname__": _names.public_name(core) + suffix,
        "__doc__": f"``{core.__name__}`` as a ``snn.{shape}``.\n\n{core.__doc__ or ''}",
        "__signature__": _names.signature(core, OPTIONS),
        "Core": core,
        "shape": shape,
        "slots": slots,
    }
    return type(core.__name__ + suffix, (call, HostNeuron, getattr(snn, shape)), members)


def _constant(core: nn.Module, name: str) -> Tensor:
    """Value of a constant of the core for those who read ``neuron.beta``; it does not act."""
    value = getattr(core, name, None)
    return torch.as_tensor(1.0 if value is None else value).detach().clone()


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    plain, _, shape = name.partition("_as_")
    core = _names.find_core(plain)
    if core is None or shape not in ("", *SHAPES.values()):
        raise AttributeError(f"module {__name__!r} has no neuron {name!r}")
    return host_class(core, shape)


def __dir__() -> list[str]:
    return [*globals(), *_names.core_names()]
