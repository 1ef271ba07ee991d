"""A data set in memory."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TypeVar

import torch
from torch import Tensor

from .. import _checks

_S = TypeVar("_S", bound="Samples")


class Samples(ABC):
    """What every data set can do, whatever its samples are."""

    labels: Tensor
    name: str
    split: str
    source: str
    classes: tuple[str, ...]

    @abstractmethod
    def subset(self: _S, index: slice | Sequence[int] | Tensor, *, split: str | None = None) -> _S:
        """Samples picked by a slice or by indices, as a data set of the same kind."""

    @abstractmethod
    def _shape(self) -> str:
        """One sample in words."""

    def __len__(self) -> int:
        return len(self.labels)

    def __repr__(self) -> str:
        return (
            f"{self.name} {self.split}: {len(self):,} samples of {self._shape()}, "
            f"{len(self.classes)} classes; source: {self.source}"
        )

    def validation_split(self: _S, size: int) -> tuple[_S, _S]:
        """Split off the *last* ``size`` samples, to choose settings on.

        Returns
        -------
        rest, validation : Dataset
            The first ``len(self) - size`` samples, and the last ``size``.

        Raises
        ------
        ValueError
            If ``size`` is below 1 or leaves nothing to train on.
        """
        _checks.integer("validation_split", "size", size, 1)
        if size >= len(self):
            raise ValueError(
                f"validation_split: size must be below the {len(self)} samples, got {size}."
            )
        cut = len(self) - size
        return (
            self.subset(slice(None, cut), split=f"{self.split} (first {cut})"),
            self.subset(slice(cut, None), split=f"{self.split} (last {size})"),
        )


@dataclass(frozen=True, repr=False, eq=False)
class Dataset(Samples):
    """Images (or features) and labels of one split, with a word on where they come from.

    Parameters
    ----------
    stored : Tensor of shape [N, C, H, W] or [N, F]
        Values as stored: uint8 pixels, or features in [0, 1].
    labels : Tensor of shape [N]
        Class indices, int64.
    name, split : str
        What this is, truthfully: a subset is called so.
    source : str
        Where the data come from, in words.
    classes : tuple of str
        Names of the classes.

    Raises
    ------
    TypeError
        By ``pixels``, if the data are features.

    Examples
    --------
    >>> import snn_temporal_plugins as stp
    >>> data = stp.datasets.load("yin-yang", "train")
    >>> train, validation = data.validation_split(1000)
    >>> len(train), len(validation), tuple(validation.images.shape)
    (4000, 1000, (1000, 4))
    """

    stored: Tensor
    labels: Tensor
    name: str
    split: str
    source: str
    classes: tuple[str, ...]

    @property
    def pixels(self) -> Tensor:
        """Pixels as stored, uint8 ``[N, C, H, W]``: latency codes of these are exact."""
        if self.stored.dtype != torch.uint8:
            raise TypeError(f"{self.name} holds features, not pixels; use .images.")
        return self.stored

    @cached_property
    def images(self) -> Tensor:
        """Values in [0, 1], float32 ``[N, C, H, W]`` (``[N, F]`` for features); made once."""
        if self.stored.dtype != torch.uint8:
            return self.stored.float()
        return self.stored.float().div_(255)

    def subset(self, index: slice | Sequence[int] | Tensor, *, split: str | None = None) -> Dataset:
        """Samples picked by a slice or by indices, as a data set of the same kind.

        Parameters
        ----------
        index : slice, sequence of int or Tensor
            Which samples.
        split : str, optional
            Name of the new split, by default "part of" the old one.
        """
        if not isinstance(index, slice):
            index = torch.as_tensor(index, device=self.labels.device)
        name = split or f"part of {self.split}"
        return replace(self, stored=self.stored[index], labels=self.labels[index], split=name)

    def _shape(self) -> str:
        return " x ".join(map(str, self.stored.shape[1:]))
