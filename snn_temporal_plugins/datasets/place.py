"""Where data are looked for, and what is said when they are not there."""

from __future__ import annotations

import importlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_TORCHVISION = "Or `pip install torchvision`, which downloads it."


@dataclass
class Place:
    """The folder of the data sets, and whether torchvision may download into it."""

    root: Path
    download: bool
    looked: list[str] = field(default_factory=list)

    def folders(self, *names: str) -> list[Path]:
        """Folders in which a data set may lie, below the root; the root itself comes last."""
        found = [*(self.root / name for name in names), self.root]
        self.looked.append(f"{' and '.join(names)} in {self.root}")
        return found

    def torchvision(self, dataset: str, **options: Any) -> Any:
        """The data set of torchvision, downloaded if need be; None where that is impossible."""
        if not self.download:
            self.looked.append("torchvision (download=False)")
            return None
        try:
            module = importlib.import_module("torchvision.datasets")
            return getattr(module, dataset)(str(self.root), download=True, **options)
        except (ImportError, OSError, RuntimeError) as error:  # a failed download is one of these
            self.looked.append(f"torchvision.datasets.{dataset} ({error})")
            return None

    def missing(self, name: str, files: str, *, hint: str = _TORCHVISION) -> FileNotFoundError:
        """The error of a data set that is nowhere."""
        return FileNotFoundError(
            f"datasets.load: {name} was not found. Looked for: {'; '.join(self.looked)}. Put "
            f"{files} into {self.root / name}, or name another folder by root= or by the "
            f"environment variable SNN_TEMPORAL_DATA. {hint}"
        )
