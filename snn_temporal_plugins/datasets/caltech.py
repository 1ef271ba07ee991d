"""Faces and motorbikes of Caltech 101, grey, 160 x 250 pixels."""

from __future__ import annotations

import importlib
from pathlib import Path

import numpy as np
import torch

from .. import _checks
from .container import Dataset
from .files import find
from .place import Place

CLASSES = ("face", "motorbike")
SPLITS = ("train", "validation", "test", "unsupervised")
_CODES = {"train": 0, "validation": 1, "test": 2, "unsupervised": 3}
_CATEGORIES = ("Faces", "Motorbikes")  # of Caltech 101, in the order of CLASSES
_SIZE_WH = (250, 160)


def load_caltech(split: str, place: Place, partition: int | str = 0) -> Dataset:
    """One split of a partition: seeded, or ``"sdnn"``, the one published with SDNN_python."""
    if partition != "sdnn":
        _checks.integer("datasets.load", "partition", partition, 0)  # type: ignore[arg-type]
    images, labels, published, source = _images(place)
    if partition == "sdnn":
        if published is None:
            raise ValueError(
                "datasets.load: partition='sdnn' needs caltech_face_motorbike_160x250.npz, "
                f"which holds it; the images came from {source}."
            )
        codes = published
    else:
        codes = seeded_partition(labels, int(partition))
    chosen = np.flatnonzero(codes == _CODES[split])
    if not len(chosen):
        raise ValueError(f"datasets.load: partition={partition!r} has no {split} split.")
    chosen = np.random.default_rng(0).permutation(chosen)  # the file is sorted by class
    return Dataset(
        torch.from_numpy(images[chosen]).unsqueeze(1),
        torch.from_numpy(labels[chosen].astype(np.int64)),
        "caltech-face-motorbike",
        split,
        f"{source}, partition {partition}",
        CLASSES,
    )


def seeded_partition(labels: np.ndarray, seed: int) -> np.ndarray:
    """Of each class 200 images to train, 50 to validate, the rest to test (codes 0, 1, 2)."""
    generator = np.random.RandomState(seed)
    codes = np.full(len(labels), _CODES["test"], np.uint8)
    for label in range(len(CLASSES)):
        order = generator.permutation(np.flatnonzero(labels == label))
        codes[order[:200]] = _CODES["train"]
        codes[order[200:250]] = _CODES["validation"]
    return codes


def _images(place: Place) -> tuple[np.ndarray, np.ndarray, np.ndarray | None, str]:
    """Images, labels, the codes of the published partition, and the source in words."""
    folders = place.folders("caltech-face-motorbike")
    paths = find(folders, "caltech_face_motorbike_160x250.npz")
    if paths:
        with np.load(paths[0]) as arrays:
            return arrays["images"], arrays["labels"], arrays["split_sdnn"], "npz, resized"
    pictures = place.root / "caltech101" / "101_ObjectCategories"
    if not pictures.is_dir():
        place.torchvision("Caltech101")
    if not pictures.is_dir():
        raise place.missing("caltech-face-motorbike", "caltech_face_motorbike_160x250.npz")
    return *read_pictures(pictures), None, "Caltech 101 pictures, resized"


def read_pictures(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Both categories, in file order, grey and resized (the aspect ratio is not kept)."""
    image = importlib.import_module("PIL.Image")
    images, labels = [], []
    for label, category in enumerate(_CATEGORIES):
        for path in sorted((folder / category).glob("*.jpg")):
            with image.open(path) as picture:
                grey = picture.convert("L").resize(_SIZE_WH, image.Resampling.BILINEAR)
            images.append(np.asarray(grey))
            labels.append(label)
    return np.stack(images), np.array(labels)
