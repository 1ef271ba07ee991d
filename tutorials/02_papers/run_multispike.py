"""Train one network of multi-spike neurons with one seed; figures go to docs/results/multispike/.

    python tutorials/02_papers/run_multispike.py --data mnist --affine 1 --seed 0

The networks are explained in multispike_rules.py. Settings were chosen with --validate, which
learns from all but the last 10,000 training images (Yin-Yang: has its own validation part) and
measures on those; without it the test set is looked at once, after the last epoch. A run that is
stopped goes on from its last epoch.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from multispike_rules import READOUTS, RESULTS, Network, Training, affine, latencies, measure
from torch import Tensor

import snn_temporal_plugins as stp
from snn_temporal_plugins import _results, _training

DATA = ("mnist", "fashion-mnist", "yin-yang")


def parser() -> argparse.ArgumentParser:
    """Options; the defaults are those of MNIST."""
    options = _training.options(__doc__.splitlines()[0], epochs=20)
    add = options.add_argument
    add("--data", choices=DATA, default="mnist")
    add("--readout", choices=READOUTS, default="potential")
    add("--hidden", type=int, default=400, help="hidden neurons")
    add("--tau", type=float, default=4.0, help="tau_mem, in input windows")
    add("--ratio", type=float, default=2.0, help="tau_mem / tau_syn")
    add("--max-spikes", type=int, default=10, help="1: single-spike neurons")
    add("--window", type=float, default=1.05, help="end of the hidden layer's window")
    add("--bar", type=float, default=10.0, help="threshold of outputs that fire")
    add("--lift", type=float, default=5.0, help="weight of their reference spike, in thresholds")
    add("--levels", type=int, default=16, help="of input times; 0: as fine as the data")
    add("--above", type=float, default=60.0, help="grey values up to this one are silent")
    add("--mean", type=float, default=0.0, help="of the hidden weights at the start")
    add("--spread", type=float, default=2.5, help="of the hidden weights at the start")
    add("--active", type=float, default=100.0, help="inputs that fire, for the scale of weights")
    add("--push", type=float, default=0.0, help="pull on silent hidden neurons")
    add("--batch-size", type=int, default=100)
    add("--lr", type=float, default=0.07, help="in initial standard deviations of the weights")
    add("--weight-decay", type=float, default=0.0, help="per unit of step size")
    add("--input-drop", type=float, default=0.0, help="share of input spikes dropped")
    add("--hidden-drop", type=float, default=0.0, help="share of hidden neurons dropped")
    add("--smoothing", type=float, default=0.0, help="of the labels")
    add("--average", type=float, default=0.998, help="decay of the averaged weights, per batch")
    add("--affine", type=float, default=0.0, help="strength of random affine maps; 1: one pixel")
    add("--flip", action="store_true", help="mirror images at random")
    add("--images", type=int, default=0, help="learn from the first so many only; 0: all")
    add("--validate", action="store_true", help="measure on training images, leave the test")
    add("--name", default=None, help="of the result file; by default from the options")
    add("--folder", type=Path, default=RESULTS)
    add("--save", type=Path, default=None, help="file for the averaged weights")
    return options


def load(name: str, validate: bool) -> tuple[stp.datasets.Dataset, stp.datasets.Dataset]:
    """What is learned from and what is measured on."""
    train = stp.datasets.load(name, "train")
    if not validate:
        return train, stp.datasets.load(name, "test")
    if name == "yin-yang":
        return train, stp.datasets.load(name, "validation")
    return train.validation_split(10_000)


def encode(values: Tensor, chosen: argparse.Namespace) -> Tensor:
    """Input times of values in [0, 1]."""
    above = -1.0 if chosen.data == "yin-yang" else chosen.above / 255
    return latencies(values, levels=chosen.levels, above=above)


def file_name(chosen: argparse.Namespace) -> str:
    """Name that tells runs apart whose results are published together."""
    if chosen.name:
        return f"{chosen.name}_seed{chosen.seed}"
    parts = [chosen.data, chosen.readout, str(chosen.hidden), f"tau{chosen.tau:g}"]
    parts += ["single"] * (chosen.max_spikes == 1) + ["affine"] * bool(chosen.affine)
    parts += [f"{chosen.epochs}epochs"] + ["validation"] * chosen.validate
    return "_".join([*parts, f"seed{chosen.seed}"])


def build(chosen: argparse.Namespace, inputs: int, classes: int) -> Network:
    """Network that the options describe."""
    return Network(
        inputs,
        chosen.hidden,
        classes,
        tau_mem=chosen.tau,
        tau_syn=chosen.tau / chosen.ratio if chosen.tau < float("inf") else chosen.ratio,
        readout=chosen.readout,
        max_spikes=chosen.max_spikes,
        window=chosen.window,
        active=chosen.active,
        mean=chosen.mean,
        spread=chosen.spread,
        push=chosen.push,
        bar=chosen.bar,
        lift=chosen.lift,
    )


def main() -> None:
    """Train, measure, write."""
    chosen = _training.parse(parser())
    train, test = load(chosen.data, chosen.validate)
    if chosen.images:
        train = train.subset(slice(None, chosen.images))
    print(train, test, sep="\n")
    values, unseen = train.images.flatten(1), encode(test.images.flatten(1), chosen)
    network = build(chosen, values.shape[1], len(train.classes))
    network.calibrate(encode(values[:1000], chosen))
    training = Training(
        network,
        steps=chosen.epochs * -(-len(train) // chosen.batch_size),
        lr=chosen.lr,
        weight_decay=chosen.weight_decay,
        input_drop=chosen.input_drop,
        hidden_drop=chosen.hidden_drop,
        smoothing=chosen.smoothing,
        average=chosen.average,
    )

    def step(values: Tensor, labels: Tensor) -> Tensor:
        if chosen.affine or chosen.flip:
            values = affine(values, chosen.affine, flip=chosen.flip)
        return training.step(encode(values, chosen), labels)

    def after_epoch(epoch: int) -> dict[str, float]:
        return measure(training.average.module, unseen, test.labels) if chosen.validate else {}

    name = file_name(chosen)
    history = _training.fit(
        step,
        values,
        train.labels,
        epochs=chosen.epochs,
        batch_size=chosen.batch_size,
        seed=chosen.seed,
        after_epoch=after_epoch,
        parts=training.parts(),
        checkpoint=None if chosen.validate else Path("runs") / f"multispike_{name}.pt",
        title=f"{chosen.data}, {chosen.readout}",
    )
    result = training.average.module
    figures = {
        "result": measure(result, unseen, test.labels),
        "last_weights": measure(network, unseen, test.labels),
    }
    for kind, row in figures.items():
        print(kind, row)
    if chosen.save:
        torch.save(result.state_dict(), chosen.save)
    skipped = ("folder", "save", "seed", "name", "full")
    settings = {key: value for key, value in vars(chosen).items() if key not in skipped}
    settings |= {"trained_on": len(train), "source": test.source}
    seconds = round(sum(row["cpu_seconds"] for row in history), 1)
    figures |= {"cpu_seconds": seconds, "history": history}
    path = _results.save(chosen.folder / f"{name}.json", figures, seed=chosen.seed, **settings)
    print(f"written to {path.name}")


if __name__ == "__main__":
    main()
