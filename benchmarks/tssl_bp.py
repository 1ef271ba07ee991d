"""TSSL-BP: our networks against stock snnTorch neurons and against the authors' program.

Same layers, steps and batches, one thread, blocks of batches interleaved in one process; CPU time,
medians. Everybody trains on batch after batch of the first 6,000 MNIST images, so that layers are
as active as in training.

    python benchmarks/tssl_bp.py [--program FOLDER] [--rounds 20]

FOLDER is a clone of the authors' repository (github.com/stonezwr/TSSL-BP), which is imported as it
is; only its calls of ``.cuda()`` are made to do nothing, so that it runs on the CPU. Needs PyYAML.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import statistics
import sys
import time
from pathlib import Path

import snntorch as snn
import torch
from torch import nn

import snn_temporal_plugins as stp
from snn_temporal_plugins import _results

STEPS, CLASSES = 5, 10
BLOCK, IMAGES = 5, 6_000  # batches per turn; images that the batches are taken from
SHAPES = {
    "784-400-400-10": ("400-400-10", "FashionMNIST_400_400.yaml", 100),
    "15C5-P2-40C5-P2-300-10": ("15C5-P2-40C5-P2-300-10", "MNIST_CNN.yaml", 50),
}


class Ours:
    def __init__(self, description):
        self.network = stp.models.TSSLNetwork(description, (1, 28, 28), num_steps=STEPS)
        self.weights = list(self.network.parameters())
        self.loss = stp.SpikeTrainDistance(3.0, reduction="sum")
        self.optimizer = torch.optim.AdamW(self.weights, lr=5e-4, fused=True)

    def infer(self, x):
        return self.loss.predict(self.network(x))

    def train(self, x, y):
        out = self.network(x)
        self.optimizer.zero_grad()
        self.loss(out, y).backward()
        nn.utils.clip_grad_norm_(self.weights, 1)
        self.optimizer.step()
        with torch.no_grad():
            for weight in self.weights:
                weight.clamp_(-4, 4)
        return self.loss.predict(out.detach())


class Synaptic(Ours):
    """The same layers with stock ``snn.Synaptic`` neurons, called step by step."""

    def __init__(self, description):
        super().__init__(description)
        self.layers = nn.ModuleList()
        for layer in self.network.layers:
            if isinstance(layer, stp.StaticInput):
                self.layers += [layer.synapse, self.neuron()]
            elif isinstance(layer, stp.TSSLLIF):
                self.layers.append(self.neuron())
            elif isinstance(layer, nn.Linear):
                self.layers.append(nn.Linear(layer.in_features, layer.out_features, bias=False))
                self.layers[-1].weight = layer.weight
            elif isinstance(layer, nn.Flatten):
                self.layers.append(nn.Flatten())
            elif isinstance(layer, stp.SumPool2d):
                self.layers.append(nn.AvgPool2d(layer.kernel))  # as a user of snnTorch has it
            else:
                self.layers.append(layer.module if isinstance(layer, stp.OverTime) else layer)
        self.loss = stp.SpikeTrainDistance(3.0, input="spikes", reduction="sum")
        self.network = self

    @staticmethod
    def neuron():
        return snn.Synaptic(1 - 1 / 3, 0.8, reset_mechanism="zero", reset_delay=False)

    def __call__(self, x):
        outs: list[torch.Tensor] = []
        states = {
            k: layer.reset_mem()
            for k, layer in enumerate(self.layers)
            if type(layer) is snn.Synaptic
        }
        for _ in range(STEPS):
            spikes = x
            for k, layer in enumerate(self.layers):
                if isinstance(layer, snn.Synaptic):
                    spikes, *states[k] = layer(spikes, *states[k])
                else:
                    spikes = layer(spikes)
            outs.append(spikes)
        return torch.stack(outs)


class Program:
    """The authors' network, loss and training step."""

    def __init__(self, folder, config):
        torch.Tensor.cuda = nn.Module.cuda = lambda self, *_: self
        sys.path.insert(0, str(folder))
        import cnns
        import functions.loss_f as losses
        import global_v
        import yaml

        settings = yaml.safe_load((folder / "Networks" / config).read_text())
        self.settings = settings["Network"]
        global_v.init(STEPS, self.settings["tau_s"])
        with contextlib.redirect_stdout(io.StringIO()):
            self.network = cnns.Network(self.settings, settings["Layers"], [1, 28, 28])
        self.losses, self.error = losses, losses.SpikeLoss(self.settings)
        self.optimizer = torch.optim.AdamW(self.network.get_parameters(), lr=5e-4)
        wanted = torch.tensor([0.0, 1, 1, 1, 1]).view(1, 1, 1, 1, STEPS)
        self.wanted = losses.psp(wanted, self.settings).view(1, 1, 1, STEPS)

    def infer(self, x):
        out = self.network.forward(x.unsqueeze(-1).repeat(1, 1, 1, 1, STEPS), 0, False)
        return out.sum(4).flatten(1).argmax(1)

    def train(self, x, y):
        out = self.network.forward(x.unsqueeze(-1).repeat(1, 1, 1, 1, STEPS), 0, True)
        targets = torch.zeros(len(y), CLASSES, 1, 1, STEPS)
        for i, label in enumerate(y):
            targets[i, label] = self.wanted
        loss = self.error.spike_kernel(out, targets, self.settings)
        self.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.network.get_parameters(), 1)
        self.optimizer.step()
        self.network.weight_clipper()
        return out.detach().sum(4).flatten(1).argmax(1)


def compare(runs, batches, rounds):
    """Milliseconds of CPU per batch of each run, training and inference, interleaved.

    A turn is a block of batches, as in training: the first batch finds the caches full of what
    the others left there.
    """
    found = {name: {"train": [], "infer": []} for name in runs}
    for turn in range(rounds + 1):
        block = [batches[(turn * BLOCK + k) % len(batches)] for k in range(BLOCK)]
        for name, run in runs.items():
            for kind in ("train", "infer"):
                start = time.process_time()
                with torch.set_grad_enabled(kind == "train"):
                    for x, y in block:
                        run.train(x, y) if kind == "train" else run.infer(x)
                if turn:  # the first warms up
                    found[name][kind].append(1e3 * (time.process_time() - start) / BLOCK)
    return {
        name: {kind: statistics.median(values) for kind, values in kinds.items()}
        for name, kinds in found.items()
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--program", type=Path, help="clone of the authors' repository")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--out", type=Path, help="result file")
    options = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(1)
    figures = {}
    for name, (description, config, batch) in SHAPES.items():
        runs = {"ours": Ours(description), "snnTorch Synaptic": Synaptic(description)}
        if options.program:
            runs["authors' program"] = Program(options.program, config)
        images = stp.datasets.load("mnist", "train").subset(slice(0, IMAGES))
        x = (images.images - 0.1307) / 0.3081
        batches = list(zip(x.split(batch), images.labels.split(batch), strict=True))
        milliseconds = compare(runs, batches, options.rounds)
        figures[name] = {"batch": batch, "cpu_milliseconds": milliseconds, "times_faster": {}}
        for other, row in milliseconds.items():
            ratio = {kind: row[kind] / milliseconds["ours"][kind] for kind in row}
            figures[name]["times_faster"][other] = ratio
            print(
                f"{name:24} {other:18} train {row['train']:8.2f} ms ({ratio['train']:.1f}x), "
                f"infer {row['infer']:8.2f} ms ({ratio['infer']:.1f}x)"
            )
    if options.out:
        _results.save(options.out, figures, seed=0, rounds=options.rounds, block=BLOCK)


if __name__ == "__main__":
    main()
