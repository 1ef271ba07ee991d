"""CIFAR-10."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from .container import Dataset
from .files import find, read
from .place import Place

CLASSES = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)
_COMPLETE = {"train": 50_000, "test": 10_000}
_RECORD = 1 + 3 * 32 * 32


def load_cifar10(split: str, place: Place) -> Dataset:
    """CIFAR-10 from its binary batches, as many as there are; a part is called a subset."""
    folders = place.folders("cifar10", "cifar-10-batches-bin")
    paths = [path for name in _batches(split) for path in find(folders, name) or ()]
    if split == "test":
        paths = paths[:1]  # the complete batch holds the first 1,000 too
    if paths:
        images, labels = _read_batches(paths)
        source = f"binary batches {', '.join(path.name.partition('.')[0] for path in paths)}"
    else:
        complete = place.torchvision("CIFAR10", train=split == "train")
        if complete is None:
            raise place.missing("cifar10", "the binary batches (data_batch_1.bin ...)")
        images = np.ascontiguousarray(complete.data.transpose(0, 3, 1, 2))
        labels = np.asarray(complete.targets)
        source = "torchvision"
    name = "cifar10"
    if len(labels) < _COMPLETE[split]:
        name = "cifar10-subset"
        source += f" ({len(labels):,} of {_COMPLETE[split]:,} images)"
    return Dataset(
        torch.from_numpy(images),
        torch.from_numpy(labels.astype(np.int64)),
        name,
        split,
        source,
        CLASSES,
    )


def _batches(split: str) -> list[str]:
    if split == "train":
        return [f"data_batch_{n}.bin" for n in range(1, 6)]
    return ["test_batch.bin", "test_batch_first1000.bin"]


def _read_batches(paths: list[Path]) -> tuple[np.ndarray, np.ndarray]:
    """Records of one label byte and 3 x 32 x 32 pixels each."""
    raw = [np.frombuffer(read(path), np.uint8) for path in paths]
    for path, batch in zip(paths, raw, strict=True):
        if not batch.size or batch.size % _RECORD:
            raise ValueError(f"{path} does not hold whole records of {_RECORD} bytes.")
    records = np.concatenate(raw).reshape(-1, _RECORD)
    return records[:, 1:].reshape(-1, 3, 32, 32).copy(), records[:, 0].copy()
