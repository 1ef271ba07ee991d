"""Reader of the arrays in which the authors of S4NN and BS4NN publish trained weights."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from .. import _checks

S4NN_UNIT_DIGITS = (4, 1, 0, 7, 9, 2, 3, 5, 8, 6)
"""The digit that each output unit of the published S4NN network stands for."""

BS4NN_SCALES = (4.03707844, 9.06516109)
"""Scales of the two layers of the published BS4NN network; they are not in its files."""

_FILES = {"s4nn": ("W0.npy", "W1.npy"), "bs4nn": ("W0_binary.npy", "W1_binary.npy")}


def load_published_weights(
    path: str | PathLike[str] | Sequence[str | PathLike[str]], layout: str
) -> tuple[Tensor, Tensor]:
    """Weights of a network published by the authors of S4NN or BS4NN, in the layout of nn.Linear.

    Parameters
    ----------
    path : path, or sequence of two paths
        The folder that holds ``W0.npy`` and ``W1.npy`` (S4NN), or ``W0_binary.npy`` and
        ``W1_binary.npy`` (BS4NN); or the two files, input layer first.
    layout : {"s4nn", "bs4nn"}
        ``"s4nn"``: arrays ``[H, 28, 28]`` and ``[10, H, 1]`` whose output units stand for the
        digits 4, 1, 0, 7, 9, 2, 3, 5, 8, 6; the rows are brought into the order of the digits.
        ``"bs4nn"``: arrays ``[H, 784, 1]`` and ``[10, H, 1]`` in the order of the digits. They
        are the real latent weights: the network uses their signs, times the scales
        ``BS4NN_SCALES``.

    Returns
    -------
    tuple of two Tensors, ``[H, 784]`` and ``[10, H]``
        float64.

    Raises
    ------
    FileNotFoundError
        If a file is missing.
    ValueError
        If an array has another shape, is not of real numbers, or the file holds a pickle: pickles
        are never opened, as they can run code.

    Notes
    -----
    The published networks have threshold 100 and 256 steps; :class:`~.SingleSpikeIF` with
    ``delay=1`` gives their numbers. S4NN's file is a pickle of CuPy arrays; where CuPy is
    installed and you trust the file,
    ``w = np.load("weights_pretrained.npy", allow_pickle=True)``, then
    ``np.save("W0.npy", w[0].get())`` and ``np.save("W1.npy", w[1].get())`` convert it.

    References
    ----------
    .. [1] S. R. Kheradpisheh, T. Masquelier, arXiv:1910.09495.
    .. [2] S. R. Kheradpisheh, M. Mirsadeghi, T. Masquelier, arXiv:2007.04039.

    Examples
    --------
    >>> import snn_temporal_plugins as stp
    >>> first, last = stp.models.load_published_weights("BS4NN", "bs4nn")  # doctest: +SKIP
    """
    _checks.choice("load_published_weights", "layout", layout, _FILES)
    if isinstance(path, (str, PathLike)):
        files = [Path(path) / name for name in _FILES[layout]]
    else:
        files = [Path(file) for file in path]
    if len(files) != 2:
        raise ValueError(f"load_published_weights: path must name 2 files, got {len(files)}.")
    hidden, output = (_plain_array(file) for file in files)
    units = hidden.shape[0] if hidden.ndim else 0
    _check_shape(files[0], hidden, (units, 28, 28) if layout == "s4nn" else (units, 784, 1))
    _check_shape(files[1], output, (10, units, 1))
    first = torch.from_numpy(hidden.reshape(units, 784))
    last = torch.from_numpy(output.reshape(10, units))
    if layout == "s4nn":
        last = last[np.argsort(S4NN_UNIT_DIGITS)]
    return first, last


def _plain_array(file: Path) -> np.ndarray:
    try:
        array = np.load(file, allow_pickle=False)
    except ValueError as error:
        raise ValueError(
            f"load_published_weights: {file} is not a plain array but a pickle (or damaged), and "
            "pickles are never opened. Where the program that wrote it is installed and you trust "
            "the file, load it with numpy.load(..., allow_pickle=True) and save each layer as a "
            "plain array: numpy.save('W0.npy', weights[0].get()) for CuPy arrays."
        ) from error
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiu":
        raise ValueError(f"load_published_weights: {file} does not hold one array of numbers.")
    return np.ascontiguousarray(array, dtype=np.float64)


def _check_shape(file: Path, array: np.ndarray, expected: tuple[int, ...]) -> None:
    if array.shape != expected:
        raise ValueError(
            f"load_published_weights: {file} must have shape {list(expected)}, "
            f"got {list(array.shape)}."
        )
