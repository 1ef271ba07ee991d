"""Weak entries for snnTorch's list of neurons."""

from __future__ import annotations

import weakref
from typing import Any

from torch import nn


class Listed:
    """Weak entry of snnTorch's list of neurons: resets by the neuron's own rule.

    The list itself would keep every neuron alive for good, and ``utils.reset`` writes zeros into
    states by name; an entry whose neuron is gone answers to no class.
    """

    _neuron: weakref.ref

    def __init__(self, neuron: nn.Module) -> None:
        object.__setattr__(self, "_neuron", weakref.ref(neuron))

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        return type(self._neuron())

    def __getattr__(self, name: str) -> Any:
        return getattr(self._neuron(), name)

    def __setattr__(self, name: str, value: Any) -> None:
        neuron: Any = self._neuron()
        if name in neuron.slots:
            neuron.reset_mem()
        else:
            setattr(neuron, name, value)


def enlist(neuron: nn.Module, listed: list) -> None:
    """Put ``neuron`` on the host's list, once, in place of a strong entry."""
    dead = type(None)
    listed[:] = [n for n in listed if n is not neuron and n.__class__ is not dead]
    listed.append(Listed(neuron))
