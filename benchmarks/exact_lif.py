"""Exact spike-time gradients: our event-driven layer against other exact multi-spike layers.

Real MNIST latencies (a pixel x fires at 1 - x, black ones never), batch 100, one thread, all
contestants in one process, taking turns; medians of wall time.

    python benchmarks/exact_lif.py layer --output docs/results/exact_lif_layer.json
    python benchmarks/exact_lif.py step --output docs/results/exact_lif_step.json

SpikingJelly's ``timing_based.SRM`` has no leak and a linear response; its weights are scaled until
its neurons fire as often as ours. It cannot stop at one spike, so "single" compares our layer with
``max_spikes=1`` to an SRM layer of one spike per neuron on average.
"""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import snn_temporal_plugins as stp
from snn_temporal_plugins import _results

sys.path.insert(0, str(Path(__file__).parents[1] / "tutorials" / "02_papers"))
sys.path.insert(0, str(Path(__file__).parent))
from contestants import Relu
from multispike_rules import Network, Training, latencies
from timing import medians

INPUTS, HIDDEN, CLASSES, BATCH = 784, 400, 10, 100
WINDOW = 2.0  # of the layers, in input windows
TAU_SYN = 1.0
RATIOS = {"2 (closed form)": 2.0, "1": 1.0, "1.5": 1.5, "4": 4.0, "inf": math.inf}
STATES = {  # of our network: mean of the weights at the start, batches learned from
    "ours, first batches": (0.0, 0),
    "ours, first batches, many spikes": (2.5, 0),
    "ours, after an epoch": (0.0, 600),
}
LINEAR = {"tau_mem": math.inf, "tau_syn": 1e5}  # responds like SRM over the window


def drawn(outputs: int, inputs: int, dtype: torch.dtype) -> nn.Linear:
    """Synapse with weights of both signs and a positive mean."""
    fc = nn.Linear(inputs, outputs, bias=False).to(dtype)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        fc.weight.copy_(1 + 2 * torch.randn(outputs, inputs, generator=generator))
    return fc


def scaled(fc: nn.Linear, times: Tensor, wanted: float, **constants: float) -> nn.Linear:
    """Scale the weights until neurons of these constants fire ``wanted`` times on average."""
    neuron = stp.ExactLIF(**constants, max_spikes=60, truncation="ignore", silent="none")
    layer, low, high = stp.Timed(fc, neuron, t_max=WINDOW), -12.0, 4.0
    start = fc.weight.detach().clone()
    for _ in range(14):
        middle = (low + high) / 2
        with torch.no_grad():
            fc.weight.copy_(start * 2**middle)
            spikes = torch.isfinite(layer(times)).sum().item() / len(times) / len(start)
        low, high = (middle, high) if spikes < wanted else (low, middle)
    return fc


class Ours:
    """A layer of ours, forward and backward, weights and input times."""

    def __init__(self, times: Tensor, spikes: float, ratio: float, max_spikes: int) -> None:
        constants = {"tau_mem": ratio * TAU_SYN, "tau_syn": TAU_SYN}
        fc = scaled(drawn(HIDDEN, INPUTS, times.dtype), times, spikes, **constants)
        neuron = stp.ExactLIF(**constants, max_spikes=max_spikes, truncation="ignore")
        self.layer = stp.Timed(fc, neuron, t_max=WINDOW)
        self.times = times.clone().requires_grad_()

    def __call__(self) -> int:
        self.times.grad = self.layer.synapse.weight.grad = None
        out = self.layer(self.times)
        fired = torch.isfinite(out)
        out.backward(fired.to(out.dtype))
        return int(fired.sum())


