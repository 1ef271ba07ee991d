"""N-MNIST: MNIST digits before a moving event camera."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from .events import EventDataset, Events
from .files import find
from .grey import DIGITS
from .place import Place

_SUBSET = {"train": "nmnist_train1000.npz", "test": "nmnist_test100.npz"}
_FOLDER = {"train": "Train", "test": "Test"}


def load_nmnist(split: str, place: Place) -> EventDataset:
    """The published folders of ``.bin`` files, else the small subset as npz."""
    folders = place.folders("n-mnist", "N-MNIST", "NMNIST", "nmnist-small")
    for folder in folders:
        recordings = list((folder / _FOLDER[split]).glob("[0-9]/*.bin"))
        if recordings:
            return _from_files(sorted(recordings, key=lambda path: path.name), split)
    paths = find(folders, _SUBSET[split])
    if paths is None:
        raise place.missing(
            "n-mnist",
            f"the published folder {_FOLDER[split]}/ of .bin files",
            hint="torchvision does not have it.",
        )
    with np.load(paths[0]) as arrays:
        x, y, p = (torch.from_numpy(arrays[part]) for part in "xyp")
        events = Events(x, y, p, torch.from_numpy(arrays["t"].astype(np.int32)))
        offsets, labels = torch.from_numpy(arrays["offsets"]), arrays["labels"]
    source = f"npz of {len(labels):,} recordings, a subset: not an N-MNIST accuracy"
    return EventDataset(
        events,
        offsets,
        torch.from_numpy(labels.astype(np.int64)),
        "n-mnist-subset",
        split,
        source,
        DIGITS,
    )


def _from_files(recordings: list[Path], split: str) -> EventDataset:
    parts = [decode(path.read_bytes()) for path in recordings]
    lengths = torch.tensor([0, *(len(part.t) for part in parts)])
    return EventDataset(
        Events(*(torch.cat(columns) for columns in zip(*parts, strict=True))),
        lengths.cumsum(0),
        torch.tensor([int(path.parent.name) for path in recordings]),
        "n-mnist",
        split,
        f"{len(recordings):,} .bin files",
        DIGITS,
    )


def decode(raw: bytes) -> Events:
    """Events of a ``.bin`` file: 5 bytes each, x, y, then 1 bit polarity and 23 bits time."""
    if len(raw) % 5:
        raise ValueError(f"A recording must hold whole events of 5 bytes, got {len(raw)} bytes.")
    columns = np.frombuffer(raw, np.uint8).reshape(-1, 5)
    high = columns[:, 2].astype(np.int32)
    t = (high & 127) << 16 | columns[:, 3].astype(np.int32) << 8 | columns[:, 4]
    parts = (columns[:, 0], columns[:, 1], columns[:, 2] >> 7, t)
    return Events(*(torch.from_numpy(part.copy()) for part in parts))
