"""Packed binary inference against the same network with float weights, and against ReLU networks.

    python benchmarks/packed_inference.py

All networks are 784-600-10. Every variant runs in turn in one process; the figures are medians.
The timed networks have equal weights and give equal spikes, which is checked first.
"""

import argparse
import time

import numpy as np
import torch
from torch import nn

import snn_temporal_plugins as stp
from snn_temporal_plugins import _results


def float_twin(packed):
    """The same timed network on ordinary linear layers."""
    layers = []
    for layer in packed:
        synapse = nn.Linear(layer.synapse.in_features, layer.synapse.out_features, bias=False)
        synapse.weight.data = layer.synapse.weight
        layers.append(
            stp.Timed(
                synapse, layer.neuron, t_max=layer.t_max, return_potential=layer.return_potential
            )
        )
    return nn.Sequential(*layers).eval().requires_grad_(False)


def networks(packed):
    """Name, module, and whether it reads spike times."""
    binary = nn.Sequential(stp.BinaryLinear(784, 600), nn.ReLU(), stp.BinaryLinear(600, 10))
    real = nn.Sequential(nn.Linear(784, 600, bias=False), nn.ReLU(), nn.Linear(600, 10, bias=False))
    return {
        "timed, float": (float_twin(packed), True),
        "timed, packed": (packed, True),
        "ReLU, float": (real.eval().requires_grad_(False), False),
        "BNN, packed": (stp.pack(binary), False),
    }


def measure(model, x, seconds):
    start = time.perf_counter()
    with torch.no_grad():
        model(x)
    seconds.append(time.perf_counter() - start)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--output", default="docs/results/packed_inference.json")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    packed = stp.models.bs4nn_mnist(late_drive=False)[2:]
    images = stp.datasets.load("mnist", "test").images.flatten(1)
    times = stp.latency(images, 256)
    variants = networks(packed)
    found = [variants[name][0](times[:200]) for name in ("timed, float", "timed, packed")]
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))  # and both are compiled
    figures = {
        "bytes": {
            "float": sum(p.nbytes for p in variants["timed, float"][0].parameters()),
            "packed": sum(b.nbytes for b in packed.buffers()),
        }
    }
    for batch in (1, 128, 1000):
        seconds = {name: [] for name in variants}
        for k in range(max(options.rounds * 20 // (20 + batch), 20)):
            part = slice(k * batch % 5000, k * batch % 5000 + batch)
            for name, (model, timed) in variants.items():
                measure(model, (times if timed else images)[part], seconds[name])
        micro = {name: float(np.median(s)) * 1e6 / batch for name, s in seconds.items()}
        ratio = np.median(np.divide(seconds["timed, float"], seconds["timed, packed"]))
        figures[f"batch {batch}"] = {
            "microseconds per image": {name: round(value, 1) for name, value in micro.items()},
            "packed is faster than float by": round(float(ratio), 2),
        }
        print(batch, figures[f"batch {batch}"])
    _results.save(options.output, figures, seed=0, rounds=options.rounds)


if __name__ == "__main__":
    main()
