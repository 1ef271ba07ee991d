"""TSSL-BP: train the networks of the paper, and smaller ones where the paper's take GPU days.

Each run is seeded, resumes from its checkpoint, and writes one result file. ``--validate`` trains
without the last 10,000 training images (a sixth where there are fewer) and measures on them: this
is how settings were chosen. Without it the test set is measured after every epoch; the figure of
the run is the last one.

    python tutorials/02_papers/run_tssl_bp.py fashion-mlp --epochs 100
"""

import math
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

import snn_temporal_plugins as stp
from snn_temporal_plugins import _results
from snn_temporal_plugins._training import fit, options, parse


@dataclass(frozen=True)
class Task:
    """One network on one data set, with the settings of the authors' program."""

    data: str
    network: str
    shape: tuple[int, ...]
    epochs: int
    batch_size: int = 50
    lr: float = 5e-4
    num_steps: int = 5
    tau_mem: float = 5.0
    tau_syn: float = 3.0
    mean: tuple[float, ...] = (0.1307,)  # of MNIST; the authors take it for Fashion-MNIST too
    std: tuple[float, ...] = (0.3081,)
    extra: dict = field(default_factory=dict)
    clip: float = 1.0


TASKS = {
    "fashion-mlp": Task("fashion-mnist", "400-400-10", (1, 28, 28), 100, batch_size=100),
    "mnist-cnn": Task("mnist", "15C5-P2-40C5-P2-300-10", (1, 28, 28), 100),
    "cifar-small": Task(
        "cifar10",
        "32C3-P2-D-64C3-P2-D-128C3-P2-D-256-D-10",
        (3, 32, 32),
        12,
        lr=1e-3,
        mean=(0.4914, 0.4822, 0.4465),
        std=(0.2023, 0.1994, 0.2010),
        extra={"padding": 1},  # with the authors' conv_scale=5 it falls silent as it learns
    ),
    "cifar-paper": Task(
        "cifar10",
        "96C3-D-256C3-P2-D-384C3-P2-D-384C3-D-256C3-D-1024-D-1024-D-10",
        (3, 32, 32),
        150,
        lr=2e-4,
        mean=(0.4914, 0.4822, 0.4465),
        std=(0.2023, 0.1994, 0.2010),
        extra={"padding": 1, "conv_scale": 5.0},
    ),
    "n-mnist": Task(
        "n-mnist",
        "12C5-P2-64C5-P2-10",
        (2, 34, 34),
        20,
        num_steps=30,
        tau_mem=8.0,
        tau_syn=4.0,
        extra={"padding": (1, 0)},
    ),
}
VARIANTS = {
    "rule": {},
    "surrogate": {"fallback": "always"},
    "no-fallback": {"fallback": "never"},
    "no-intra": {"intra": False},
    "no-carry": {"intra": False, "leak": False},
}
BIN = 3_000  # microseconds of a time step of N-MNIST


def load(task: Task, split: str, size: int | None) -> tuple[Tensor, Tensor]:
    """Inputs ``[N, ...]`` (of recordings ``[N, T, ...]``, uint8) and labels of one split."""
    data = stp.datasets.load(task.data, split)
    data = data if size is None else data.subset(slice(None, size))
    print(data)
    if task.data == "n-mnist":
        frames = data.binned(
            slice(None), task.num_steps, duration=task.num_steps * BIN, dtype=torch.uint8
        )
        return frames.transpose(0, 1).contiguous(), data.labels
    mean, std = (torch.tensor(part).view(-1, 1, 1) for part in (task.mean, task.std))
    return (data.images - mean) / std, data.labels


def prepare(x: Tensor) -> Tensor:
    """What the network gets: static samples as they are, recordings as a train ``[T, B, ...]``."""
    return x.transpose(0, 1).float() if x.dtype == torch.uint8 else x


def augment(x: Tensor) -> Tensor:
    """Crops of the image with a border of 4, and its mirror image half of the time."""
    rows, columns = torch.randint(9, (2, len(x)))
    padded = torch.nn.functional.pad(x, (4, 4, 4, 4))
    size = torch.arange(x.shape[-1])
    columns = columns.view(-1, 1) + size
    columns = torch.where(torch.rand(len(x), 1) < 0.5, columns.flip(1), columns)
    rows = rows.view(-1, 1) + size
    batch = torch.arange(len(x)).view(-1, 1, 1)
    return padded[batch, :, rows.unsqueeze(2), columns.unsqueeze(1)].permute(0, 3, 1, 2)


def counts(psc: Tensor, potential: Tensor, labels: Tensor) -> Tensor:
    """How many are right by the sum of the PSC, over four ways to take ties; how many silent.

    Strictly (a tie is wrong); ties decided by the potential; by the lowest index, as the authors
    count; by the label.
    """
    total = psc.detach().sum(0)
    own = total.gather(1, labels.unsqueeze(1))
    others = total.scatter(1, labels.unsqueeze(1), -math.inf).amax(1, keepdim=True)
    first = total == total.amax(1, keepdim=True)
    decided = potential.detach().masked_fill(~first, -math.inf).argmax(1)
    return torch.stack(
        [
            (own > others).sum(),
            (decided == labels).sum(),
            (total.argmax(1) == labels).sum(),
            (own >= others).sum(),
            (total == 0).all(1).sum(),
        ]
    )


def measure(network: stp.models.TSSLNetwork, x: Tensor, y: Tensor) -> dict[str, float]:
    """The counts in per cent."""
    network.eval()
    found = torch.zeros(5)
    with torch.no_grad():
        for images, labels in zip(x.split(250), y.split(250), strict=True):
            pscs, potential = network.run(prepare(images))
            found += counts(pscs[-1], potential, labels)
    network.train()
    names = ("test", "test_ties_by_potential", "test_ties_by_index", "test_ties_right", "silent")
    return dict(zip(names, (100 * found / len(y)).tolist(), strict=True))


