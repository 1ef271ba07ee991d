"""Cost of the host classes over the bare neuron: one step at batch 128.

python benchmarks/host_overhead.py --output docs/results/host_overhead.json

The loops take turns; a figure is the median of a loop's processor time, and a ratio the median over
rounds of its time by that of the bare step in the same round.
"""

from __future__ import annotations

import argparse
import statistics
import time

import torch

import snn_temporal_plugins as stp
from snn_temporal_plugins import _results
from snn_temporal_plugins.frontends import norse, snntorch

BATCH = 128


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

    def in_snntorch():  # written out, as in people's models
        mem, total = torch.zeros_like(current[0]), 0
        if len(explicit.slots) == 1:
            for x in current.unbind(0):
                out, mem = explicit(x, mem)
                total = total + out
            return total
        syn = torch.zeros_like(mem)
        for x in current.unbind(0):
            out, syn, mem = explicit(x, syn, mem)
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


def compare(core, shape, rounds, gradients):
    """Microseconds per step and ratio to the bare step, by name."""
    current = (0.05 * torch.rand(shape)).requires_grad_(gradients)
    runs = loops(core, current)
    turns = list(runs)
    seconds = {name: [] for name in turns}
    for _ in range(rounds):
        turns.append(turns.pop(0))  # each comes first in turn
        for name in turns:
            current.grad = None
            start = time.process_time()
            total = runs[name]()
            if gradients:
                total.sum().backward()
            seconds[name].append(time.process_time() - start)
    bare = seconds["bare step"]
    return {
        name: {
            "us_per_step": round(1e6 * statistics.median(values) / len(current), 1),
            "ratio": round(statistics.median(v / b for v, b in zip(values, bare, strict=True)), 3),
        }
        for name, values in seconds.items()
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--neurons", type=int, nargs="+", default=[100, 400, 1000])
    parser.add_argument("--steps", type=int, default=25)
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--output", help="JSON file for the figures")
    options = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(1)
    figures = []
    for core in (stp.SingleSpikeIF(1.5), stp.TSSLLIF(5.0, 3.0)):
        for neurons in options.neurons:
            for what, gradients in (("forward", False), ("train", True)):
                shape = options.steps, BATCH, neurons
                found = compare(core, shape, options.rounds, gradients)
                for name, row in found.items():
                    figures.append(
                        {
                            "neuron": type(core).__name__,
                            "neurons": neurons,
                            "pass": what,
                            "loop": name,
                            **row,
                        }
                    )
                    print(*(f"{value!s:<22}" for value in figures[-1].values()), flush=True)
    if options.output:
        _results.save(options.output, figures, seed=0, batch=BATCH, steps=options.steps, threads=1)


if __name__ == "__main__":
    main()
