"""
Learning rules for binary networks
==================================

The rules that :ref:`sphx_glr_auto_tutorials_02_papers_plot_bs4nn.py` and ``run_bs4nn.py`` compare
on networks 784-H-10 whose synapses are all binary.

==========  ============================  =============================  ====================
rule        neurons                       error                          optimiser
==========  ============================  =============================  ====================
``margin``  single spike, triangle gate   margin on the potentials       Adam, averaged signs
``paper``   single spike                  relative target times          SGD, learned scales
``relu``    ReLU                          cross-entropy                  Adam, averaged signs
``sign``    binary activations            cross-entropy                  Adam, averaged signs
==========  ============================  =============================  ====================

``margin`` is this project's rule, ``paper`` that of the authors of BS4NN, the last two are the
rivals: a network of the same shape and binarisation without time (BNN).
"""

from abc import ABC, abstractmethod
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

import snn_temporal_plugins as stp
from snn_temporal_plugins import _training

T_MAX = 256
HIDDEN_THRESHOLD, OUTPUT_THRESHOLD = 24.5, 11.5  # counts: fire at 25 and at 12
LATE_DRIVE = (226, 1.0)  # one count per step at the end of the window, for the outputs alone


def network(hidden: int, *, width: float = 20.0) -> nn.Sequential:
    """Binary network of single-spike neurons, 784-hidden-10, with potentials in whole counts."""
    first = stp.BinaryLinear(784, hidden, scale=1.0, clip=1.0)
    last = stp.BinaryLinear(hidden, 10, scale=1.0, clip=1.0)
    with torch.no_grad():
        first.weight.uniform_(-0.24, 0.36)  # mostly positive: the potential has to rise
        last.weight.uniform_(-0.3, 0.3)
    gated = stp.SingleSpikeIF(HIDDEN_THRESHOLD, delay=1, gate="triangle", width=width)
    plain = stp.SingleSpikeIF(OUTPUT_THRESHOLD, delay=1)
    options: dict[str, Any] = {"error_to_silent": True, "return_potential": True}
    return nn.Sequential(
        stp.Timed(first, gated, t_max=T_MAX), stp.Timed(last, plain, t_max=T_MAX, **options)
    )


def shifted(images: Tensor, reach: int) -> Tensor:
    """Move each image by up to ``reach`` pixels in each direction, black outside."""
    padded = F.pad(images, (reach,) * 4)
    size = images.shape[-1]
    down, right = torch.randint(0, 2 * reach + 1, (2, len(images), 1))
    rows = (down + torch.arange(size)).unsqueeze(2)
    columns = (right + torch.arange(size)).unsqueeze(1)
    return padded[torch.arange(len(images))[:, None, None], 0, rows, columns].unsqueeze(1)


class Run(ABC):
    """A network, its optimiser, its schedule, and the running average of its weights.

    Parameters
    ----------
    options : argparse.Namespace
        The options of ``run_bs4nn.py``.
    steps : int
        Batches of the whole training: the step size falls linearly to 0.
    """

    def __init__(self, options: Any, steps: int) -> None:
        self.options = options
        self.network = self.build()
        self.optimizer = torch.optim.Adam(
            self.network.parameters(), lr=options.lr, eps=1e-6, fused=True
        )
        self.schedule = torch.optim.lr_scheduler.LinearLR(self.optimizer, 1.0, 0.0, steps)
        average = get_ema_multi_avg_fn(options.average)
        self.average = AveragedModel(self.network, multi_avg_fn=average)

    @abstractmethod
    def build(self) -> nn.Sequential:
        """Return the network."""

    @abstractmethod
    def learn(self, images: Tensor, labels: Tensor) -> Tensor:
        """Fill the gradients; returns the predicted classes."""

    def step(self, images: Tensor, labels: Tensor) -> Tensor:
        """Train on one batch; returns how many samples were right before."""
        if self.options.shift:
            images = shifted(images, self.options.shift)
        self.optimizer.zero_grad()
        predicted = self.learn(images, labels)
        self.update()
        return (predicted == labels).sum()

    def update(self) -> None:
        """Step the weights and their average."""
        self.optimizer.step()
        self.schedule.step()
        for module in self.network.modules():
            if isinstance(module, stp.BinaryLinear):
                module.constrain_()
        self.average.update_parameters(self.network)

    def parts(self) -> dict[str, Any]:
        """Return everything that a checkpoint must hold."""
        names = ("network", "optimizer", "schedule", "average")
        return {name: getattr(self, name) for name in names}

    def result(self) -> nn.Module:
        """Network to use in the end."""
        return self.average.module

    def evaluate(self, images: Tensor, labels: Tensor) -> dict[str, Any]:
        """Figures on images the run has not seen."""
        return evaluate_timed(self.result(), images, labels)

    def watch(self) -> dict[str, float]:
        """Share of positive signs, and scale, of each layer, for the history of the run."""
        row = {}
        synapses = (m for m in self.network.modules() if isinstance(m, stp.BinaryLinear))
        for k, synapse in enumerate(synapses, 1):
            row[f"positive_{k}"] = (synapse.weight >= 0).double().mean().item()
            row[f"scale_{k}"] = synapse.scale.item()
        return row


class Margin(Run):
    """This project's rule: every output learns from its potential at the decision."""

    def build(self) -> nn.Sequential:
        chosen = self.options
        self.loss = stp.PotentialMarginLoss(
            OUTPUT_THRESHOLD,
            margin=chosen.margin,
            temperature=chosen.temperature,
            push=chosen.push,
            reduction="sum",
        )
        layers = network(chosen.hidden, width=chosen.width)
        self.window = stp.DecisionWindow(layers, potential="decision")
        return layers

    def learn(self, images: Tensor, labels: Tensor) -> Tensor:
        times, potential = self.window(stp.latency(images.flatten(1), T_MAX))
        self.loss(times, labels, potential=potential).backward()
        return self.loss.predict(times.detach(), potential=potential.detach())


