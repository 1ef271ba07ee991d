"""Losses on absolute first-spike times."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from .. import _checks
from ..codes import finite_times
from .base import FirstSpikeLoss, half_square, squared_error


class FirstSpikeCrossEntropy(FirstSpikeLoss):
    r"""Cross-entropy over negative first-spike times.

    .. math:: L = -\log \frac{e^{-t_y / \tau}}{\sum_j e^{-t_j / \tau}}

    with silent outputs at :math:`t_{max}`.

    Parameters
    ----------
    t_max : float
        End of the window, in the unit of the times.
    tau : float
        Time scale of the softmax, in the unit of the times.
    reduction : {"mean", "sum", "none"}, default="mean"
        Over the samples.

    Raises
    ------
    ValueError
        If ``t_max`` or ``tau`` is not positive.

    Notes
    -----
    *Shapes.* Spike times ``[B, C]`` and class indices ``[B]`` to a scalar.

    *Silent neurons* stand at ``t_max``: a silent label is pulled, another silent output gets no
    gradient. With all outputs silent the loss is ``log C``.

    References
    ----------
    .. [1] H. Mostafa, "Supervised learning based on temporal coding in spiking neural networks",
       IEEE TNNLS 29(7), 2018, arXiv:1606.08165.

    Examples
    --------
    >>> import torch, snn_temporal_plugins as stp
    >>> loss = stp.FirstSpikeCrossEntropy(100.0, tau=10.0)
    >>> silent = torch.full((1, 4), float("inf"))
    >>> round(loss(silent, torch.tensor([0])).exp().item(), 4)
    4.0
    """

    def __init__(self, t_max: float, *, tau: float, reduction: str = "mean") -> None:
        super().__init__(reduction=reduction)
        self.t_max = _checks.positive("FirstSpikeCrossEntropy", "t_max", t_max)
        self.tau = _checks.positive("FirstSpikeCrossEntropy", "tau", tau)

    def extra_repr(self) -> str:
        return f"t_max={self.t_max:g}, tau={self.tau:g}, reduction={self.reduction!r}"

    def per_sample(self, times: Tensor, targets: Tensor, potential: Tensor | None) -> Tensor:
        scores = -finite_times(times, self.t_max) / self.tau
        return F.cross_entropy(scores, targets, reduction="none")


class TargetTimeLoss(FirstSpikeLoss):
    r"""Squared distance to absolute target times: the label early, the others late.

    .. math::
        L = \tfrac12 \Bigl[\frac{(t_y - T_{label})_+}{t_{max}}\Bigr]^2
            + \tfrac12 \sum_{j \ne y} \Bigl[\frac{(T_{other} - t_j)_+}{t_{max}}\Bigr]^2

    The error is one-sided: a label that fires before its target, or another output that fires
    after its own, costs nothing.

    Parameters
    ----------
    t_max : float
        End of the window, in the unit of the times; silent outputs stand there.
    label_time : float, default=0
        The label shall fire at this time or earlier.
    other_time : float, optional
        The other outputs shall fire at this time or later, by default ``t_max`` (not at all).
    reduction : {"mean", "sum", "none"}, default="mean"
        Over the samples.

    Raises
    ------
    ValueError
        If the times are not ordered ``0 <= label_time < other_time <= t_max``.

    Notes
    -----
    *Shapes.* Spike times ``[B, C]`` and class indices ``[B]`` to a scalar.

    *Silent neurons* stand at ``t_max``: a silent label costs
    ``((t_max - label_time) / t_max)^2 / 2`` and is pulled, another silent output costs nothing.

    References
    ----------
    .. [1] S. M. Bohte, J. N. Kok, H. La Poutré, "Error-backpropagation in temporally encoded
       networks of spiking neurons", Neurocomputing 48, 2002: squared distance to target times.

    Examples
    --------
    >>> import torch, snn_temporal_plugins as stp
    >>> loss = stp.TargetTimeLoss(10.0, label_time=2.0, other_time=8.0)
    >>> loss(torch.tensor([[1.0, 9.0]]), torch.tensor([0])).item()
    0.0
    """

    def __init__(
        self,
        t_max: float,
        *,
        label_time: float = 0.0,
        other_time: float | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(reduction=reduction)
        self.t_max = _checks.positive("TargetTimeLoss", "t_max", t_max)
        self.label_time = _checks.non_negative("TargetTimeLoss", "label_time", label_time)
        self.other_time = self.t_max if other_time is None else float(other_time)
        if not self.label_time < self.other_time <= self.t_max:
            raise ValueError(
                "TargetTimeLoss: expected label_time < other_time <= t_max, got "
                f"label_time={label_time!r}, other_time={other_time!r}, t_max={t_max!r}."
            )

    def extra_repr(self) -> str:
        return (
            f"t_max={self.t_max:g}, label_time={self.label_time:g}, "
            f"other_time={self.other_time:g}, reduction={self.reduction!r}"
        )

    def per_sample(self, times: Tensor, targets: Tensor, potential: Tensor | None) -> Tensor:
        t = times.detach().clamp(max=self.t_max)
        wanted = t.clamp(min=self.other_time)
        label = targets.unsqueeze(1)
        wanted.scatter_(1, label, t.gather(1, label).clamp(max=self.label_time))
        error = wanted - t
        return squared_error(times, error, half_square(error, self.t_max), self.t_max)
