"""
Full runs of the S4NN study
===========================

Trains a single-spike network by one of the rules of ``s4nn_rules.py`` and writes one result file::

    python tutorials/02_papers/run_s4nn.py --rule A --epochs 20 --seed 0

Settings are chosen with ``--validate`` (trained on the first 50,000 images, measured on the last
10,000 training images); without it the network is trained on all 60,000 and the test set is looked
at once, after the last epoch. A run that is stopped goes on where it was (``--checkpoint``).
``s4nn_results.py`` makes a table of all runs.
"""

from pathlib import Path

import s4nn_rules as rules
import torch

import snn_temporal_plugins as stp
from snn_temporal_plugins import _results, _training

RESULTS = Path(__file__).parents[2] / "docs" / "results" / "s4nn"
SHARED = ("network", "gamma", "margin", "temperature", "rate", "average")
SHARED += ("pull", "spare", "balance", "slack", "hidden_drop")
SLACKS = (1.0, 1.15, 1.3, 1.5, 1.75, 2.0)
DRIVES = [(start, total) for start in (205, 225, 240) for total in (150, 200, 250, 300)]


def options():
    parser = _training.options(__doc__.splitlines()[1], epochs=20)
    parser.add_argument("--rule", choices=rules.RULES, default="A", help="learning rule")
    parser.add_argument("--network", choices=rules.NETWORKS, default="dense")
    parser.add_argument("--data", choices=tuple(rules.LATE_DRIVES), default="mnist")
    parser.add_argument("--hidden", type=int, default=400, help="hidden neurons, dense network")
    parser.add_argument("--channels", type=int, nargs=2, default=(16, 32), help="of conv layers")
    parser.add_argument("--batch-size", type=int, default=32, help="images per update")
    parser.add_argument("--rate", type=float, default=1.0, help="multiplies the learning rates")
    parser.add_argument("--average", type=float, default=0.998, help="of weights, per step")
    parser.add_argument("--beta", type=float, help="homeostatic term of rules paper and C")
    parser.add_argument("--gamma", type=float, help="time margin of rules paper and C, in steps")
    parser.add_argument("--margin", type=float, default=1.0, help="rules A and B, in thresholds")
    parser.add_argument("--temperature", type=float, default=0.2, help="of it, in thresholds")
    windows = ("decision", "window")
    parser.add_argument(
        "--potential", choices=windows, default="decision", help="of silent outputs"
    )
    parser.add_argument("--shift", type=int, default=0, help="random shifts, in pixels")
    parser.add_argument("--flip", action="store_true", help="half of the images mirrored")
    parser.add_argument("--jitter", type=int, default=0, help="of input spikes, in steps")
    parser.add_argument("--drop", type=float, default=0.0, help="share of input spikes dropped")
    parser.add_argument("--hidden-drop", type=float, default=0.0, help="share of hidden spikes")
    parser.add_argument("--pull", type=float, default=0.0, help="extra error on a silent label")
    parser.add_argument("--spare", action="store_true", help="no push down where all are silent")
    balance = "mean of the output weights of each hidden neuron; 0 without a value"
    parser.add_argument("--balance", type=float, nargs="?", const=0.0, help=balance)
    parser.add_argument("--slack", type=float, default=1.0, help="training threshold / test one")
    parser.add_argument("--dark", type=int, help="step at which black pixels fire; else never")
    parser.add_argument("--end", type=int, help="step at which one more input always fires")
    parser.add_argument("--images", type=int, help="train on so many; by default all")
    parser.add_argument("--validate", action="store_true", help="measure on training images")
    parser.add_argument("--idea", help="what the run tries, in words, for the table")
    parser.add_argument("--name", help="of the result file; by default from the options")
    parser.add_argument("--checkpoint", type=Path, help="file to resume from")
    return parser


def shifted(times: torch.Tensor, pixels: int) -> torch.Tensor:
    """Every image moved by up to ``pixels`` in both directions; what comes in is silent."""
    batch, side = len(times), 28
    padded = torch.nn.functional.pad(
        times.view(batch, side, side), (pixels,) * 4, value=float("inf")
    )
    row, column = torch.randint(0, 2 * pixels + 1, (2, batch, 1))
    grid = torch.arange(side)
    samples = torch.arange(batch)[:, None, None]
    moved = padded[samples, (row + grid)[:, :, None], (column + grid)[:, None, :]]
    return moved.view(batch, side * side)


def augmented(times: torch.Tensor, args) -> torch.Tensor:
    """Random changes of training images."""
    if args.flip:
        images = times.view(-1, 28, 28)
        mirror = torch.rand(len(times), 1) < 0.5
        times = images.flip(2).flatten(1).where(mirror, times)
    if args.shift:
        times = shifted(times, args.shift)
    if args.jitter:
        moves = torch.randint(-args.jitter, args.jitter + 1, times.shape)
        times = (times + moves).clamp(0, rules.T_MAX - 2).where(times.isfinite(), times)
    if args.drop:
        times = times.masked_fill(torch.rand_like(times) < args.drop, float("inf"))
    return times


