"""Result files: every published figure with the command, seed, versions, machine and date."""

from __future__ import annotations

import datetime
import importlib.metadata
import json
import os
import platform
import sys
from pathlib import Path
from typing import Any

import torch

PACKAGES = ("torch", "numpy", "numba", "snntorch", "norse", "spikingjelly")


def save(path: str | Path, figures: Any, *, seed: int | list[int], **settings: Any) -> Path:
    """Write ``figures`` with their provenance to a JSON file, all at once or not at all."""
    path = Path(path)
    record = {
        "command": _command(),
        "date": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
        "seed": seed,
        "settings": settings,
        "versions": _versions(),
        "machine": _machine(),
        "figures": figures,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(record, indent=1) + "\n")
    partial.replace(path)
    return path


def load(path: str | Path) -> dict[str, Any]:
    """Read a result file."""
    return json.loads(Path(path).read_text())


def _command() -> str:
    """The command as a person would type it in the project's folder."""
    program = Path(sys.argv[0])
    try:
        program = program.resolve().relative_to(Path.cwd())
    except ValueError:
        program = Path(program.name)
    return " ".join(["python", str(program), *sys.argv[1:]])


def _versions() -> dict[str, str]:
    from . import __version__

    versions = {"python": platform.python_version(), "snn_temporal_plugins": __version__}
    for name in PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def _machine() -> dict[str, Any]:
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "system": f"{platform.system()} {platform.machine()}",
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
