"""Who is compared: every contestant trains on and classifies grey images ``[B, 784]`` (uint8).

A training step is encoding, forward, loss, backward and a fused Adam; an inference starts from what
the network reads (``encode`` is outside) and ends with a class. The dense networks cost the same
whatever their weights; the event-driven ones do not, so theirs come from one epoch of training by
their own rule, and the steps that are timed move them by next to nothing.
"""

import sys
from abc import ABC, abstractmethod
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import snn_temporal_plugins as stp

sys.path.insert(0, str(Path(__file__).parent))
from s4nn_program import Program

T_MAX, THRESHOLD, INPUTS, CLASSES = 256, 100.0, 784, 10


class Contestant(ABC):
    """A model, the rule it learns by and the way it reads images."""

    one_by_one = False  #: knows no batches
    steps = 1  #: of dense input
    batch = 128  #: in which it learns

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.optimizer: torch.optim.Optimizer = torch.optim.Adam(
            model.parameters(), 1e-6, fused=True
        )

    @abstractmethod
    def encode(self, images: Tensor) -> Tensor:
        """Images as this model reads them."""

    def loss(self, inputs: Tensor, labels: Tensor) -> Tensor:
        """Return what it minimises, unless it has a way to ``train`` of its own."""
        raise TypeError(f"{type(self).__name__} has no loss: it trains in its own way")

    @abstractmethod
    def classify(self, inputs: Tensor) -> Tensor:
        """Predicted classes of encoded images."""

    def rule(self) -> torch.optim.Optimizer:
        """What it learns with; the steps that are timed take a fused Adam."""
        return torch.optim.Adam(self.model.parameters(), 1e-3)

    def learn(self, images: Tensor, labels: Tensor) -> None:
        """One epoch of training."""
        timed, self.optimizer = self.optimizer, self.rule()
        for x, y in zip(images.split(self.batch), labels.split(self.batch), strict=True):
            self.train(x, y)
        self.optimizer = timed

    def accuracy(self, images: Tensor, labels: Tensor) -> float:
        """Share of right answers, in percent."""
        parts = images.split(1000)
        answers = torch.cat([self.classify(self.encode(part)) for part in parts])
        return 100 * (answers == labels).float().mean().item()

    def train(self, images: Tensor, labels: Tensor) -> None:
        self.optimizer.zero_grad()
        self.loss(self.encode(images), labels).backward()
        self.optimizer.step()

    def load(self, source: "Contestant") -> None:
        """Take over trained weights."""
        pairs = zip(self.model.parameters(), source.model.parameters(), strict=True)
        with torch.no_grad():
            for mine, theirs in pairs:
                mine.copy_(theirs)


