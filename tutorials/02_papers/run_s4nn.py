"""
Full runs of the S4NN study
===========================

Trains a 784-N-10 network by one of the rules of ``s4nn_rules.py`` and writes one result file::

    python tutorials/02_papers/run_s4nn.py --rule A --epochs 20 --seed 0

Settings are chosen with ``--validate`` (trained on the first 50,000 images, measured on the last
10,000 training images); without it the network is trained on all 60,000 and the test set is looked
at once, after the last epoch. A run that is stopped goes on where it was (``--checkpoint``).
"""

from pathlib import Path

import s4nn_rules as rules
import torch

import snn_temporal_plugins as stp
from snn_temporal_plugins import _results, _training

RESULTS = Path(__file__).parents[2] / "docs" / "results" / "s4nn"


def options():
    parser = _training.options(__doc__.splitlines()[1], epochs=20)
    parser.add_argument("--rule", choices=rules.RULES, default="A", help="learning rule")
    parser.add_argument("--data", default="mnist", help="mnist or fashion-mnist")
    parser.add_argument("--hidden", type=int, default=400, help="hidden neurons")
    parser.add_argument("--batch-size", type=int, default=32, help="images per update")
    parser.add_argument("--beta", type=float, help="homeostatic term of rules paper and C")
    parser.add_argument("--gamma", type=float, help="time margin of rules paper and C, in steps")
    parser.add_argument("--shift", type=int, default=0, help="random shifts, in pixels")
    parser.add_argument("--drop", type=float, default=0.0, help="share of input spikes dropped")
    parser.add_argument("--pull", type=float, default=0.0, help="extra error on a silent label")
    parser.add_argument("--slack", type=float, default=1.0, help="training threshold / test one")
    parser.add_argument("--validate", action="store_true", help="measure on training images")
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


def counts(training: rules.Training, data, times, *, drive: bool) -> dict[str, float]:
    """Figures of the averaged network, with or without the late drive of its outputs."""
    network = training.average.module
    output = [m for m in network.modules() if isinstance(m, stp.Timed)][1]
    output.neuron.late_drive = rules.LATE_DRIVE if drive else None
    figures = _training.evaluate(network, times, data.labels, t_max=rules.T_MAX).compute()
    output.neuron.late_drive = None
    return {name: round(value, 5) for name, value in figures.items()}


def main() -> None:
    args = _training.parse(options())
    train = stp.datasets.load(args.data, "train")
    test = stp.datasets.load(args.data, "test")
    if args.validate:
        train, test = train.validation_split(10_000)
    print(train, test, sep="\n")
    inputs, test_times = (
        stp.latency(part.pixels, rules.T_MAX).flatten(1) for part in (train, test)
    )
    training = rules.Training(
        args.rule,
        steps=-(-len(train) // args.batch_size),
        epochs=args.epochs,
        hidden=args.hidden,
        gamma=args.gamma,
        beta=args.beta,
        slack=args.slack,
        pull=args.pull,
    )

    def step(times, labels):
        if args.shift:
            times = shifted(times, args.shift)
        if args.drop:
            times = times.masked_fill(torch.rand_like(times) < args.drop, float("inf"))
        return training.step(times, labels)

    def after_epoch(epoch):
        if not args.validate:  # the test set is not looked at before the end
            return {}
        found = counts(training, test, test_times, drive=False)
        return {name: found[name] for name in ("strict", "strict_silent_wrong", "authors")}

    history = _training.fit(
        step,
        inputs,
        train.labels,
        epochs=args.epochs,
        batch_size=args.batch_size,
        seed=args.seed,
        after_epoch=after_epoch,
        parts=training.parts(),
        checkpoint=args.checkpoint,
        title=f"S4NN, rule {args.rule}",
    )
    figures = {
        "plain": counts(training, test, test_times, drive=False),
        "late_drive": counts(training, test, test_times, drive=True),
        "cpu_seconds": round(sum(row["cpu_seconds"] for row in history), 1),
        "history": history,
    }
    settings = {name: value for name, value in vars(args).items() if name not in ("seed", "name")}
    settings |= {"trained_on": len(train), "source": test.source, "checkpoint": None}
    name = args.name or "_".join(
        [args.data, f"rule_{args.rule}", str(args.hidden), f"{args.epochs}epochs"]
        + [f"shift{args.shift}"] * bool(args.shift)
        + [f"beta{args.beta}"] * (args.beta is not None)
        + [f"seed{args.seed}"]
        + ["validation"] * args.validate
    )
    path = _results.save(RESULTS / f"{name}.json", figures, seed=args.seed, **settings)
    for kind in ("plain", "late_drive"):
        print(
            kind, {key: figures[kind][key] for key in ("strict", "strict_silent_wrong", "authors")}
        )
    print(f"written to {path.name}")


if __name__ == "__main__":
    main()
