"""Accuracy and spikes against the time constant, many spikes and one spike per neuron.

    python tutorials/02_papers/run_multispike_sweep.py

Short runs on a part of the training images, measured on the last 10,000 of them; the test set is
not touched. Every run is written at once, and a sweep that is stopped goes on where it was.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from multispike_rules import READOUTS, RESULTS, Network, Training, latencies, measure

import snn_temporal_plugins as stp
from snn_temporal_plugins import _results, _training

ABOVE, LEVELS = 60 / 255, 16  # grey values up to this one are silent; steps of the input times


def parser() -> argparse.ArgumentParser:
    """Options of the sweep."""
    options = _training.options(__doc__.splitlines()[0], epochs=5)
    add = options.add_argument
    add("--taus", type=float, nargs="+", default=[0.25, 0.5, 1, 2, 4, 8, 16])
    add("--max-spikes", type=int, nargs="+", default=[10, 1])
    add("--seeds", type=int, nargs="+", default=[0, 1, 2])
    add("--readout", choices=READOUTS, default="potential")
    add("--images", type=int, default=12_000)
    add("--hidden", type=int, default=200)
    add("--window", type=float, default=1.05, help="end of the hidden layer's window")
    add("--mean", type=float, default=2.5, help="of the hidden weights at the start")
    add("--lr", type=float, default=0.07, help="in initial standard deviations of the weights")
    add("--output", type=Path, default=None)
    return options


def run(images, labels, unseen, tau: float, max_spikes: int, seed: int, chosen) -> dict:
    """One network with ``tau_mem = 2 tau_syn = tau``, in input windows."""
    torch.manual_seed(seed)
    constants = {"tau_mem": tau, "tau_syn": tau / 2, "window": chosen.window, "mean": chosen.mean}
    options = {"readout": chosen.readout, "max_spikes": max_spikes}
    network = Network(images.shape[1] - 1, chosen.hidden, 10, **constants, **options)
    network.calibrate(images[:1000])
    steps = chosen.epochs * -(-len(images) // 100)
    training = Training(network, steps=steps, lr=chosen.lr, average=1 - 10 / steps)
    for epoch in range(chosen.epochs):
        torch.manual_seed(1_000_003 * seed + epoch)
        for batch in torch.randperm(len(images)).split(100):
            training.step(images[batch], labels[batch])
    return measure(training.average.module, *unseen)


def main() -> None:
    """Run what is missing."""
    chosen = _training.parse(parser())
    train, held_out = stp.datasets.load("mnist", "train").validation_split(10_000)
    train = train.subset(slice(0, chosen.images))
    code = {"levels": LEVELS, "above": ABOVE}
    images, labels = latencies(train.images.flatten(1), **code), train.labels
    unseen = latencies(held_out.images.flatten(1), **code), held_out.labels
    path = chosen.output or RESULTS / f"sweep_{chosen.readout}.json"
    rows = _results.load(path)["figures"] if path.exists() else []
    done = {(row["tau"], row["max_spikes"], row["seed"]) for row in rows}
    skipped = ("output", "seed", "full")
    settings = {key: value for key, value in vars(chosen).items() if key not in skipped}
    for seed in chosen.seeds:
        for tau in chosen.taus:
            for max_spikes in chosen.max_spikes:
                if (tau, max_spikes, seed) in done:
                    continue
                found = run(images, labels, unseen, tau, max_spikes, seed, chosen)
                rows.append({"tau": tau, "max_spikes": max_spikes, "seed": seed, **found})
                print(rows[-1], flush=True)
                _results.save(path, rows, seed=chosen.seeds, source=train.source, **settings)


if __name__ == "__main__":
    main()