class Paper(Run):
    """The authors' rule and settings: one image at a time, in place, two learned scales.

    ``repair`` names what is put right: the ``scale`` is frozen where the authors' published
    weights have it, the ``range`` of the first latent weights has both signs and is small against
    a step, latent weights ``decay``, a ``gate`` lets hidden neurons learn that did not fire, and
    a sample without an output spike pulls its label instead of teaching nothing (``silent``).
    """

    def build(self) -> nn.Sequential:
        self.repair = set(self.options.repair)
        hidden, gate = self.options.hidden, "gate" in self.repair
        first = self.layer(784, hidden, 5.0, 4.037, (-1.0, 1.5))
        last = self.layer(hidden, 10, 48.0, 9.065, (-1.0, 1.0))
        if gate:
            first.neuron = stp.SingleSpikeIF(100.0, delay=1, gate="triangle", width=80.0)
        last.error_to_silent, last.return_potential = gate, True
        self.loss = stp.RankOrderLoss(T_MAX, gamma=1, reduction="sum")
        self.scaling = torch.optim.SGD([layer.synapse.scale for layer in (first, last)], lr=0.01)
        self.weights = torch.optim.SGD(
            [layer.synapse.weight for layer in (first, last)],
            lr=self.options.lr,
            weight_decay=1e-6 * ("decay" in self.repair),
        )
        self.seen, self.mute = 0, 0
        return nn.Sequential(first, last)

    def layer(
        self, inputs: int, outputs: int, high: float, scale: float, span: tuple[float, float]
    ) -> stp.Timed:
        """Weights start in 0 ... ``high`` and the scale at 5 unless they are repaired."""
        learned = "scale" not in self.repair
        synapse = stp.BinaryLinear(
            inputs, outputs, scale=5.0 if learned else scale, learn_scale=learned
        )
        nn.init.uniform_(synapse.weight, *(span if "range" in self.repair else (0.0, high)))
        neuron = stp.SingleSpikeIF(100.0, delay=1)
        return stp.Timed(synapse, neuron, t_max=T_MAX, error_norm="sum", beta=self.options.lr)

    def learn(self, images: Tensor, labels: Tensor) -> Tensor:
        times, potential = self.network(stp.latency(images.flatten(1), T_MAX))
        fired = torch.isfinite(times.detach()).any(1)
        self.seen, self.mute = self.seen + len(fired), self.mute + int((~fired).sum())
        taught = fired | ("silent" in self.repair)
        if taught.any():
            self.loss(times[taught], labels[taught]).backward()
        return self.loss.predict(times.detach(), potential=potential.detach())

    def update(self) -> None:
        if self.network[0].synapse.weight.grad is None:
            return
        self.weights.step()
        if "scale" not in self.repair:
            for layer in self.network:
                layer.synapse.refresh_scale_grad_()
            self.scaling.step()

    def result(self) -> nn.Module:
        return self.network

    def evaluate(self, images: Tensor, labels: Tensor) -> dict[str, Any]:
        return evaluate_timed(self.network, images, labels, {"plain": None})

    def watch(self) -> dict[str, float]:
        row = super().watch() | {"silent": self.mute / max(self.seen, 1)}
        self.seen, self.mute = 0, 0
        return row


class Dense(Run):
    """A network of the same shape and binarisation without time."""

    activation: type[nn.Module] = nn.ReLU

    def build(self) -> nn.Sequential:
        hidden = self.options.hidden
        return nn.Sequential(
            stp.BinaryLinear(784, hidden, scale=0.1, clip=1.0, backward="straight_through"),
            self.activation(),
            stp.BinaryLinear(hidden, 10, scale=0.1, clip=1.0, backward="straight_through"),
        )

    def learn(self, images: Tensor, labels: Tensor) -> Tensor:
        scores = self.network(images.flatten(1))
        F.cross_entropy(scores, labels).backward()
        return scores.argmax(1)

    def evaluate(self, images: Tensor, labels: Tensor) -> dict[str, Any]:
        with torch.no_grad():
            right = self.result()(images.flatten(1)).argmax(1) == labels
        return {"plain": {"strict": right.double().mean().item(), "samples": len(labels)}}


class Sign(nn.Module):
    """Binary activations with the straight-through gradient, 0 outside -1 ... 1."""

    def forward(self, x: Tensor) -> Tensor:
        passed = x.clamp(-1, 1)
        return passed + (torch.where(x >= 0, 1.0, -1.0) - passed).detach()


class DenseSign(Dense):
    """Binary weights and binary activations."""

    activation = Sign


RULES: dict[str, type[Run]] = {
    "margin": Margin,
    "paper": Paper,
    "relu": Dense,
    "sign": DenseSign,
}


def evaluate_timed(
    model: nn.Module, images: Tensor, labels: Tensor, drives: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Figures without and with the late drive of the outputs."""
    figures = {}
    neuron = model[-1].neuron
    for name, drive in (drives or {"plain": None, "driven": LATE_DRIVE}).items():
        neuron.late_drive = drive
        report = _training.evaluate(
            model, images.flatten(1), labels, t_max=T_MAX, encode=lambda x: stp.latency(x, T_MAX)
        )
        figures[name] = report.compute()
    neuron.late_drive = None
    return figures