class Relu(Contestant):
    def __init__(self, hidden: int) -> None:
        layers = nn.Linear(INPUTS, hidden), nn.ReLU(), nn.Linear(hidden, CLASSES)
        super().__init__(nn.Sequential(*layers))

    def encode(self, images: Tensor) -> Tensor:
        return images.float() / 255

    def loss(self, inputs: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(self.model(inputs), labels)

    def classify(self, inputs: Tensor) -> Tensor:
        return self.model(inputs).argmax(1)


class Timed(Contestant):
    """The rule of the S4NN paper, on normalised errors."""

    batch = 32

    def __init__(self, hidden: int, backend: str = "numba", t_max: int = T_MAX) -> None:
        self.t_max, options = t_max, {"t_max": t_max, "backend": backend, "error_norm": "sum"}
        model = nn.Sequential(
            self.layer(INPUTS, hidden, init=(0.0, 5.0), **options),
            self.layer(hidden, CLASSES, init=(0.0, 48.0), **options),
        )
        super().__init__(model)
        self.criterion = stp.RankOrderLoss(t_max, gamma=5, reduction="sum")

    def rule(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.model.parameters(), 0.8)

    def layer(self, inputs: int, outputs: int, **options) -> stp.Timed:
        neuron = stp.SingleSpikeIF(THRESHOLD, delay=1)
        return stp.Timed(nn.Linear(inputs, outputs, bias=False), neuron, **options)

    def encode(self, images: Tensor) -> Tensor:
        return stp.latency(images, self.t_max)

    def loss(self, inputs: Tensor, labels: Tensor) -> Tensor:
        return self.criterion(self.model(inputs), labels)

    def classify(self, inputs: Tensor) -> Tensor:
        return stp.first_spike_decision(self.model, inputs).label


class TimedMargin(Timed):
    """A margin on the potentials, surrogate gate, credit up to the decision: two forward runs."""

    def __init__(self, hidden: int) -> None:
        gate = {"delay": 1, "gate": "triangle"}
        fc, readout = nn.Linear(INPUTS, hidden, bias=False), nn.Linear(hidden, CLASSES, bias=False)
        nn.init.normal_(fc.weight, 0.8, 2.0)
        nn.init.normal_(readout.weight, 0.0, 5.0)
        self.t_max = T_MAX
        model = nn.Sequential(
            stp.Timed(fc, stp.SingleSpikeIF(THRESHOLD, **gate), t_max=T_MAX),
            stp.Timed(
                readout,
                stp.SingleSpikeIF(THRESHOLD, delay=1),
                t_max=T_MAX,
                error_to_silent=True,
                return_potential=True,
            ),
        )
        Contestant.__init__(self, model)
        self.window, self.criterion = stp.DecisionWindow(model), stp.PotentialMarginLoss(THRESHOLD)

    def rule(self) -> torch.optim.Optimizer:
        fc, readout = ({"params": [weight]} for weight in self.model.parameters())
        return torch.optim.Adam([fc | {"lr": 0.1}, readout | {"lr": 0.5}])

    def loss(self, inputs: Tensor, labels: Tensor) -> Tensor:
        times, potential = self.window(inputs)
        return self.criterion(times, labels, potential=potential)


class Clocked(Timed):
    """The same network over all time steps; without the normalisation, which needs ``Timed``."""

    steps = T_MAX

    def encode(self, images: Tensor) -> Tensor:
        return stp.spike_train(super().encode(images), self.t_max)

    def run(self, train: Tensor) -> tuple[Tensor, Tensor]:
        for layer in self.model:
            train, potential = layer.neuron(layer.synapse(train))
        return train, potential

    def loss(self, inputs: Tensor, labels: Tensor) -> Tensor:
        return self.criterion.from_spikes(self.run(inputs)[0], labels)

    def classify(self, inputs: Tensor) -> Tensor:
        return self.criterion.predict(stp.first_spike_times(self.run(inputs)[0]))


class Rate(Contestant):
    """Leaky neurons of a host, cross-entropy on the numbers of output spikes."""

    def __init__(self, model: nn.Module, steps: int) -> None:
        super().__init__(model)
        self.steps = steps

    def encode(self, images: Tensor) -> Tensor:
        return stp.spike_train(stp.latency(images, self.steps), self.steps)

    @abstractmethod
    def counts(self, train: Tensor) -> Tensor:
        """Return the numbers of output spikes."""

    def loss(self, inputs: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(self.counts(inputs), labels)

    def classify(self, inputs: Tensor) -> Tensor:
        return self.counts(inputs).argmax(1)


class SnnTorch(Rate):
    def __init__(self, hidden: int, steps: int) -> None:
        import snntorch as snn

        layers = nn.Linear(INPUTS, hidden), snn.Leaky(0.95), nn.Linear(hidden, CLASSES)
        super().__init__(nn.Sequential(*layers, snn.Leaky(0.95)), steps)

    def counts(self, train: Tensor) -> Tensor:
        fc, hidden, readout, output = self.model
        state, out_state, counted = hidden.reset_mem(), output.reset_mem(), []
        for step in train:
            spikes, state = hidden(fc(step), state)
            spikes, out_state = output(readout(spikes), out_state)
            counted.append(spikes)
        return torch.stack(counted).sum(0)


class Norse(Rate):
    def __init__(self, hidden: int, steps: int) -> None:
        import norse.torch as norse

        model = norse.SequentialState(
            norse.Lift(nn.Linear(INPUTS, hidden)),
            norse.LIF(),
            norse.Lift(nn.Linear(hidden, CLASSES)),
            norse.LIF(),
        )
        super().__init__(model, steps)

    def counts(self, train: Tensor) -> Tensor:
        return self.model(train)[0].sum(0)


class SpikingJelly(Rate):
    def __init__(self, hidden: int, steps: int) -> None:
        from spikingjelly.activation_based import functional, layer, neuron

        model = nn.Sequential(
            layer.Linear(INPUTS, hidden, step_mode="m"),
            neuron.LIFNode(step_mode="m"),
            layer.Linear(hidden, CLASSES, step_mode="m"),
            neuron.LIFNode(step_mode="m"),
        )
        super().__init__(model, steps)
        self.reset = functional.reset_net

    def counts(self, train: Tensor) -> Tensor:
        self.reset(self.model)
        return self.model(train).sum(0)


class Authors(Contestant):
    """The program of the S4NN authors, vectorised; it learns image by image."""

    one_by_one = True

    def __init__(self, hidden: int) -> None:
        self.model = nn.Sequential(
            nn.Linear(INPUTS, hidden, bias=False), nn.Linear(hidden, CLASSES, bias=False)
        )

    def load(self, source: Contestant) -> None:
        super().load(source)
        self.program = Program(*(p.detach().double().numpy() for p in self.model.parameters()))

    def encode(self, images: Tensor) -> Tensor:
        return images

    def train(self, images: Tensor, labels: Tensor) -> None:
        self.program.train(images[0].numpy(), int(labels[0]))

    def classify(self, inputs: Tensor) -> Tensor:
        return torch.tensor([self.program.predict(inputs[0].numpy())])
