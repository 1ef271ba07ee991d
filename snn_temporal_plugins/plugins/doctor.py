"""What is installed, and which known problems of it matter here."""

from __future__ import annotations

import platform
import re
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec

PACKAGES = ("torch", "numpy", "torchvision", "numba", "snntorch", "norse", "nir", "nirtorch")


@dataclass(frozen=True)
class Problem:
    """A known problem of an installed version, and what to do about it."""

    package: str
    below: tuple[int, ...]  # versions from this one on do not have it; () = all have it
    problem: str
    cure: str


KNOWN = (
    Problem(
        "snntorch",
        (),
        "utils.reset looks only at direct children, and resets every network of the process",
        "snn_temporal_plugins.reset_(model)",
    ),
    Problem(
        "snntorch",
        (),
        "copy.deepcopy of its own neurons fails after a forward pass with gradients, and the "
        "copy is never reset by utils.reset",
        "reset_(model) before copying; swapped neurons have neither problem",
    ),
    Problem(
        "snntorch",
        (),
        "its NIR exporter takes a swapped neuron for a plain LIF neuron, without an error",
        "snn_temporal_plugins.to_nir",
    ),
    Problem(
        "snntorch",
        (),
        "mse_temporal_loss() has target 0 for every class; multi_spike=True reads wrong times",
        "snn_temporal_plugins losses",
    ),
    Problem(
        "norse",
        (1, 2),
        "SequentialState remembers which layers have state when it is built; replacing a layer "
        "by hand returns tuples as activations",
        "snn_temporal_plugins.swap refreshes it",
    ),
    Problem(
        "norse",
        (1, 2),
        "the 'super' threshold ignores alpha in the backward pass: other gradients after an "
        "upgrade",
        "swapped neurons bring their own gradient",
    ),
    Problem(
        "norse",
        (1, 2),
        "IAF.initial_state sets requires_grad on the shared default v_reset",
        "swap IAF for single_spike_if",
    ),
)


def versions() -> dict[str, str | None]:
    """Versions of Python, this package and everything it can work with; ``None`` = missing."""
    from .. import __version__

    found: dict[str, str | None] = {
        "python": platform.python_version(),
        "snn_temporal_plugins": __version__,
    }
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "unknown" if find_spec(name) else None
    return found


def problems(installed: dict[str, str | None]) -> list[dict[str, str]]:
    """Known problems of the installed versions, as rows package, problem, cure."""
    rows = []
    for known in KNOWN:
        version = installed.get(known.package)
        if version is not None and not (known.below and numbers(version) >= known.below):
            rows.append({"package": known.package, "problem": known.problem, "cure": known.cure})
    mismatch = torchvision_mismatch(installed)
    if mismatch:
        rows.append(
            {
                "package": "torchvision",
                "problem": mismatch,
                "cure": "install torch, torchvision and norse in one pip command, "
                "or with -c constraints.txt",
            }
        )
    return rows


def torchvision_mismatch(installed: dict[str, str | None]) -> str:
    """Say why torchvision does not fit torch, if so (``pip install norse`` may replace torch)."""
    torch, vision = installed.get("torch"), installed.get("torchvision")
    if torch is None or vision is None:
        return ""
    wanted = f"0.{numbers(torch)[1] + 15}"  # torch 2.k goes with torchvision 0.(k + 15)
    if numbers(torch)[0] == 2 and not vision.startswith(f"{wanted}."):
        return f"torchvision {vision} was built for another torch; torch {torch} needs {wanted}"
    build = [re.sub(r"^.*\+|^[^+]*$", "", version) for version in (torch, vision)]
    if build[0] != build[1]:
        return f"torchvision {vision} and torch {torch} come from different builds"
    return ""


def backend() -> str:
    """Which implementation ``backend='auto'`` finds."""
    return "numba" if find_spec("numba") else "torch (numba is not installed)"


def numbers(version: str) -> tuple[int, ...]:
    """Leading numbers of a version, ``(2, 13, 0)`` of ``2.13.0+cpu``."""
    return tuple(int(part) for part in re.findall(r"\d+", version.partition("+")[0])[:3])
