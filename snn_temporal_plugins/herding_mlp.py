"""Training by spikes alone: forward spikes, error spikes, additions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from . import _checks

CHUNK = 1000  # samples between two looks at the generator


@dataclass(frozen=True)
class OperationCounts:
    """What a network of herding units did; two can be added.

    Parameters
    ----------
    samples, right : int
        How many samples, and how many of them were classified right (before learning from them); a
        tie is not right.
    spikes : tuple of int
        Spikes of each layer, the input first.
    errors, passed : tuple of int
        Error spikes that reached the units of each layer, and those that passed the gate; that of
        the input is 0.
    forward, backward, update : int
        Additions of weights to potentials, of weights to error potentials, and to weights.

    Examples
    --------
    >>> import snn_temporal_plugins as stp
    >>> counts = stp.OperationCounts(1, 1, (4, 2), (0, 1), (0, 1), 8, 2, 6)
    >>> (counts + counts).additions
    32
    """

    samples: int
    right: int
    spikes: tuple[int, ...]
    errors: tuple[int, ...]
    passed: tuple[int, ...]
    forward: int
    backward: int
    update: int

    @property
    def additions(self) -> int:
        """All additions."""
        return self.forward + self.backward + self.update

    def __add__(self, other: OperationCounts) -> OperationCounts:
        def total(name: str) -> Any:
            a, b = getattr(self, name), getattr(other, name)
            return tuple(map(sum, zip(a, b, strict=True))) if isinstance(a, tuple) else a + b

        return OperationCounts(*(total(name) for name in self.__dataclass_fields__))


class HerdingMLP(nn.Module):
    r"""Fully connected network that computes and learns with signed spikes, by additions only.

    The input is herded into spikes, hidden and output units are rectified
    (:class:`~snn_temporal_plugins.HerdingReLU`). In each step the output spikes are compared with
    the one-hot target; every difference is an error spike :math:`e`. It passes the gate of a unit
    whose running sum is not negative, travels down over the weights and is herded again. With
    counts :math:`c` of T steps,

    .. math::
        \Delta w_{ij} = -\frac{\eta}{T^2}\, c_i\, c^e_j \quad \text{(sgd)}, \qquad
        \Delta w_{ij} = -\frac{\eta}{T^2} \sum_{\text{error spikes } e_j(t)} e_j(t)\, c_i(t)
        \quad \text{(fsgd)}

    which tends to gradient descent on half the squared error of the ReLU network.

    Parameters
    ----------
    sizes : sequence of int
        Numbers of inputs, hidden units and outputs.
    num_steps : int, default=10
        Steps T per sample.
    lr : float, default=0.01
        Learning rate :math:`\eta`.
    update : {"sgd", "fsgd"}, default="sgd"
        Change weights once per sample, or at every error spike ("fractional"; the effective rate is
        :math:`\eta (T + 1) / 2T`).
    order : {"step", "event"}, default="step"
        Test thresholds after all spikes of a step, or after every one (the paper). Same limit; in
        event order, spikes of transient crossings are sent, too.
    back_reset : {"none", "random", "zero"}, default="none"
        What the residues of the herded errors start a sample with: those of the sample before,
        uniform noise, or 0, with which nothing smaller than half a spike per sample is learned.
    gate : {"causal", "final"}, default="causal"
        Whether error spikes pass by the running sum so far, or are sent after the last step.
    error_quantum : float, default=1.0
        Size of an error spike of a hidden unit. A smaller one makes the errors of few steps less
        coarse, at the cost of more of them; those of the output are whole.
    smooth : bool, default=False
        Multiply errors by the running sums of the inputs' potentials instead of spike counts.
    weight_std : float, default=0.01
        Standard deviation of the initial weights. There are no biases.

    Raises
    ------
    ImportError
        If numba is not installed.
    ValueError
        If an option is outside its range, or an input has the wrong shape or is not finite.
    RuntimeError
        If a network diverges: more than 64 spikes per unit in one step. Nothing has changed then.

    Notes
    -----
    *Shapes.* ``network(x [B, I])`` gives the mean output potentials ``[B, O]``, which are neither
    rectified nor quantised; the decision is their argmax. A silent network decides 0.

    *Parameters* are those of ``layers``, bias-free ``nn.Linear``. Autograd has no part in
    :meth:`learn`, which changes them in place, sample by sample; the residues of the errors, in
    quanta, are a buffer, so that a saved network goes on exactly.

    *Ties.* Spikes of one step travel by falling residue, then rising index.

    References
    ----------
    .. [1] P. O'Connor, M. Welling, "Deep Spiking Networks", 2016, arXiv:1602.08323. Program:
       github.com/petered/DeepSpike.

    Examples
    --------
    >>> import torch, snn_temporal_plugins as stp
    >>> network = stp.HerdingMLP([4, 16, 3], lr=0.1, weight_std=0.5).double()
    >>> x, labels = torch.rand(50, 4).double(), torch.randint(0, 3, (50,))
    >>> counts = network.learn(x, labels)
    >>> counts.samples, counts.additions > 0
    (50, True)
    """

    residue: Tensor

    def __init__(
        self,
        sizes: Sequence[int],
        num_steps: int = 10,
        *,
        lr: float = 0.01,
        update: str = "sgd",
        order: str = "step",
        back_reset: str = "none",
        gate: str = "causal",
        error_quantum: float = 1.0,
        smooth: bool = False,
        weight_std: float = 0.01,
    ) -> None:
        super().__init__()
        owner = "HerdingMLP"
        if len(sizes) < 2:
            raise ValueError(f"{owner}: sizes must name inputs and outputs, got {list(sizes)}.")
        for k, size in enumerate(sizes):
            _checks.integer(owner, f"sizes[{k}]", size, 1)
        self.num_steps = _checks.integer(owner, "num_steps", num_steps, 1)
        self.lr = _checks.non_negative(owner, "lr", lr)
        self.update: str = _checks.choice(owner, "update", update, ("sgd", "fsgd"))
        self.order: str = _checks.choice(owner, "order", order, ("step", "event"))
        self.back_reset: str = _checks.choice(
            owner, "back_reset", back_reset, ("none", "random", "zero")
        )
        self.gate: str = _checks.choice(owner, "gate", gate, ("causal", "final"))
        self.error_quantum = _checks.positive(owner, "error_quantum", error_quantum)
        self.smooth = bool(smooth)
        _ = self._op  # compiled, or the error that numba is missing, now rather than in forward
        layers = [nn.Linear(n, m, bias=False) for n, m in pairwise(sizes)]
        for layer in layers:
            nn.init.normal_(layer.weight, 0.0, _checks.positive(owner, "weight_std", weight_std))
        self.layers = nn.ModuleList(layers)
        self.register_buffer("residue", torch.zeros(sum(sizes[1:-1])))

    def extra_repr(self) -> str:
        text = f"num_steps={self.num_steps}, lr={self.lr:g}, update={self.update!r}"
        text += f", order={self.order!r}, back_reset={self.back_reset!r}, gate={self.gate!r}"
        if self.error_quantum != 1:
            text += f", error_quantum={self.error_quantum:g}"
        return text + (", smooth=True" if self.smooth else "")

    @property
    def _op(self) -> Any:
        from .kernels.herding import op

        return op

    @property
    def weights(self) -> list[Tensor]:
        """Weights ``[O, I]`` of all layers, without gradient."""
        return [layer.get_parameter("weight").detach() for layer in self.layers]

    def forward(self, x: Tensor, *, return_spikes: bool = False) -> Any:
        """Mean output potentials of ``x [B, I]``: ``[B, O]``; and spikes per layer ``[B, L + 1]``.

        ``return_spikes`` adds the second; layer 0 is the input.
        """
        self._check("HerdingMLP", x)
        event = self.order == "event"
        scores, spikes = self._op.herding_mlp(x, self.weights, self.num_steps, event)
        return (scores, spikes) if return_spikes else scores

    def count(self, x: Tensor, labels: Tensor) -> OperationCounts:
        """Classify ``x [B, I]`` without learning, and count."""
        scores, spikes = self(x, return_spikes=True)
        labels = _checks.targets("HerdingMLP.count", labels, len(x), scores.shape[1])
        sent = tuple(spikes.sum(0).tolist())
        fan_out = [len(weight) for weight in self.weights]
        additions = sum(n * fan for n, fan in zip(sent, fan_out, strict=False))
        own = scores.gather(1, labels.unsqueeze(1))
        right = int(((scores >= own).sum(1) == 1).sum())
        none = (0,) * len(sent)
        return OperationCounts(len(x), right, sent, none, none, additions, 0, 0)

    def learn(self, x: Tensor, labels: Tensor) -> OperationCounts:
        """Learn from the samples ``x [B, I]`` with classes ``labels [B]``, one after the other."""
        owner = "HerdingMLP.learn"
        self._check(owner, x)
        labels = _checks.targets(owner, labels, len(x), len(self.weights[-1]))
        layout = self._op.Layout.of(self.weights)
        rate = self.lr / self.num_steps**2
        event, fractional = self.order == "event", self.update == "fsgd"
        rule = self._op.Rule(event, fractional, self.smooth, rate, self.error_quantum)
        back = self._spread(self.residue.unsqueeze(0), layout)[0]
        total: OperationCounts | None = None
        for part, classes in zip(x.split(CHUNK), labels.split(CHUNK), strict=True):
            starts = self._spread(self._starts(len(part)), layout)
            right, tally = self._op.learn(
                part, classes, layout, self.num_steps, rule, self.gate == "final", back, starts
            )
            spikes, errors, passed = tally[:3, : len(self.layers) + 1].tolist()
            layers = tuple(spikes), tuple(errors), tuple(passed)
            counts = OperationCounts(len(part), right, *layers, *tally[3, :3].tolist())
            total = counts if total is None else total + counts
        layout.copy_back(self.weights)
        hidden = [back[start : start + n] for n, _, start, _ in layout.plan.T[1:-1]]
        if hidden:
            self.residue.copy_(torch.cat([torch.from_numpy(part) for part in hidden]))
        assert total is not None  # split gives at least one part
        return total

    def relu(self) -> nn.Sequential:
        """Network of ``nn.ReLU`` that shares the weights."""
        modules: list[nn.Module] = []
        for layer in self.layers:
            modules += [layer, nn.ReLU()]
        return nn.Sequential(*modules[:-1])

    def _starts(self, samples: int) -> Tensor:
        """Residues that the herded errors of each sample start with; none to go on."""
        if self.back_reset == "random":
            return torch.rand(samples, len(self.residue), dtype=self.residue.dtype) - 0.5
        return self.residue.new_zeros(int(self.back_reset == "zero"), len(self.residue))

    def _spread(self, hidden: Tensor, layout: Any) -> Any:
        """Put values of hidden units where the kernel wants them."""
        spread = hidden.new_zeros(len(hidden), layout.units)
        done = 0
        for n, _, start, _ in layout.plan.T[1:-1]:
            spread[:, start : start + n] = hidden[:, done : done + n]
            done += n
        return spread.numpy()

    def _check(self, owner: str, x: Tensor) -> None:
        weight = self.weights[0]
        _checks.floating(owner, "x", x)
        if x.dim() != 2 or x.shape[1] != weight.shape[1]:
            expected = f"[B, {weight.shape[1]}]"
            raise ValueError(f"{owner}: x must have shape {expected}, got {list(x.shape)}.")
        if x.dtype != weight.dtype:
            raise TypeError(f"{owner}: x must be {weight.dtype} as the weights, got {x.dtype}.")
        _checks.finite(owner, "x", x)
