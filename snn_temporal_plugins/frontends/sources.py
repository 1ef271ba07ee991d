"""What the hosts' own neurons are and hold, told from their class names; no host is imported."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from ..plugins.errors import OptionNotSupportedError
from . import _names

SNNTORCH_STATES = {"Leaky": 1, "Lapicque": 1, "Synaptic": 2, "Alpha": 3}
SNNTORCH_WEIGHTS = ("RLeaky", "RSynaptic", "SConv2dLSTM", "SLSTM", "LinearLeaky")
SNNTORCH_SEQUENCES = ("StateLeaky", "LeakyParallel", "AssociativeLeaky")
NORSE_WEIGHTS = ("SNNRecurrentCell", "SNNRecurrent", "LILinearCell", "LIFCorrelation")


@dataclass(frozen=True)
class Source:
    """A neuron of a host, as far as replacing it is concerned."""

    host: str  # "snntorch" or "norse"
    kind: str  # the host's class it derives from
    layout: str  # "step" or "sequence"
    states: int | None = None  # that its call takes and returns; None: one object, any content
    hidden: bool = False  # holds its states itself
    output: bool = False  # and yet returns them
    weights: bool = False  # owns input or recurrent weights


def describe(module: nn.Module) -> Source | None:
    """Return what a module of snnTorch or Norse is; ``None`` for anything else."""
    return _of_snntorch(module) or _of_norse(module)


def _bases(module: nn.Module, package: str) -> list[str]:
    return [c.__name__ for c in type(module).__mro__ if c.__module__.partition(".")[0] == package]


def _of_snntorch(module: Any) -> Source | None:
    names = _bases(module, "snntorch")
    for kind in names:
        if kind in SNNTORCH_WEIGHTS:
            return Source("snntorch", kind, "step", weights=True)
        if kind in SNNTORCH_SEQUENCES:
            return Source("snntorch", kind, "sequence")
        if kind in SNNTORCH_STATES:
            states = SNNTORCH_STATES[kind]
            hidden, output = bool(module.init_hidden), bool(module.output)
            return Source("snntorch", kind, "step", states, hidden, output)
    return None


def _of_norse(module: nn.Module) -> Source | None:
    names = _bases(module, "norse")
    if any(name in NORSE_WEIGHTS for name in names):
        return Source("norse", names[0], "step", weights=True)
    for base, layout in (("SNNCell", "step"), ("SNN", "sequence")):
        if base in names:
            return Source("norse", names[0], layout)
    return None


@dataclass
class Carried:
    """Arguments for the new neuron, and what of the old one is dropped, with the reason."""

    options: dict[str, Any]
    dropped: list[tuple[str, str]] = field(default_factory=list)
    taken: list[str] = field(default_factory=list)  # names of what comes from the old neuron


class _Carrier:
    """Collects what a core can take over from a neuron of a host."""

    def __init__(self, core: type, module: Any, carry: bool | str, overrides: dict[str, Any]):
        if carry not in (True, False, "drop"):
            raise ValueError(f'carry must be True, False or "drop", got {carry!r}.')
        self.core, self.module, self.carry = core, module, carry
        self.known = {a.name for a in _names.arguments(core)}
        self.result = Carried(dict(overrides))

    def host(self, name: str) -> None:
        """Take over a flag of the host."""
        value = getattr(self.module, name)
        if name not in self.result.options:
            self.result.options[name] = value
            if value:
                self.result.taken.append(f"{name}={value}")

    def number(self, name: str, value: Any, learned: str = "") -> None:
        """Take over a constant, if it is one number and the neuron has it."""
        if name in self.result.options or not self.carry:
            return
        who = self.core.__name__
        if name not in self.known:
            self.drop(name, f"{who} has no {name}")
            return
        tensor = torch.as_tensor(value).detach()
        if tensor.numel() > 1:
            self.unsupported(name, f"one value per neuron; {who} has one for all")
            return
        number = round(float(tensor), 7)  # 0.3, not 0.30000001192092896
        self.result.options[name] = number
        self.result.taken.append(f"{name}={number:g}")
        if learned and isinstance(value, nn.Parameter):
            self.drop(learned, f"{name} is a constant of {who}; it stays {number:g}")

    def drop(self, name: str, reason: str) -> None:
        self.result.dropped.append((name, reason))

    def unsupported(self, name: str, reason: str) -> None:
        """Drop what changes the model's meaning only where that was asked for."""
        if name in self.result.options:
            return
        if self.carry is True:
            raise OptionNotSupportedError(
                f"{name}: {reason}; give {name}=... for the new neuron where it has one, or pass "
                'carry="drop" to leave it out.'
            )
        self.drop(name, reason)

    def decay(self, name: str) -> None:
        """Drop a decay factor, or take it over where the neuron has the same one."""
        who = self.core.__name__
        if name in self.known:
            self.number(name, getattr(self.module, name), f"learn_{name}")
            return
        constants = [f"{n}=..." for n in self.known if n.startswith("tau_")]
        told = f"{who} has {', '.join(constants)}" if constants else f"{who} does not leak"
        self.drop(name, told)


def carried_by_snntorch(
    core: type, module: Any, carry: bool | str, overrides: dict[str, Any]
) -> Carried:
    """Options of a ``snn`` neuron for a host class made from ``core``."""
    take = _Carrier(core, module, carry, overrides)
    who = core.__name__
    for name in ("init_hidden", "output"):
        take.host(name)
    if not carry:
        return take.result
    take.number("threshold", module.threshold, "learn_threshold")
    for name in ("alpha", "beta"):
        if hasattr(module, name):
            take.decay(name)
    take.drop("spike_grad", f"{who} has its own gradient rule")
    take.drop("reset_mechanism", f"{who} has its own rule after a spike")
    if module.inhibition:
        take.unsupported("inhibition", f"{who} has no winner-take-all")
    if module.state_quant:
        take.unsupported("state_quant", f"{who} does not quantise its state")
    factor = module.graded_spikes_factor
    if isinstance(factor, nn.Parameter) or not bool((torch.as_tensor(factor) == 1).all()):
        take.unsupported("graded_spikes_factor", f"{who} fires spikes of its own size")
    return take.result


def carried_by_norse(
    core: type, module: Any, carry: bool | str, overrides: dict[str, Any]
) -> Carried:
    """Parameters of a norse neuron for a host class made from ``core``."""
    take = _Carrier(core, module, carry, overrides)
    take.result.options.setdefault("dt", module.dt)
    if hasattr(module, "record_states"):
        take.host("record_states")
    if not carry:
        return take.result
    for name, value in _fields(module.p):
        if name == "v_th":
            take.number("threshold", value, "v_th")
        elif name in take.known and isinstance(value, int | float | torch.Tensor):
            take.number(name, value)
        elif name in ("method", "alpha"):
            take.drop(name, f"{core.__name__} has its own gradient rule")
        elif name == "v_reset":
            take.drop(name, f"{core.__name__} has its own rule after a spike")
        elif name.startswith("tau_"):
            take.drop(name, f"{core.__name__} counts in steps: {_constants(take.known)}")
        else:
            take.drop(name, f"{core.__name__} has no {name}")
    return take.result


def _fields(parameters: Any) -> list[tuple[str, Any]]:
    return list(parameters._asdict().items()) if hasattr(parameters, "_asdict") else []


def _constants(known: Any) -> str:
    constants = [f"{name}=..." for name in known if name.startswith("tau_")]
    return f"give {', '.join(constants)}" if constants else "it does not leak"
