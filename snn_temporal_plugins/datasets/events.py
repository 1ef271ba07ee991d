"""Recordings of an event camera, and their way to binned tensors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

from .. import _checks
from .container import Samples

DURATION = 340_000  # every event of N-MNIST lies within 340 ms


class Events(NamedTuple):
    """Events of one recording, in order of time."""

    x: Tensor  #: column, uint8 ``[E]``
    y: Tensor  #: row, uint8 ``[E]``
    p: Tensor  #: polarity, uint8 ``[E]``: 0 off, 1 on
    t: Tensor  #: time in microseconds, int32 ``[E]``


def bin_events(
    events: Events,
    num_steps: int,
    *,
    duration: int = DURATION,
    sensor: tuple[int, int] = (34, 34),
    counts: bool = False,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    r"""Frames of the events that fall into each of ``num_steps`` equal bins.

    An event at time t falls into bin :math:`\lfloor t \, T / \mathrm{duration} \rfloor`.

    Parameters
    ----------
    events : Events
        One recording.
    num_steps : int
        Number of bins T.
    duration : int, default=340000
        Length of the window in microseconds; later events are left out.
    sensor : tuple of int, default=(34, 34)
        Rows and columns.
    counts : bool, default=False
        Number of events instead of 0 and 1.
    dtype : torch.dtype, default=torch.float32
        Of the result; ``torch.uint8`` needs a quarter of the memory.

    Returns
    -------
    Tensor of shape [T, 2, H, W]
        Channel 0 holds the off events, channel 1 the on events.

    Raises
    ------
    ValueError
        If ``num_steps`` or ``duration`` is below 1, or an event lies outside the sensor.

    Examples
    --------
    >>> import torch, snn_temporal_plugins as stp
    >>> events = stp.datasets.Events(*torch.tensor([[5, 5], [7, 7], [1, 1], [10, 19]]))
    >>> frames = stp.datasets.bin_events(events, 4, duration=40, counts=True)
    >>> tuple(frames.shape), frames[1, 1, 7, 5].item()
    ((4, 2, 34, 34), 2.0)
    """
    _checks.integer("bin_events", "num_steps", num_steps, 1)
    _checks.integer("bin_events", "duration", duration, 1)
    rows, columns = sensor
    x, y, p, t = (part.long() for part in events)
    if ((x >= columns) | (y >= rows) | (p > 1)).any():
        raise ValueError(f"bin_events: an event lies outside the sensor of {rows} x {columns}.")
    cell = ((t * num_steps // duration * 2 + p) * rows + y) * columns + x
    cell = cell[t < duration]
    frames = torch.zeros(num_steps * 2 * rows * columns, dtype=dtype)
    if counts:
        cell, number = cell.unique(return_counts=True)
        frames[cell] = number.to(dtype)
    else:
        frames[cell] = 1
    return frames.view(num_steps, 2, rows, columns)


@dataclass(frozen=True, repr=False, eq=False)
class EventDataset(Samples):
    """Recordings of one split, kept as events: 7 bytes each.

    Parameters
    ----------
    events : Events
        The events of all recordings, one recording after another.
    offsets : Tensor of shape [N + 1]
        Recording k holds the events ``offsets[k]`` to ``offsets[k + 1]``.
    labels : Tensor of shape [N]
        Class indices, int64.
    name, split, source, classes
        As in :class:`Dataset`.

    Examples
    --------
    >>> import torch, snn_temporal_plugins as stp
    >>> recorded = (torch.tensor(part) for part in ([8, 9, 5], [3, 3, 4], [1, 0, 1], [1, 2, 3]))
    >>> data = stp.datasets.EventDataset(
    ...     stp.datasets.Events(*recorded), torch.tensor([0, 2, 3]), torch.tensor([7, 4]),
    ...     "two recordings", "train", "written by hand", tuple("0123456789"),
    ... )
    >>> len(data), data.recording(0).t.tolist()
    (2, [1, 2])
    """

    events: Events
    offsets: Tensor
    labels: Tensor
    name: str
    split: str
    source: str
    classes: tuple[str, ...]

    def recording(self, index: int) -> Events:
        """Events of one recording."""
        start, stop = self.offsets[index], self.offsets[index + 1]
        return Events(*(part[start:stop] for part in self.events))

    def binned(
        self,
        index: slice | Sequence[int] | Tensor,
        num_steps: int,
        *,
        duration: int = DURATION,
        counts: bool = False,
        dtype: torch.dtype = torch.float32,
    ) -> Tensor:
        """Frames ``[T, B, 2, 34, 34]`` of a batch of recordings, time first.

        Only this batch is unfolded; options as in :func:`bin_events`.

        Parameters
        ----------
        index : slice, sequence of int or Tensor
            Which recordings.
        num_steps : int
            Number of bins T.
        duration : int, default=340000
            Length of the window in microseconds.
        counts : bool, default=False
            Number of events instead of 0 and 1.
        dtype : torch.dtype, default=torch.float32
            Of the result.
        """
        chosen = torch.arange(len(self))[index].tolist()
        frames = torch.empty(num_steps, len(chosen), 2, 34, 34, dtype=dtype)
        for place, k in enumerate(chosen):
            frames[:, place] = bin_events(
                self.recording(k), num_steps, duration=duration, counts=counts, dtype=dtype
            )
        return frames

    def subset(
        self, index: slice | Sequence[int] | Tensor, *, split: str | None = None
    ) -> EventDataset:
        """Recordings picked by a slice or by indices; see :meth:`Dataset.subset`."""
        chosen = torch.arange(len(self))[index]
        recordings = [self.recording(k) for k in chosen.tolist()]
        lengths = self.offsets.diff()[chosen]
        return replace(
            self,
            events=Events(*(torch.cat(parts) for parts in zip(*recordings, strict=True))),
            offsets=torch.cat([lengths.new_zeros(1), lengths.cumsum(0)]),
            labels=self.labels[chosen],
            split=split or f"part of {self.split}",
        )

    def _shape(self) -> str:
        return f"{len(self.events.t) // len(self):,} events (mean)"
