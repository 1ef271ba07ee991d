"""
Learning rules for S4NN networks
================================

The four rules that :ref:`sphx_glr_auto_tutorials_02_papers_plot_s4nn.py` and ``run_s4nn.py``
compare, each a choice of options of neurons, layers and losses. All of them train the same
networks: latency code, non-leaky single-spike neurons, the first output spike decides.

=========  ==============================  =======================  ==============
rule       error of the outputs            gate of hidden neurons   optimiser
=========  ==============================  =======================  ==============
``paper``  relative target times           the spike                normalised SGD
``C``      relative target times           triangle at threshold    normalised SGD
``B``      margin on the potentials        triangle at threshold    normalised SGD
``A``      margin on the potentials        triangle at threshold    AdamW
=========  ==============================  =======================  ==============
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

import snn_temporal_plugins as stp

T_MAX, THRESHOLD = 256, 100.0
RULES = ("paper", "C", "B", "A")
NETWORKS = ("dense", "conv")
LATE_DRIVES = {  # chosen on validation data: 250 and 200 in total by step 253
    "mnist": (226, 250 / 28),
    "fashion-mnist": (225, 200 / 29),
}


class Silenced(nn.Module):
    """Silence each spike with a probability, in training; what is left is not scaled up."""

    def __init__(self, share: float):
        super().__init__()
        self.share = share

    def forward(self, times: Tensor) -> Tensor:
        if not (self.training and self.share):
            return times
        return times.masked_fill(torch.rand_like(times) < self.share, float("inf"))


def mixed(mean: float, spread: float) -> Callable[[Tensor], Tensor]:
    """Initialiser with weights of both signs."""
    return lambda weight: nn.init.normal_(weight, mean, spread)


def gated(width: float | None = None) -> stp.SingleSpikeIF:
    """Hidden neuron that also learns when it nearly fired."""
    return stp.SingleSpikeIF(THRESHOLD, delay=1, gate="triangle", width=width)


def dense(
    rule: str,
    *,
    hidden: int = 400,
    inputs: int = 784,
    beta: float | None = None,
    hidden_drop: float = 0.0,
    potential: str = "decision",
) -> nn.Module:
    """Two fully connected layers that map spike times to output times and potentials.

    ``beta`` is the homeostatic term of the rules on time targets, ``hidden_drop`` the share of
    hidden spikes that are silenced while training, ``potential`` that of ``DecisionWindow``.
    """
    surrogate, timing = rule != "paper", rule in ("paper", "C")
    error = {
        "error_norm": None if rule == "A" else "sum",
        "beta": (0.1 if beta is None else beta) if timing else 0.0,
    }
    first = stp.Timed(
        nn.Linear(inputs, hidden, bias=False),
        gated() if surrogate else stp.SingleSpikeIF(THRESHOLD, delay=1),
        t_max=T_MAX,
        init=mixed(0.8, 2.0) if surrogate else (0.0, 5.0),
        **error,
    )
    second = stp.Timed(
        nn.Linear(hidden, 10, bias=False),
        stp.SingleSpikeIF(THRESHOLD, delay=1),
        t_max=T_MAX,
        init=mixed(0.0, 5.0) if surrogate else (0.0, 48.0),
        error_to_silent=surrogate,
        return_potential=True,
        **error,
    )
    layers = (first, Silenced(hidden_drop), second) if hidden_drop else (first, second)
    model = nn.Sequential(*layers)
    return stp.DecisionWindow(model, potential=potential) if surrogate else model


def convolutional(*, channels: tuple[int, int] = (16, 32), hidden_drop: float = 0.0) -> nn.Module:
    """Two convolutions, a pool between them that keeps the first spike of 2 x 2, ten outputs.

    Weights start with both signs and means of zero, gates are twice as wide as in dense networks.
    """
    few, many = channels

    def layer(synapse: nn.Module, neuron: stp.SingleSpikeIF, spread: float, **more) -> stp.Timed:
        return stp.Timed(synapse, neuron, t_max=T_MAX, init=mixed(0.0, spread), **more)

    passing = {"error_to_silent": True}
    model = nn.Sequential(
        nn.Unflatten(1, (1, 28, 28)),
        layer(nn.Conv2d(1, few, 5, bias=False), gated(160.0), 20.0),
        stp.FirstSpikePool2d(2),
        layer(nn.Conv2d(few, many, 5, bias=False), gated(160.0), 4.0, **passing),
        nn.Flatten(),
        Silenced(hidden_drop),
        layer(
            nn.Linear(64 * many, 10, bias=False),
            stp.SingleSpikeIF(THRESHOLD, delay=1),
            3.0,
            return_potential=True,
            **passing,
        ),
    )
    return stp.DecisionWindow(model, potential="decision")


class Training:
    """A network, its loss, its optimiser, and the running average of its weights.

    Parameters
    ----------
    rule : {"paper", "C", "B", "A"}
        Learning rule.
    steps, epochs : int
        Batches per epoch, and epochs: the step size depends on them.
    network : {"dense", "conv"}
        Which network; the convolutional one is trained by rule A.
    gamma : float, optional
        Time margin of the rules on time targets, in steps.
    margin, temperature : float
        Of the rules on potentials, in thresholds.
    rate : float
        Multiplies all learning rates.
    average : float
        Share of the running average that stays at each step.
    pull : float
        Extra error on a label that stayed silent, with every output silent.
    spare : bool
        Whether wrong outputs get no error where every output is silent.
    balance : float, optional
        Mean at which the output weights of each hidden neuron are kept; they are free by default.
    slack : float
        Threshold of the outputs in training, divided by that of the averaged network.
    options
        Of :func:`dense` or :func:`convolutional`.
    """

    def __init__(
        self,
        rule: str,
        *,
        steps: int,
        epochs: int,
        network: str = "dense",
        gamma: float | None = None,
        margin: float = 1.0,
        temperature: float = 0.2,
        rate: float = 1.0,
        average: float = 0.998,
        pull: float = 0.0,
        spare: bool = False,
        balance: float | None = None,
        slack: float = 1.0,
        **options,
    ):
        self.rule, self.pull, self.spare, self.balance = rule, pull, spare, balance
        self.model = convolutional(**options) if network == "conv" else dense(rule, **options)
        self.layers = [m for m in self.model.modules() if isinstance(m, stp.Timed)]
        if rule in ("paper", "C"):
            gamma = gamma or (5 if rule == "paper" else 30)
            self.loss = stp.RankOrderLoss(T_MAX, gamma=gamma, reduction="sum")
        else:
            self.loss = stp.PotentialMarginLoss(
                THRESHOLD,
                margin=margin * THRESHOLD,
                temperature=temperature * THRESHOLD,
                reduction="sum",
            )

        def decay(step: int) -> float:
            linear = 1 - step / (steps * epochs)
            return linear if rule in ("A", "B") else 0.92 ** (step // steps)

        self._keep_balance()
        self.optimizer = self._optimizer(rate)
        self.schedule = torch.optim.lr_scheduler.LambdaLR(self.optimizer, decay)
        self.average = AveragedModel(self.model, multi_avg_fn=get_ema_multi_avg_fn(average))
        self.outputs.neuron.threshold = THRESHOLD / slack

    @property
    def outputs(self) -> stp.Timed:
        """Output layer of the averaged network."""
        return [m for m in self.average.modules() if isinstance(m, stp.Timed)][-1]

    def _optimizer(self, rate: float) -> torch.optim.Optimizer:
        if self.rule != "A":
            return torch.optim.SGD(self.model.parameters(), lr=0.8 * rate, fused=True)
        rates = (0.1, 0.5) if len(self.layers) == 2 else (0.5, 0.2, 0.3)
        groups = [
            {"params": layer.parameters(), "lr": rate * lr, "weight_decay": 1e-4 / (rate * lr)}
            for layer, lr in zip(self.layers, rates, strict=True)
        ]
        return torch.optim.AdamW(groups, eps=1e-6, fused=True)

    @torch.no_grad()
    def _keep_balance(self) -> None:
        if self.balance is not None:
            weight = self.layers[-1].synapse.weight
            weight += self.balance - weight.mean(0)

    def _forward(self, times: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        if self.rule == "C":  # its errors reach beyond the first spike
            return self.model(times, lambda out: self.loss.has_error(out, labels))
        return self.model(times)

    def step(self, times: Tensor, labels: Tensor) -> Tensor:
        """Train on one batch; returns how many samples were right before."""
        out, potential = self._forward(times, labels)
        self.optimizer.zero_grad()
        silent, label = torch.isinf(out).all(1), labels[:, None]
        if self.spare:
            spared = silent[:, None].expand_as(out).scatter(1, label, False)
            potential = potential.detach().where(spared, potential)
        loss = self.loss(out, labels, potential=potential)
        if self.pull:
            loss = loss - self.pull * potential.gather(1, label)[silent].sum()
        loss.backward()
        self.optimizer.step()
        self.schedule.step()
        self._keep_balance()
        self.average.update_parameters(self.model)
        return (self.loss.predict(out.detach(), potential=potential.detach()) == labels).sum()

    def parts(self) -> dict[str, object]:
        """Return everything that a checkpoint must hold."""
        names = ("model", "optimizer", "schedule", "average")
        return {name: getattr(self, name) for name in names}
