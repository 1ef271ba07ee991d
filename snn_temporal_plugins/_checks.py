"""Argument errors: the one place that words them.

Shapes, types and devices are always checked. Checks that read *values* (NaN, negative times,
labels out of range) run unless :class:`set_validation` switched them off.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

_validating = True


class set_validation:
    """Switch the checks of tensor *values* on or off, for good or for one ``with`` block.

    Parameters
    ----------
    enabled : bool
        ``False`` skips the checks that read values (NaN, negative times, labels out of range).
        Shapes, types and devices are always checked.

    Examples
    --------
    >>> import snn_temporal_plugins as stp
    >>> with stp.set_validation(False):
    ...     pass  # value checks are off here and back on afterwards
    """

    def __init__(self, enabled: bool) -> None:
        global _validating
        self._previous = _validating
        _validating = bool(enabled)

    def __enter__(self) -> set_validation:
        return self

    def __exit__(self, *exc_info: object) -> None:
        global _validating
        _validating = self._previous


def validating() -> bool:
    """Whether values may be read: never while a graph is being captured."""
    return _validating and not torch.compiler.is_compiling()


def positive(owner: str, name: str, value: float) -> float:
    """Return ``value`` as float, or raise unless it is a positive finite number."""
    number = _number(owner, name, value)
    if not (number > 0 and math.isfinite(number)):
        raise ValueError(f"{owner}: {name} must be positive and finite, got {value!r}.")
    return number


def time_constant(owner: str, name: str, value: float) -> float:
    """Return ``value`` as float, or raise unless it is positive; ``inf`` is no leak."""
    number = _number(owner, name, value)
    if not number > 0:
        raise ValueError(f"{owner}: {name} must be positive (inf: no leak), got {value!r}.")
    return number


def non_negative(owner: str, name: str, value: float) -> float:
    """Return ``value`` as float, or raise unless it is a finite number of at least 0."""
    number = _number(owner, name, value)
    if not (number >= 0 and math.isfinite(number)):
        raise ValueError(f"{owner}: {name} must be at least 0 and finite, got {value!r}.")
    return number


def above(owner: str, name: str, value: float, bound: float) -> float:
    """Return ``value`` as float, or raise unless it is finite and more than ``bound``."""
    number = _number(owner, name, value)
    if not (number > bound and math.isfinite(number)):
        raise ValueError(f"{owner}: {name} must be more than {bound:g} and finite, got {value!r}.")
    return number


def at_least(owner: str, name: str, value: float, bound: float) -> float:
    """Return ``value`` as float, or raise unless it is finite and at least ``bound``."""
    number = _number(owner, name, value)
    if not (number >= bound and math.isfinite(number)):
        raise ValueError(f"{owner}: {name} must be at least {bound:g} and finite, got {value!r}.")
    return number


def _number(owner: str, name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{owner}: {name} must be a number, got {value!r}.")
    return float(value)


def integer(owner: str, name: str, value: int, minimum: int) -> int:
    """Return ``value``, or raise unless it is an integer of at least ``minimum``."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{owner}: {name} must be an integer, got {value!r}.")
    if value < minimum:
        raise ValueError(f"{owner}: {name} must be at least {minimum}, got {value}.")
    return value


def choice(owner: str, name: str, value: Any, options: Iterable[Any]) -> Any:
    """Return ``value``, or raise unless it is one of ``options``."""
    options = tuple(options)
    if value not in options:
        listed = ", ".join(map(repr, options))
        raise ValueError(f"{owner}: {name} must be one of {listed}; got {value!r}.")
    return value


def floating(owner: str, name: str, value: Any) -> Tensor:
    """Return ``value``, or raise unless it is a float32 or float64 tensor."""
    if not isinstance(value, Tensor):
        raise TypeError(f"{owner}: {name} must be a tensor, got {type(value).__name__}.")
    if value.dtype not in (torch.float32, torch.float64):
        raise TypeError(
            f"{owner}: {name} must be float32 or float64, got {value.dtype} "
            "(half precision cannot represent the time 257)."
        )
    return value


def sequence(owner: str, value: Any, *, name: str = "current") -> Tensor:
    """Return ``value``, or raise unless it is a float tensor ``[T, B, ...]`` with T >= 1."""
    floating(owner, name, value)
    if value.dim() < 2 or not len(value):
        raise ValueError(
            f"{owner}: {name} must have shape [T, B, ...] with T >= 1, got {list(value.shape)}."
        )
    return value


def finite(owner: str, name: str, value: Tensor) -> Tensor:
    """Return ``value``, or raise if it holds NaN or an infinity."""
    if not validating() or math.isfinite(value.detach().sum()):  # one pass; it may overflow
        return value
    if not torch.isfinite(value).all():
        wrong = value.detach()[~torch.isfinite(value)].flatten()[0].item()
        raise ValueError(f"{owner}: {name} must be finite, got {wrong:g}.")
    return value


def spike_times(owner: str, times: Any, *, name: str = "times") -> Tensor:
    """Raise unless ``times`` is a float tensor without NaN and without negative values."""
    floating(owner, name, times)
    if validating() and times.numel():
        plainly = times.detach() if times.requires_grad else times
        earliest = plainly.amin().item()  # NaN wins; min is slow with channels last
        if math.isnan(earliest):
            raise ValueError(f"{owner}: {name} contains NaN; a neuron that never fires is inf.")
        if earliest < 0:
            raise ValueError(f"{owner}: {name} must not be negative, got {earliest:g}.")
    return times