def completed(times: torch.Tensor, args) -> torch.Tensor:
    """Spikes that every image has: of black pixels, and of an input that tells the end."""
    if args.dark is not None:
        times = times.masked_fill(torch.isinf(times), args.dark)
    if args.end is not None:
        times = torch.cat([times, times.new_full((len(times), 1), args.end)], 1)
    return times


def counts(training: rules.Training, times, labels, drive=None) -> dict[str, float]:
    """Figures of the averaged network, with or without a late drive of its outputs."""
    training.outputs.neuron.late_drive = drive
    report = _training.evaluate(training.average.module, times, labels, t_max=rules.T_MAX)
    training.outputs.neuron.late_drive = None
    return {name: round(value, 5) for name, value in report.compute().items()}


def drives(training: rules.Training, times, labels) -> list[dict[str, float]]:
    """Figures with other late drives, to choose one; ``total`` is what has arrived by step 253."""
    rows = []
    for start, total in DRIVES:
        found = counts(training, times, labels, (start, total / (254 - start)))
        kept = ("strict_silent_wrong", "silent", "ties")
        rows.append({"start": start, "total": total, **{name: found[name] for name in kept}})
    return rows


def slacks(training: rules.Training, times, labels) -> list[dict[str, float]]:
    """Figures at other thresholds of the outputs."""
    rows, neuron = [], training.outputs.neuron
    kept = neuron.threshold
    for slack in SLACKS:
        neuron.threshold = rules.THRESHOLD / slack
        found = counts(training, times, labels)
        names = ("strict", "strict_silent_wrong", "silent", "ties", "decision_time")
        rows.append({"slack": slack, **{name: found[name] for name in names}})
    neuron.threshold = kept
    return rows


def trained(args, times, labels):
    """A trained network and the history of its training."""
    own = {"channels": args.channels} if args.network == "conv" else {}
    if args.network == "dense":
        inputs = 784 + (args.end is not None)
        own = {"hidden": args.hidden, "inputs": inputs, "beta": args.beta}
        own["potential"] = args.potential
    training = rules.Training(
        args.rule,
        steps=-(-len(times) // args.batch_size),
        epochs=args.epochs,
        **{name: getattr(args, name) for name in SHARED},
        **own,
    )
    history = _training.fit(
        lambda batch, target: training.step(completed(augmented(batch, args), args), target),
        times,
        labels,
        epochs=args.epochs,
        batch_size=args.batch_size,
        seed=args.seed,
        parts=training.parts(),
        checkpoint=args.checkpoint,
        title=f"S4NN, rule {args.rule}",
    )
    return training, history


def file_name(args) -> str:
    network = str(args.hidden)
    if args.network == "conv":
        network = "_".join(map(str, ("conv", *args.channels)))
    return "_".join(
        [args.data, f"rule_{args.rule}", network, f"{args.epochs}epochs"]
        + [f"shift{args.shift}"] * bool(args.shift)
        + [f"beta{args.beta:g}"] * (args.beta is not None)
        + [f"rate{args.rate:g}"] * (args.rate != 1)
        + [f"drop{args.hidden_drop:g}"] * bool(args.hidden_drop)
        + [f"seed{args.seed}"]
        + ["validation"] * args.validate
    )


def run(args, path: Path) -> None:
    """Train and measure one network; the figures go to ``path``."""
    train = stp.datasets.load(args.data, "train")
    test = stp.datasets.load(args.data, "test")
    if args.validate:
        train, test = train.validation_split(10_000)
    if args.images:
        train = train.subset(slice(args.images))
    print(train, test, sep="\n")
    times, unseen = (stp.latency(part.pixels, rules.T_MAX).flatten(1) for part in (train, test))
    training, history = trained(args, times, train.labels)
    unseen = completed(unseen, args)
    figures = {
        "plain": counts(training, unseen, test.labels),
        "late_drive": counts(training, unseen, test.labels, rules.LATE_DRIVES[args.data]),
        "cpu_seconds": round(sum(row["cpu_seconds"] for row in history), 1),
        "history": history,
    }
    if args.validate and args.network == "dense":
        figures["drives"] = drives(training, unseen, test.labels)
        figures["slacks"] = slacks(training, unseen, test.labels)
    settings = {name: value for name, value in vars(args).items() if name not in ("seed", "name")}
    settings |= {"trained_on": len(train), "source": test.source, "checkpoint": None}
    _results.save(path, figures, seed=args.seed, **settings)
    for kind in ("plain", "late_drive"):
        shown = ("strict", "strict_silent_wrong", "authors", "silent")
        print(kind, {key: figures[kind][key] for key in shown})
    print(f"written to {path.name}")


def main() -> None:
    args = _training.parse(options())
    run(args, RESULTS / f"{args.name or file_name(args)}.json")


if __name__ == "__main__":
    main()
