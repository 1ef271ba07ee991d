"""Train one binary network with one seed; figures go to docs/results/bs4nn/.

    python tutorials/02_papers/run_bs4nn.py --full --data mnist --rule margin --seed 0

The rules are explained in bs4nn_rules.py. Settings were chosen with --validate, which holds the
last sixth of the training images out and never looks at the test set. A run that is stopped goes
on from its last epoch.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from bs4nn_rules import RULES
from torch import Tensor

import snn_temporal_plugins as stp
from snn_temporal_plugins import _results, _training

RESULTS = Path("docs/results/bs4nn")
REPAIRS = ("scale", "range", "decay", "gate", "silent")
HIDDEN = {"mnist": 600, "fashion-mnist": 1000}  # as in the paper


def parser() -> argparse.ArgumentParser:
    """Options; the defaults of ``margin`` were chosen on validation images."""
    options = _training.options(__doc__.splitlines()[0], epochs=15)
    options.add_argument("--data", choices=tuple(HIDDEN), default="mnist")
    options.add_argument("--rule", choices=tuple(RULES), default="margin")
    options.add_argument("--hidden", type=int, default=None, help="600 or, for Fashion, 1000")
    options.add_argument("--batch", type=int, default=64)
    options.add_argument("--lr", type=float, default=0.01)
    options.add_argument("--margin", type=float, default=11.0, help="in counts")
    options.add_argument("--temperature", type=float, default=2.2, help="in counts")
    options.add_argument("--push", type=float, default=0.1)
    options.add_argument("--width", type=float, default=20.0, help="of the gate, in counts")
    options.add_argument("--average", type=float, default=0.998, help="decay per batch")
    options.add_argument("--shift", type=int, default=0, help="random shifts, in pixels")
    options.add_argument("--images", type=int, default=None, help="learn from fewer")
    options.add_argument("--repair", nargs="*", choices=REPAIRS, default=(), help="of paper")
    options.add_argument("--validate", action="store_true", help="hold images out, leave the test")
    options.add_argument("--save", type=Path, default=None, help="file for the packed network")
    options.add_argument("--folder", type=Path, default=RESULTS)
    return options


def data(name: str, validate: bool, full: bool) -> list[Tensor]:
    """Images and labels to learn from, and those to look at."""
    train = stp.datasets.load(name, "train")
    if validate:
        cut = len(train.images) * 5 // 6
        parts = [train.images[:cut], train.labels[:cut], train.images[cut:], train.labels[cut:]]
    else:
        test = stp.datasets.load(name, "test")
        parts = [train.images, train.labels, test.images, test.labels]
    return parts if full else [part[:1000] for part in parts]


def main() -> None:
    """Train, evaluate, write."""
    chosen = _training.parse(parser())
    chosen.hidden = chosen.hidden or HIDDEN[chosen.data]
    parts = [chosen.data, chosen.rule, *chosen.repair, f"seed{chosen.seed}"]
    parts += ["shifts"] * bool(chosen.shift) + [f"{chosen.images}images"] * bool(chosen.images)
    name = "_".join(parts)
    images, labels, unseen, unseen_labels = data(chosen.data, chosen.validate, chosen.full)
    images, labels = images[: chosen.images], labels[: chosen.images]
    run = RULES[chosen.rule](chosen, chosen.epochs * -(-len(images) // chosen.batch))

    def after_epoch(epoch: int) -> dict[str, float]:
        row = run.watch()
        if chosen.validate:
            figures = run.evaluate(unseen, unseen_labels)
            row |= {f"strict_{kind}": part["strict"] for kind, part in figures.items()}
        return row

    history = _training.fit(
        run.step,
        images,
        labels,
        epochs=chosen.epochs,
        batch_size=chosen.batch,
        seed=chosen.seed,
        after_epoch=after_epoch,
        parts=run.parts(),
        checkpoint=None if chosen.validate else Path("runs") / f"bs4nn_{name}.pt",
        title=f"{chosen.rule} {chosen.data}",
    )
    figures = run.evaluate(unseen, unseen_labels)
    for kind, row in figures.items():
        print(kind, {key: round(value, 4) for key, value in row.items()})
    if chosen.save:
        torch.save(stp.pack(run.result()).state_dict(), chosen.save)
    if not chosen.validate:
        skipped = ("folder", "save", "seed", "validate")
        settings = {key: value for key, value in vars(chosen).items() if key not in skipped}
        figures["history"] = history
        _results.save(chosen.folder / f"{name}.json", figures, seed=chosen.seed, **settings)


if __name__ == "__main__":
    main()
