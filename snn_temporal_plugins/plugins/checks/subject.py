"""The neuron under test, and currents that it answers to."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from ...neurons.base import ClockedNeuron, TimedNeuron
from .. import registry
from ..spec import NeuronSpec

STEPS, BATCH, SIZE = 12, 4, 6


class Skip(Exception):
    """The check does not apply; the message says why."""


class Subject:
    """A neuron under test: fresh copies of it, and currents at which it fires now and then."""

    def __init__(self, neuron: Any) -> None:
        spec = None
        if isinstance(neuron, str):
            spec = registry.find("neuron", neuron)
            neuron = registry.load(spec, spec.core)
        if isinstance(neuron, NeuronSpec):
            spec, neuron = neuron, neuron.load()
        if spec is None:
            spec = _registered(neuron if isinstance(neuron, type) else type(neuron))
        example = dict(spec.example) if isinstance(spec, NeuronSpec) else {}
        self.expected = dict(spec.expected_failed_checks) if isinstance(spec, NeuronSpec) else {}
        if isinstance(neuron, type) and issubclass(neuron, ClockedNeuron | TimedNeuron):
            neuron = neuron(**example)
        if not isinstance(neuron, ClockedNeuron | TimedNeuron):
            raise TypeError(
                "check_neuron: expected a registered name, a NeuronSpec, or a ClockedNeuron or "
                f"TimedNeuron (class or instance), got {neuron!r}."
            )
        self.name = spec.name if spec else type(neuron).__name__
        self._neuron: nn.Module = neuron
        self._scale: float | None = None

    @property
    def core(self) -> type:
        return type(self._neuron)

    def fresh(self) -> Any:
        """Return a copy of the neuron that nobody has used."""
        return copy.deepcopy(self._neuron)

    def currents(self, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
        """Random currents ``[T, *shape]``, by default ``[T, B, N]``, that make some units fire."""
        if self._scale is None:
            self._scale = self._find_scale()
        noise = self._noise(*(shape or (BATCH, SIZE)))
        return (self._scale * noise).to(dtype)

    def weak_currents(self) -> Tensor:
        """Return currents too small for any spike."""
        return self.currents() * 1e-3

    def _noise(self, *shape: int) -> Tensor:
        generator = torch.Generator().manual_seed(7)
        return torch.rand(STEPS, *shape, generator=generator) - 0.2

    def _find_scale(self) -> float:
        """Smallest power of two at which a third of the units fires."""
        noise = self._noise(BATCH, SIZE)
        for k in range(-6, 24):
            outs = loop(self.fresh(), noise * 2.0**k)[0].detach()
            if (outs != 0).any(0).float().mean() > 0.34:
                return 2.0**k
        raise AssertionError("the neuron does not fire for currents up to 8 million")


def _registered(core: type) -> NeuronSpec | None:
    """Spec under which a class is registered, if it is."""
    for entry in registry.entries("neuron"):
        spec = entry.spec
        named = isinstance(spec, NeuronSpec) and core.__name__ in str(spec.core)
        if spec is not None and named and registry.load(spec, spec.core) is core:
            return spec  # type: ignore[return-value]
    return None


def loop(neuron: Any, current: Tensor, state: Any = None) -> tuple[Tensor, Any]:
    """Outputs ``[T, B, ...]`` and last state of a loop over :meth:`step`."""
    outs = []
    for x in current.unbind(0):
        state = neuron.initial_state(x) if state is None else state
        out, state = neuron.step(x, state)
        outs.append(out)
    return torch.stack(outs), state


def same(got: Tensor, want: Tensor, what: str) -> None:
    """Raise unless both tensors are equal, up to rounding."""
    assert got.shape == want.shape, f"{what}: shape {list(got.shape)} instead of {list(want.shape)}"
    close = torch.isclose(got, want, rtol=1e-4, atol=1e-5, equal_nan=True)
    assert close.all(), f"{what}: {int((~close).sum())} of {close.numel()} values differ"


def same_states(got: Any, want: Any, what: str) -> None:
    """Raise unless both states are equal, field by field."""
    assert len(got) == len(want), f"{what}: {len(got)} states instead of {len(want)}"
    for name, a, b in zip(want._fields, got, want, strict=True):
        same(a, b, f"{what}, state {name}")


def finite(tensor: Tensor | None, what: str) -> None:
    """Raise unless every entry is finite; no tensor at all is fine."""
    assert tensor is None or torch.isfinite(tensor).all(), f"{what} is not finite"
