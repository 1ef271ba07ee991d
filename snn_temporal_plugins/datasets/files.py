"""Readers of the formats in which the data sets are published."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np


def find(folders: list[Path], *names: str) -> list[Path] | None:
    """Paths of all ``names``, plain or gzipped, in the first folder that has them all."""
    for folder in folders:
        paths = [_existing(folder / name) for name in names]
        if all(paths):
            return [path for path in paths if path]
    return None


def _existing(path: Path) -> Path | None:
    for candidate in (path, path.with_name(path.name + ".gz")):
        if candidate.is_file():
            return candidate
    return None


def read(path: Path) -> bytes:
    """Bytes of a file, unpacked."""
    raw = path.read_bytes()
    return gzip.decompress(raw) if path.suffix == ".gz" else raw


def read_idx(path: Path) -> np.ndarray:
    """Array of an idx file of bytes (MNIST's format), writable."""
    raw = read(path)
    dimensions = raw[3] if raw[:3] == b"\0\0\x08" else 0
    shape = tuple(np.frombuffer(raw[4 : 4 + 4 * dimensions], ">i4"))
    start = 4 + 4 * dimensions
    if not dimensions or len(raw) != start + np.prod(shape):
        raise ValueError(f"{path} is not a complete idx file of bytes.")
    return np.frombuffer(raw, np.uint8, offset=start).reshape(shape).copy()
