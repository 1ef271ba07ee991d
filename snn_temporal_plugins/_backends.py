"""Choosing an implementation: the torch reference, or a kernel where it is installed."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from .kernels.common.direct import plain

_helpers: dict[str, Callable[..., Any]] = {}


def register(function: Callable[..., Any]) -> Callable[..., Any]:
    """Let a kernel serve losses, which have no backend of their own."""
    _helpers[function.__name__] = function
    return function


def helper(name: str, tensor: Tensor) -> Callable[..., Any] | None:
    """A registered kernel, once the kernels of some layer are loaded and if they serve a tensor."""
    numbers = tensor.dtype in (torch.float32, torch.float64)
    serves = name in _helpers and numbers and tensor.device.type == "cpu" and plain(tensor)
    return _helpers[name] if serves else None


def load(owner: str, wanted: str, names: Sequence[str], load_backend: Callable[[str], None]) -> str:
    """Load the kernels of a backend and return its name; ``"auto"`` may end at ``"torch"``."""
    for name in names if wanted == "auto" else (wanted,):
        try:
            if name != "torch":
                load_backend(name)
                importlib.import_module(f"{__package__}.kernels.rank_order.op")
            return name
        except ImportError as error:
            if wanted != "auto":
                raise ImportError(
                    f"{owner}: backend={name!r} needs a package that is not installed ({error}); "
                    "pip install 'snn-temporal-plugins[fast]'"
                ) from error
    return "torch"


def on(wanted: str, chosen: str, tensor: Tensor) -> str:
    """Backend for this tensor: kernels serve the CPU, ``"auto"`` falls back elsewhere."""
    return "torch" if wanted == "auto" and tensor.device.type != "cpu" else chosen


def describe(wanted: str, chosen: str) -> str:
    """How ``repr`` shows the choice."""
    return f"auto ({chosen})" if wanted == "auto" else wanted
