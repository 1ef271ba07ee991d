"""What is installed, and which known problems of it matter here."""

from __future__ import annotations

import platform
import re
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec

import torch

NO_GPU = "no GPU found"
TOGETHER = "install torch, torchvision and norse in one pip command, or with -c constraints.txt"
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
        (1,),
        "older than the front end is tested with",
        "pip install 'snntorch>=1.0'",
    ),
    Problem(
        "norse",
        (1, 1),
        "older than the front end is tested with",
        "pip install 'norse>=1.1,<2', in one command with torch",
    ),
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
        "its NIR exporter takes a swapped neuron for a plain LIF neuron",
        "snn_temporal_plugins.to_nir(model, input_shape)",
    ),
    Problem(
        "snntorch",
        (),
        "its own neurons fire float32 spikes whatever the current is: networks in float64 or half "
        "precision fail at the next layer",
        "swapped neurons keep the type",
    ),
    Problem(
        "snntorch",
        (),
        "held states are buffers, which DistributedDataParallel overwrites with those of rank 0",
        "broadcast_buffers=False, or explicit states",
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
        "SequentialState changes the list of states that it is given",
        "pass list(state) to use a state twice",
    ),
    Problem(
        "norse",
        (),
        "constants in p are not registered: .to() leaves them behind, and optimisers do not see "
        "them",
        "swapped neurons register what is learned",
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


def torch_build() -> str:
    """What the installed torch was built for, and whether that is there."""
    toolkit = torch.version.cuda or torch.version.hip
    if toolkit is None:
        return "CPU"
    return f"GPU ({toolkit})" if torch.cuda.is_available() else f"GPU ({toolkit}), {NO_GPU}"


def problems(installed: dict[str, str | None], build: str = "CPU") -> list[dict[str, str]]:
    """Known problems of what is installed, as rows package, problem, cure.

    ``build`` is what :func:`torch_build` says.
    """
    rows = []
    for known in KNOWN:
        version = installed.get(known.package)
        if version is not None and not (known.below and numbers(version) >= known.below):
            rows.append({"package": known.package, "problem": known.problem, "cure": known.cure})
    found = {"torchvision": torchvision_mismatch(installed), "torch": lost_cpu_build(build)}
    rows += [
        {"package": package, "problem": problem, "cure": TOGETHER}
        for package, problem in found.items()
        if problem
    ]
    return rows


def lost_cpu_build(build: str) -> str:
    """Say so if torch is a GPU build on a machine without GPU."""
    if NO_GPU not in build:
        return ""
    return (
        f"it is a build for {build}: pip install norse, in a command of its own, puts that in "
        "place of a CPU build"
    )


def torchvision_mismatch(installed: dict[str, str | None]) -> str:
    """Say why torchvision does not fit torch, if so (``pip install norse`` may replace torch)."""
    ours, vision = installed.get("torch"), installed.get("torchvision")
    if ours is None or vision is None:
        return ""
    wanted = f"0.{numbers(ours)[1] + 15}"  # torch 2.k goes with torchvision 0.(k + 15)
    if numbers(ours)[0] == 2 and not vision.startswith(f"{wanted}."):
        return f"torchvision {vision} was built for another torch; torch {ours} needs {wanted}"
    build = [re.sub(r"^.*\+|^[^+]*$", "", version) for version in (ours, vision)]
    if build[0] != build[1]:
        return f"torchvision {vision} and torch {ours} come from different builds"
    return ""


def backend() -> str:
    """Which implementation ``backend='auto'`` finds."""
    return "numba" if find_spec("numba") else "torch (numba is not installed)"


def numbers(version: str) -> tuple[int, ...]:
    """Leading numbers of a version, ``(2, 13, 0)`` of ``2.13.0+cpu``."""
    return tuple(int(part) for part in re.findall(r"\d+", version.partition("+")[0])[:3])