def spikes(owner: str, train: Any, *, name: str = "spikes") -> Tensor:
    """Raise unless ``train`` is a tensor ``[T, B, ...]`` of zeros and ones."""
    if not isinstance(train, Tensor):
        raise TypeError(f"{owner}: {name} must be a tensor, got {type(train).__name__}.")
    if train.dim() < 2:
        raise ValueError(f"{owner}: {name} must have shape [T, B, ...], got {list(train.shape)}.")
    if validating() and train.numel():
        ok = (train == 0) | (train == 1)
        if not ok.all():
            wrong = train.detach()[~ok].flatten()[0].item()
            raise ValueError(f"{owner}: {name} must hold only 0 and 1, got {wrong:g}.")
    return train


def current(owner: str, x: Any, *, name: str = "current") -> Tensor:
    """Raise unless ``x`` is a float tensor ``[T, B, ...]`` with at least one step."""
    if not isinstance(x, Tensor):
        raise TypeError(f"{owner}: {name} must be a tensor, got {type(x).__name__}.")
    if not x.is_floating_point():
        raise TypeError(f"{owner}: {name} must be of a float type, got {x.dtype}.")
    if x.dim() < 2 or not x.shape[0]:
        raise ValueError(
            f"{owner}: {name} must have shape [T, B, ...] with T >= 1, got {list(x.shape)}."
        )
    return x


def state(owner: str, parts: Any, kind: Any, x: Tensor) -> tuple[Tensor, ...]:
    """Raise unless ``parts`` are the tensors of a state ``kind`` for currents ``x [T, B, ...]``."""
    names = ", ".join(kind._fields)
    if not isinstance(parts, tuple | list) or len(parts) != len(kind._fields):
        got = f"{len(parts)} values" if isinstance(parts, tuple | list) else type(parts).__name__
        raise ValueError(f"{owner}: state must be ({names}), got {got}.")
    for name, part in zip(kind._fields, parts, strict=True):
        if part.shape != x.shape[1:] or part.dtype != x.dtype:
            raise ValueError(
                f"{owner}: {name} of the state must be {x.dtype} of shape {list(x.shape[1:])}, "
                f"got {part.dtype} of shape {list(part.shape)}."
            )
        same_device(owner, f"{name} of the state", part, "the current", x)
    return tuple(parts)


def outputs(owner: str, out: Any) -> Tensor:
    """Raise unless ``out`` is a float tensor ``[T, B, C]`` with at least one step."""
    current(owner, out, name="outputs")
    if out.dim() != 3:
        raise ValueError(f"{owner}: outputs must have shape [T, B, C], got {list(out.shape)}.")
    return out


def target_trains(owner: str, trains: Tensor, out: Tensor) -> Tensor:
    """Raise unless ``trains`` has the shape of the outputs ``[T, B, C]``; return their type."""
    if trains.shape != out.shape:
        raise ValueError(
            f"{owner}: target trains must have the shape of the outputs, {list(out.shape)}, "
            f"got {list(trains.shape)}."
        )
    return trains.to(out.dtype)


def targets(owner: str, labels: Any, batch: int, classes: int) -> Tensor:
    """Raise unless ``labels`` is an integer tensor ``[B]`` with values in ``0 ... C-1``."""
    if not isinstance(labels, Tensor):
        raise TypeError(f"{owner}: targets must be a tensor, got {type(labels).__name__}.")
    if labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool:
        raise TypeError(
            f"{owner}: targets must be class indices of an integer type, got {labels.dtype}."
        )
    if labels.shape != (batch,):
        raise ValueError(f"{owner}: targets must have shape [B={batch}], got {list(labels.shape)}.")
    if validating() and labels.numel():
        low, high = (bound.item() for bound in torch.aminmax(labels))
        if low < 0 or high >= classes:
            wrong = low if low < 0 else high
            raise ValueError(f"{owner}: targets must lie in 0 ... {classes - 1}, got {wrong}.")
    return labels.long()


def same_device(owner: str, name: str, tensor: Tensor, other_name: str, other: Tensor) -> None:
    """Raise unless both tensors live on one device."""
    if tensor.device != other.device:
        raise ValueError(
            f"{owner}: {name} is on {tensor.device} but {other_name} is on {other.device}; "
            "move one of them with .to()."
        )


def unit_values(owner: str, x: Any, *, name: str = "x") -> Tensor:
    """Raise unless ``x`` is uint8 (grey levels), or float32 or float64 within [0, 1]."""
    if not isinstance(x, Tensor):
        raise TypeError(f"{owner}: {name} must be a tensor, got {type(x).__name__}.")
    if x.dtype == torch.uint8:
        return x
    if x.dtype not in (torch.float32, torch.float64):
        raise TypeError(
            f"{owner}: {name} must be uint8 (0 ... 255), or float32 or float64 in [0, 1]; "
            f"got {x.dtype}."
        )
    if validating() and x.numel():
        low, high = (bound.item() for bound in torch.aminmax(x.detach()))
        if math.isnan(low):
            raise ValueError(f"{owner}: {name} contains NaN.")
        if low < 0 or high > 1:
            raise ValueError(
                f"{owner}: {name} must lie in [0, 1], got values from {low:g} to {high:g}; "
                "remove transforms.Normalize, divide uint8 by 255."
            )
    return x
