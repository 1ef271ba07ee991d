"""Choosing an implementation: the torch reference, or a kernel where it is installed."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor


def load(owner: str, wanted: str, names: Sequence[str], load_backend: Callable[[str], None]) -> str:
    """Load the kernels of a backend and return its name; ``"auto"`` may end at ``"torch"``."""
    for name in names if wanted == "auto" else (wanted,):
        try:
            if name != "torch":
                load_backend(name)
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
