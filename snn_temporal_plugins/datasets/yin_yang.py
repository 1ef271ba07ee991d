"""The Yin-Yang data set: generated, never downloaded."""

from __future__ import annotations

import numpy as np
import torch

from .. import _checks
from .container import Dataset

CLASSES = ("yin", "yang", "dot")
SPLITS = {"train": (5000, 42), "validation": (1000, 41), "test": (1000, 40)}  # size, seed
_SMALL, _BIG = 0.1, 0.5  # radius of the dots and of the disc


def yin_yang(size: int, seed: int) -> Dataset:
    r"""Generate ``size`` points of the Yin-Yang disc.

    The disc has radius :math:`R = 1/2` around :math:`(R, R)`, the dots radius 0.1 around
    :math:`(R/2, R)` and :math:`(3R/2, R)`. A sample is :math:`(x, y, 1 - x, 1 - y)`.

    Parameters
    ----------
    size : int
        Number of samples. Classes are drawn with equal probability.
    seed : int
        Seed of the generator. Parts that shall not share samples need different seeds.

    Returns
    -------
    Dataset
        Features ``[size, 4]`` in [0, 1]; classes 0 yin, 1 yang, 2 dot.

    Raises
    ------
    ValueError
        If ``size`` is below 1 or ``seed`` negative.

    References
    ----------
    .. [1] L. Kriener, J. Göltz, M. A. Petrovici, "The Yin-Yang dataset", NICE 2022,
       doi:10.1145/3517343.3517380.

    Examples
    --------
    >>> import snn_temporal_plugins as stp
    >>> stp.datasets.yin_yang(300, seed=7)
    yin-yang seed 7: 300 samples of 4, 3 classes; source: generated
    """
    _checks.integer("yin_yang", "size", size, 1)
    _checks.integer("yin_yang", "seed", seed, 0)
    generator = np.random.RandomState(seed)
    points, labels = np.empty((size, 2)), np.empty(size, np.int64)
    for n in range(size):
        labels[n] = generator.randint(len(CLASSES))
        points[n] = _point(generator, labels[n])
    features = np.concatenate([points, 1 - points], axis=1)
    return Dataset(
        torch.from_numpy(features),
        torch.from_numpy(labels),
        "yin-yang",
        f"seed {seed}",
        "generated",
        CLASSES,
    )


def _point(generator: np.random.RandomState, wanted: int) -> np.ndarray:
    """Draw until a point of the disc has the wanted class."""
    while True:
        x, y = point = generator.rand(2) * 2 * _BIG
        if np.hypot(x - _BIG, y - _BIG) <= _BIG and _class(x, y) == wanted:
            return point


def _class(x: float, y: float) -> int:
    right = np.hypot(x - 1.5 * _BIG, y - _BIG)
    left = np.hypot(x - 0.5 * _BIG, y - _BIG)
    if right < _SMALL or left < _SMALL:
        return 2
    yang = _SMALL < left <= _BIG / 2 or (y > _BIG and right > _BIG / 2)
    return int(yang)
