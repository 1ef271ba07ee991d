"""Deep Spiking Networks: time against ReLU networks that are written alike, in one process.

    python benchmarks/deep_spiking.py

Ratios of medians over interleaved repetitions, one thread, 784-200-200-10, real digits:
training sample by sample (engine, T = 10, against a ReLU network in the same kernel style that
skips zeros), and inference (all steps at once, T = 2, batch 128, against the ReLU network in
torch). CPU time of the process, which other programs on the machine disturb least.
"""

import copy
import statistics
import time
from pathlib import Path

import torch

import snn_temporal_plugins as stp
from snn_temporal_plugins import _results
from snn_temporal_plugins.kernels.herding.op import learn_relu

SIZES = [784, 200, 200, 10]
SAMPLES, REPEATS = 500, 15


def seconds(run):
    start = time.process_time()
    run()
    return time.process_time() - start


def interleaved(runs, repeats=REPEATS):
    """Median of the time of each run, and of its ratio to the first one of the same round."""
    for run in runs.values():
        run()  # compile, warm up
    times = [{name: seconds(run) for name, run in runs.items()} for _ in range(repeats)]
    first = next(iter(runs))
    return {
        name: {
            "seconds": statistics.median(row[name] for row in times),
            "ratio": statistics.median(row[name] / row[first] for row in times),
        }
        for name in runs
    }


def training(x, labels):
    """Learn ``SAMPLES`` digits, each time from the same, half trained weights."""
    start = stp.HerdingMLP(SIZES, order="event")
    start.learn(x, labels)
    x, labels = x[:SAMPLES], labels[:SAMPLES]
    runs = {"relu": lambda: learn_relu(x, labels, copy.deepcopy(start).weights, 0.01)}
    for order in ("event", "step"):
        for update in ("sgd", "fsgd"):
            net = stp.HerdingMLP(SIZES, order=order, update=update)

            def run(net=net):
                net.load_state_dict(start.state_dict())
                net.learn(x, labels)

            runs[f"{order}_{update}"] = run
    return interleaved(runs)


def inference(x):
    relu = stp.HerdingMLP(SIZES).relu()
    for layer in relu[::2]:
        torch.nn.init.kaiming_normal_(layer.weight)
    x = x[:128]
    runs = {"relu": lambda: [relu(x) for _ in range(20)]}
    for steps in (2, 5, 10):
        spiking = stp.to_spiking(relu, steps)
        runs[f"t{steps}"] = lambda spiking=spiking: [spiking(x) for _ in range(20)]
    with torch.no_grad():
        return interleaved(runs)


def main():
    torch.set_num_threads(1)
    torch.manual_seed(0)
    data = stp.datasets.load("mnist", "train")
    x, labels = data.images[:4000].flatten(1), data.labels[:4000]
    figures = {"training": training(x, labels), "inference": inference(x)}
    for part, rows in figures.items():
        for name, row in rows.items():
            print(f"{part:10s} {name:12s} {1e3 * row['seconds']:9.2f} ms  {row['ratio']:6.2f} x")
    root = Path(__file__).resolve().parents[1]
    settings = {"samples": SAMPLES, "repeats": REPEATS, "data": data.source}
    _results.save(
        root / "docs" / "results" / "deep_spiking_speed.json", figures, seed=0, **settings
    )


if __name__ == "__main__":
    main()
