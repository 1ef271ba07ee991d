"""The whole field of contestants, by name."""

from collections.abc import Callable

import torch
from contestants import (
    T_MAX,
    Authors,
    Clocked,
    Contestant,
    Norse,
    Relu,
    SnnTorch,
    SpikingJelly,
    Timed,
    TimedMargin,
)
from torch import Tensor

MAKERS: dict[str, Callable[[int], Contestant]] = {
    "ReLU network": Relu,
    "Timed, numba": Timed,
    "Timed, numba, margin rule": TimedMargin,
    "Timed, torch": lambda hidden: Timed(hidden, "torch"),
    f"clocked, T={T_MAX}": lambda hidden: Clocked(hidden, "torch"),
    **{
        f"{name}, T={steps}": lambda hidden, host=host, steps=steps: host(hidden, steps)
        for name, host in (
            ("snnTorch Leaky", SnnTorch),
            ("Norse LIF", Norse),
            ("spikingjelly LIF", SpikingJelly),
        )
        for steps in (25, T_MAX)
    },
    "S4NN authors' program": Authors,
}
LEARNING = "ReLU network", "Timed, numba", "Timed, numba, margin rule"


def make(hidden: int, wanted: Callable[[str], bool], images: Tensor, labels: Tensor):
    """Contestants by name, with trained weights; a host that is not installed is left out."""
    field: dict[str, Contestant] = {}
    for name, maker in MAKERS.items():
        if wanted(name) or name in LEARNING[:2]:
            torch.manual_seed(0)
            try:
                field[name] = maker(hidden)
            except ImportError as error:
                print(f"{name}: left out ({error})")
    for name, contestant in field.items():
        if name in LEARNING:
            contestant.learn(images, labels)
        elif isinstance(contestant, Timed | Authors):
            contestant.load(field["Timed, numba"])
    return field
