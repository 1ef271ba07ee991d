"""
Learning rules for S4NN networks
================================

The four rules that :ref:`sphx_glr_auto_tutorials_02_papers_plot_s4nn.py` and ``run_s4nn.py``
compare, each a choice of options of neurons, layers and losses. All of them train the same
network: latency code, non-leaky single-spike neurons, the first output spike decides.

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
LATE_DRIVE = (226, 250 / 28)  # 250 in total by step 253; chosen on validation data


def mixed(mean: float, spread: float) -> Callable[[Tensor], Tensor]:
    """Initialiser with weights of both signs."""
    return lambda weight: nn.init.normal_(weight, mean, spread)


def network(
    rule: str,
    *,
    hidden: int = 400,
    inputs: int = 784,
    classes: int = 10,
    beta: float | None = None,
    slack: float = 1.0,
) -> nn.Module:
    """Two event-driven layers that map spike times to output times and potentials.

    ``beta`` is the homeostatic term of the rules on time targets, ``slack`` multiplies the
    threshold of the outputs while they are trained.
    """
    surrogate, timing = rule != "paper", rule in ("paper", "C")
    error = {
        "error_norm": None if rule == "A" else "sum",
        "beta": (0.1 if beta is None else beta) if timing else 0.0,
    }
    first = stp.Timed(
        nn.Linear(inputs, hidden, bias=False),
        stp.SingleSpikeIF(THRESHOLD, delay=1, gate="triangle" if surrogate else "spike"),
        t_max=T_MAX,
        init=mixed(0.8, 2.0) if surrogate else (0.0, 5.0),
        **error,
    )
    second = stp.Timed(
        nn.Linear(hidden, classes, bias=False),
        stp.SingleSpikeIF(THRESHOLD * slack, delay=1),
        t_max=T_MAX,
        init=mixed(0.0, 5.0) if surrogate else (0.0, 48.0),
        error_to_silent=surrogate,
        return_potential=True,
        **error,
    )
    model = nn.Sequential(first, second)
    return model if timing else stp.DecisionWindow(model, potential="decision")


class Training:
    """A network, its loss, its optimiser, and the running average of its weights.

    Parameters
    ----------
    rule : {"paper", "C", "B", "A"}
        Learning rule.
    steps, epochs : int
        Batches per epoch, and epochs: the step size depends on them.
    gamma : float, optional
        Time margin of the rules on time targets, in steps.
    pull : float, default=0
        Extra error on a label that stayed silent, with every output silent.
    options
        Of :func:`network`.
    """

    def __init__(
        self,
        rule: str,
        *,
        steps: int,
        epochs: int,
        gamma: float | None = None,
        pull: float = 0.0,
        **options,
    ):
        self.rule, self.pull, self.model = rule, pull, network(rule, **options)
        self.first, self.second = [m for m in self.model.modules() if isinstance(m, stp.Timed)]
        threshold = self.second.neuron.threshold
        if rule in ("paper", "C"):
            gamma = gamma or (5 if rule == "paper" else 30)
            self.loss = stp.RankOrderLoss(T_MAX, gamma=gamma, reduction="sum")
        else:
            self.loss = stp.PotentialMarginLoss(threshold, margin=threshold, reduction="sum")

        def decay(step: int) -> float:
            linear = 1 - step / (steps * epochs)
            return linear if rule in ("A", "B") else 0.92 ** (step // steps)

        self.optimizer = self._optimizer()
        self.schedule = torch.optim.lr_scheduler.LambdaLR(self.optimizer, decay)
        self.average = AveragedModel(self.model, multi_avg_fn=get_ema_multi_avg_fn(0.998))

    def _optimizer(self) -> torch.optim.Optimizer:
        if self.rule != "A":
            return torch.optim.SGD(self.model.parameters(), lr=0.8, fused=True)
        groups = [
            {"params": self.first.parameters(), "lr": 0.1, "weight_decay": 1e-3},
            {"params": self.second.parameters(), "lr": 0.5, "weight_decay": 2e-4},
        ]
        return torch.optim.AdamW(groups, eps=1e-6, fused=True)

    def step(self, times: Tensor, labels: Tensor) -> Tensor:
        """Train on one batch; returns how many samples were right before."""
        out, potential = self.model(times)
        self.optimizer.zero_grad()
        loss = self.loss(out, labels, potential=potential)
        if self.pull:
            silent = torch.isinf(out).all(1)
            loss = loss - self.pull * potential.gather(1, labels[:, None])[silent].sum()
        loss.backward()
        self.optimizer.step()
        self.schedule.step()
        self.average.update_parameters(self.model)
        return (self.loss.predict(out.detach(), potential=potential.detach()) == labels).sum()

    def parts(self) -> dict[str, object]:
        """Return everything that a checkpoint must hold."""
        names = ("model", "optimizer", "schedule", "average")
        return {name: getattr(self, name) for name in names}
