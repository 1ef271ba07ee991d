"""Cost of the host classes over the bare neuron: one step at batch 128, interleaved, medians.

python benchmarks/host_overhead.py [--neurons 1000] [--steps 50]
"""

from __future__ import annotations

import argparse
import statistics
import time

import torch

import snn_temporal_plugins as stp
from snn_temporal_plugins.frontends import norse, snntorch


def loops(core, current):
    """Per-step loops over ``current [T, B, N]``, by name; each returns the sum of its output."""
    explicit = snntorch.host_class(type(core)).from_core(core)
    hidden = snntorch.host_class(type(core)).from_core(core, init_hidden=True)
    cell = norse.host_class(type(core), "cell").from_core(core)

    def bare():
        state, total = core.initial_state(current[0]), 0
        for x in current.unbind(0):
            out, state = core.step(x, state)
            total = total + out
        return total

    def in_snntorch():
        states, total = [torch.zeros_like(current[0])] * len(explicit.slots), 0
        for x in current.unbind(0):
            out, *states = explicit(x, *states)
            total = total + out
        return total

    def in_snntorch_hidden():
        hidden.reset_mem()
        total = 0
        for x in current.unbind(0):
            total = total + hidden(x)
        return total

    def in_norse():
        state, total = None, 0
        for x in current.unbind(0):
            out, state = cell(x, state)
            total = total + out
        return total

    return {
        "bare step": bare,
        "snnTorch": in_snntorch,
        "snnTorch, init_hidden": in_snntorch_hidden,
        "Norse cell": in_norse,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--neurons", type=int, default=1000)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=25)
    options = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(1)
    current = 0.05 * torch.rand(options.steps, 128, options.neurons)
    for gradients in (False, True):
        current.requires_grad_(gradients)
        runs = loops(stp.SingleSpikeIF(1.5), current)
        seconds: dict[str, list[float]] = {name: [] for name in runs}
        for _ in range(options.rounds):
            for name, run in runs.items():
                current.grad = None
                start = time.perf_counter()
                total = run()
                if gradients:
                    total.sum().backward()
                seconds[name].append(time.perf_counter() - start)
        base = seconds["bare step"]
        for name, values in seconds.items():
            ratio = statistics.median(v / b for v, b in zip(values, base, strict=True))
            step = 1e6 * statistics.median(values) / options.steps
            what = "forward and backward" if gradients else "forward"
            print(f"{what:<22}{name:<24}{step:8.1f} us/step   x {ratio:.3f}")


if __name__ == "__main__":
    main()
