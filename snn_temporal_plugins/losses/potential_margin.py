"""A margin on the output potentials: learning that does not wait for a timing error."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .. import _checks
from .base import FirstSpikeLoss


class PotentialMarginLoss(FirstSpikeLoss):
    r"""Keep the potentials of the wrong outputs a margin below the threshold; pull the label.

    With :math:`V_j` the potential of output :math:`j` at its spike (or at the last step), the
    gradient on the potentials is

    .. math::
        \delta_j = \sigma\!\left(\frac{V_j - \theta + m}{\tau}\right) \quad (j \ne y), \qquad
        \delta_y = \begin{cases} -p \max_{j \ne y} \delta_j & \text{the label is first (ties
        included)} \\ -1 & \text{otherwise} \end{cases}

    where :math:`\delta_j` below ``floor`` are set to 0. The value of the loss is
    :math:`\sum_{j \ne y} \tau \log(1 + e^{(V_j - \theta + m)/\tau}) + |\delta_y| (\theta - V_y)`.

    Parameters
    ----------
    threshold : float
        Threshold :math:`\theta` of the output neurons.
    margin : float, optional
        Margin :math:`m`, by default the threshold.
    temperature : float, optional
        Softness :math:`\tau` of the margin, by default ``threshold / 5``.
    push : float, default=0.1
        Pull :math:`p` on a label that is already first, relative to the strongest wrong error.
    floor : float, default=0.02
        Errors below it are 0, which keeps the backward pass sparse.
    reduction : {"mean", "sum", "none"}, default="mean"
        Over the samples.

    Raises
    ------
    ValueError
        If a constant is outside its range, or the potential is missing in the call.

    Notes
    -----
    *Shapes.* Spike times and potentials ``[B, C]``, class indices ``[B]`` to a scalar.

    The loss works on potentials: call it with ``potential=``, from a layer with
    ``return_potential=True`` or from a recording. The times only tell whether the label is first.

    *Silent neurons* take part with their potential at the last step: a silent label is pulled with
    full weight, a silent wrong output costs what its potential is worth.

    The rule is this project's own. It leaves almost no ties, which the relative target times of
    S4NN do not; use it with ``gate="triangle"`` in the hidden layers and under
    :class:`~snn_temporal_plugins.DecisionWindow`.

    Examples
    --------
    >>> import torch, snn_temporal_plugins as stp
    >>> loss = stp.PotentialMarginLoss(100.0)
    >>> potential = torch.tensor([[101.0, 20.0]], requires_grad=True)
    >>> loss(torch.tensor([[7.0, float("inf")]]), torch.tensor([0]), potential=potential).backward()
    >>> [round(g, 3) for g in potential.grad.flatten().tolist()]
    [-0.073, 0.731]
    """

    def __init__(
        self,
        threshold: float,
        *,
        margin: float | None = None,
        temperature: float | None = None,
        push: float = 0.1,
        floor: float = 0.02,
        reduction: str = "mean",
    ) -> None:
        super().__init__(reduction=reduction)
        owner = "PotentialMarginLoss"
        self.threshold = _checks.positive(owner, "threshold", threshold)
        margin = self.threshold if margin is None else margin
        temperature = self.threshold / 5 if temperature is None else temperature
        self.margin = _checks.non_negative(owner, "margin", margin)
        self.temperature = _checks.positive(owner, "temperature", temperature)
        self.push = _checks.non_negative(owner, "push", push)
        self.floor = _checks.non_negative(owner, "floor", floor)

    def extra_repr(self) -> str:
        return (
            f"threshold={self.threshold:g}, margin={self.margin:g}, "
            f"temperature={self.temperature:g}, push={self.push:g}, floor={self.floor:g}, "
            f"reduction={self.reduction!r}"
        )

    def per_sample(self, times: Tensor, targets: Tensor, potential: Tensor | None) -> Tensor:
        if potential is None:
            raise ValueError(
                "PotentialMarginLoss: potential is missing; build the last layer with "
                "return_potential=True and call loss(times, targets, potential=potential)."
            )
        label = targets.unsqueeze(1)
        v = potential.detach()
        excess = (v - self.threshold + self.margin) / self.temperature
        wrong = torch.sigmoid(excess).scatter(1, label, 0.0)
        wrong = wrong.masked_fill(wrong < self.floor, 0.0)
        earliest = times.min(1, keepdim=True).values
        first = (times.gather(1, label) == earliest) & torch.isfinite(earliest)
        pull = torch.where(first, self.push * wrong.amax(1, keepdim=True), 1.0)
        delta = wrong.scatter(1, label, -pull)
        cost = (self.temperature * F.softplus(excess)).scatter(1, label, 0.0).sum(1)
        value = cost + (pull * (self.threshold - v.gather(1, label))).squeeze(1)
        return value + (delta * (potential - v)).sum(1)  # the last term is 0: it carries delta