def compact(times: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Events of SpikingJelly: times, inputs, and where each sample begins."""
    fired = torch.isfinite(times)
    offsets = F.pad(fired.sum(1).cumsum(0), (1, 0))
    return times[fired], fired.nonzero()[:, 1], offsets


def srm_layer(fc: nn.Linear):
    """Layer of SpikingJelly with the weights of ``fc``."""
    from spikingjelly.timing_based import neuron

    layer = neuron.SRM(fc.in_features, fc.out_features, duration=WINDOW).to(fc.weight.dtype)
    with torch.no_grad():
        layer.weight.copy_(fc.weight)
    return layer


class Srm:
    """The same with SpikingJelly's layer."""

    def __init__(self, times: Tensor, spikes: float) -> None:
        self.layer = srm_layer(scaled(drawn(HIDDEN, INPUTS, times.dtype), times, spikes, **LINEAR))
        self.events = compact(times)
        self.events[0].requires_grad_()

    def __call__(self) -> int:
        self.events[0].grad = self.layer.weight.grad = None
        out, _, _ = self.layer(*self.events)
        out.sum().backward()
        return len(out)


class SrmNetwork:
    """A training step of SpikingJelly's two-layer example: scores from all output spikes."""

    def __init__(self, times: Tensor, labels: Tensor, spikes: float) -> None:
        first = scaled(drawn(HIDDEN, INPUTS, times.dtype), times, spikes, **LINEAR)
        neuron = stp.ExactLIF(**LINEAR, max_spikes=60, truncation="ignore", silent="none")
        with torch.no_grad():
            hidden = stp.Timed(first, neuron, t_max=WINDOW)(times)
        last = scaled(drawn(CLASSES, HIDDEN, times.dtype), hidden, 2.0, **LINEAR)
        self.layers = [srm_layer(first), srm_layer(last)]
        weights = [layer.weight for layer in self.layers]
        self.optimizer = torch.optim.Adam(weights, 1e-6, fused=True)
        self.times, self.labels = times, labels

    def __call__(self) -> None:
        times, inputs, offsets = compact(self.times)
        for layer in self.layers:
            times, inputs, offsets = layer(times, inputs, offsets)
        samples = torch.repeat_interleave(torch.arange(len(self.labels)), offsets.diff())
        scores = times.new_zeros(len(self.labels) * CLASSES)
        scores = scores.index_add(0, samples * CLASSES + inputs, WINDOW - times)
        self.optimizer.zero_grad()
        F.cross_entropy(scores.view(-1, CLASSES), self.labels).backward()
        self.optimizer.step()


def our_network(pixels: Tensor, labels: Tensor, mean: float, batches: int):
    """A training step of the tutorials' network, from grey values on, after so many such steps."""
    torch.manual_seed(0)
    constants = {"tau_mem": 4.0, "tau_syn": 2.0}
    network = Network(INPUTS, HIDDEN, CLASSES, **constants, mean=mean)

    def encode(x: Tensor) -> Tensor:
        return latencies(x, levels=16, above=60 / 255)

    network.calibrate(encode(pixels[:1000]))
    training = Training(network, steps=10**6, lr=0.07)
    parts = pixels.split(BATCH), labels.split(BATCH)
    for step in range(batches):
        x, y = (part[step % len(part)] for part in parts)
        training.step(encode(x), y)
    for group in training.optimizer.param_groups:
        group["lr"] = 0.0  # the same work in every turn
    with torch.no_grad():
        spikes = torch.isfinite(network.hidden(encode(pixels[:BATCH]))).sum().item()
    x, y = pixels[:BATCH], labels[:BATCH]
    return lambda: training.step(encode(x), y), spikes / BATCH / HIDDEN


def layer_jobs(times: Tensor):
    """Contestants of the layer, and how often a neuron of each fires."""
    jobs: dict[str, object] = {}
    for name, ratio in RATIOS.items():
        jobs[f"ours, ratio {name}, 5 spikes"] = Ours(times, 5.0, ratio, 20)
    jobs["ours, ratio 2 (closed form), single"] = Ours(times, 1.0, 2.0, 1)
    jobs["ours, ratio inf, single"] = Ours(times, 1.0, math.inf, 1)
    for spikes in (1.0, 5.0):
        jobs[f"SpikingJelly SRM, {spikes:g} spikes"] = Srm(times, spikes)
    return jobs, {name: job() / BATCH / HIDDEN for name, job in jobs.items()}


def step_jobs(pixels: Tensor, labels: Tensor):
    """Contestants of the whole training step, and spikes per hidden neuron."""
    jobs, spikes = {}, {}
    for name, (mean, batches) in STATES.items():
        jobs[name], spikes[name] = our_network(pixels, labels, mean, batches)
    x, y = pixels[:BATCH], labels[:BATCH]
    times = latencies(x, above=0.0)[:, :-1]
    for name in list(jobs):
        same = f"SpikingJelly SRM, spikes as {name}"
        jobs[same], spikes[same] = SrmNetwork(times, y, spikes[name]), spikes[name]
    relu, grey = Relu(HIDDEN), (255 * x).round().to(torch.uint8)
    jobs["ReLU network"] = lambda: relu.train(grey, y)
    return jobs, spikes


def layer_ratios(speed: dict[str, float]) -> dict[str, float]:
    """Against SpikingJelly, and other ratios of time constants against the closed form."""
    closed = speed["ours, ratio 2 (closed form), 5 spikes"]
    others = [speed[f"ours, ratio {name}, 5 spikes"] for name in RATIOS]
    single = speed["ours, ratio 2 (closed form), single"]
    return {
        "single spike: closed form / SRM": single / speed["SpikingJelly SRM, 1 spikes"],
        "5 spikes: closed form / SRM": closed / speed["SpikingJelly SRM, 5 spikes"],
        "5 spikes: slowest other ratio / closed form": min(others) / closed,
    }


def step_ratios(speed: dict[str, float]) -> dict[str, float]:
    """Against SpikingJelly and the ReLU network."""
    ratios = {}
    for name in STATES:
        ratios[f"{name} / SRM"] = speed[name] / speed[f"SpikingJelly SRM, spikes as {name}"]
        ratios[f"{name} / ReLU"] = speed[name] / speed["ReLU network"]
    return ratios


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("part", choices=("layer", "step"))
    parser.add_argument("--seconds", type=float, default=3.0, help="per contestant")
    parser.add_argument("--output", type=Path, help="result file")
    options = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(1)
    data = stp.datasets.load("mnist", "train").subset(slice(0, 100 * BATCH))
    pixels, labels = data.images.flatten(1), data.labels
    if options.part == "layer":
        times = latencies(pixels[:BATCH].double())[:, :-1].contiguous()
        jobs, spikes = layer_jobs(times)
    else:
        jobs, spikes = step_jobs(pixels.float(), labels)
    found = medians(jobs, seconds=options.seconds, limit=60.0)
    speed = {name: round(BATCH / t, 1) for name, t in found.items()}
    ratios = layer_ratios(speed) if options.part == "layer" else step_ratios(speed)
    ratios = {name: round(value, 3) for name, value in ratios.items()}
    for name, value in speed.items():
        fired = f"{spikes[name]:6.2f} spikes per neuron" if name in spikes else ""
        print(f"{name:52} {value:10,.1f} images/s {fired}")
    for name, value in ratios.items():
        print(f"{name:52} {value:10.3f}")
    if options.output:
        spikes = {name: round(value, 3) for name, value in spikes.items()}
        figures = {"images_per_second": speed, "spikes_per_neuron": spikes, "ratios": ratios}
        _results.save(options.output, figures, seed=0, batch=BATCH, source=data.source)


if __name__ == "__main__":
    main()