def activity(network: stp.models.TSSLNetwork, x: Tensor) -> list[dict[str, float]]:
    """Mean spikes per neuron and step, and the share of neurons without a spike, per layer."""
    rows = []
    with torch.no_grad():
        for psc in network.run(prepare(x))[0]:
            before = torch.cat([torch.zeros_like(psc[:1]), psc[:-1]])
            spikes = psc > before  # a spike raises the PSC, its absence lowers it
            rows.append(
                {
                    "rate": spikes.float().mean().item(),
                    "silent": 1 - spikes.any(0).float().mean().item(),
                }
            )
    return rows


def main() -> None:
    parser = options(__doc__.split("\n\n")[0], epochs=0)
    parser.add_argument("task", choices=TASKS)
    parser.add_argument("--variant", choices=VARIANTS, default="rule", help="gradient rule")
    parser.add_argument("--filter-target", type=int, default=1, help="1, or 2 as in the program")
    parser.add_argument("--constant", action="store_true", help="rate of learning never sinks")
    parser.add_argument("--network", help="another description, e.g. 400-D-400-D-10")
    parser.add_argument("--lr", type=float, help="by default that of the task")
    parser.add_argument("--conv-scale", type=float, help="of fresh convolutions")
    parser.add_argument("--images", type=int, help="train on fewer")
    parser.add_argument("--validate", action="store_true", help="hold out training images")
    parser.add_argument(
        "--out", type=Path, default=Path("docs/results"), help="folder of the result"
    )
    parser.add_argument("--checkpoints", type=Path, default=Path("runs"), help="folder")
    chosen = parse(parser)
    task = TASKS[chosen.task]
    epochs = chosen.epochs or task.epochs
    description, lr = chosen.network or task.network, chosen.lr or task.lr

    x, y = load(task, "train", chosen.images)
    if chosen.validate:
        held = min(10_000, len(x) // 6)
        x, y, test_x, test_y = x[:-held], y[:-held], x[-held:], y[-held:]
    else:
        test_x, test_y = load(task, "test", None)

    static = None if task.data == "n-mnist" else task.num_steps
    more = {} if chosen.conv_scale is None else {"conv_scale": chosen.conv_scale}
    network = stp.models.TSSLNetwork(
        description,
        task.shape,
        num_steps=static,
        tau_mem=task.tau_mem,
        tau_syn=task.tau_syn,
        **(task.extra | VARIANTS[chosen.variant] | more),
    )
    loss = (
        stp.SpikeTrainDistance(task.tau_syn, filter_target=chosen.filter_target, reduction="sum")
        if static
        else stp.SpikeCountHinge(15, 3, reduction="sum")
    )
    weights = list(network.parameters())
    optimizer = torch.optim.AdamW(weights, lr=lr, weight_decay=0.01, fused=True)
    total = epochs * math.ceil(len(x) / task.batch_size)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda k: 1.0 if chosen.constant else 0.5 * (1 + math.cos(math.pi * k / total))
    )

    def step(images: Tensor, labels: Tensor) -> Tensor:
        images = augment(images) if task.data == "cifar10" else images
        pscs, potential = network.run(prepare(images))
        optimizer.zero_grad()
        loss(pscs[-1], labels).backward()
        torch.nn.utils.clip_grad_norm_(weights, task.clip)
        optimizer.step()
        schedule.step()
        with torch.no_grad():
            for weight in weights:
                weight.clamp_(-4, 4)
        return counts(pscs[-1], potential, labels)[0]

    parts = [chosen.task, chosen.variant, f"seed{chosen.seed}"]
    parts += [f"target{chosen.filter_target}"] * (chosen.filter_target != 1)
    parts += ["constant"] * chosen.constant + [f"lr{lr:g}"] * (chosen.lr is not None)
    parts += [f"conv{chosen.conv_scale:g}"] * (chosen.conv_scale is not None)
    parts += [f"{chosen.images}images"] * (chosen.images is not None)
    parts += [description] * (chosen.network is not None) + ["validation"] * chosen.validate
    parts += [f"{epochs}epochs"] * bool(chosen.epochs)
    name = "_".join(["tssl_bp", *parts]).replace("-", "_")
    history = fit(
        step,
        x,
        y,
        epochs=epochs,
        batch_size=task.batch_size,
        seed=chosen.seed,
        after_epoch=lambda epoch: measure(network, test_x, test_y),
        parts={"network": network, "optimizer": optimizer, "schedule": schedule},
        checkpoint=chosen.checkpoints / f"{name}.pt",
        title=name,
    )
    tests = [row["test"] for row in history]
    figures = {
        "last": history[-1],
        "best_epoch": 1 + max(range(len(tests)), key=tests.__getitem__),
        "best": max(tests),
        "activity": activity(network, test_x[:500]),
        "history": history,
    }
    path = _results.save(
        chosen.out / f"{name}.json",
        figures,
        seed=chosen.seed,
        task=chosen.task,
        network=description,
        variant=chosen.variant,
        epochs=epochs,
        lr=lr,
        schedule="constant" if chosen.constant else "cosine",
        filter_target=chosen.filter_target,
        trained_on=len(x),
        measured_on=f"{len(test_x)} held-out training samples"
        if chosen.validate
        else f"{len(test_x)} test samples",
    )
    print(f"last epoch {tests[-1]:.2f} %, best {max(tests):.2f} %; {path}")


if __name__ == "__main__":
    main()
