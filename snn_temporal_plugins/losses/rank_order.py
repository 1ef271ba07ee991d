"""The loss of S4NN: relative target times from the rank order of the outputs."""

from __future__ import annotations

from torch import Tensor

from .. import _backends, _checks
from .base import FirstSpikeLoss, half_square, squared_error


class RankOrderLoss(FirstSpikeLoss):
    r"""Squared error to target times that are relative to the first output spike.

    With :math:`\tau = \min_j t_j`, label :math:`y` and silent outputs at :math:`t_{max}`:

    .. math::
        L = \tfrac12 \sum_j \Bigl(\frac{T_j - t_j}{t_{max}}\Bigr)^2, \qquad
        T_y = \tau, \qquad
        T_j = \begin{cases} t_j & t_j - \tau \ge \gamma \\
              \min(\tau + \gamma,\, t_{max}) & t_j - \tau < \gamma \end{cases}

    and, where no output fired, :math:`T_y = t_{max} - \gamma` and :math:`T_j = t_{max}`.
    The targets are constants: no gradient passes through :math:`\tau`.

    Parameters
    ----------
    t_max : int
        Number of steps of the window.
    gamma : float, default=3
        Distance in steps that every other output shall keep from the first spike.
    reduction : {"mean", "sum", "none"}, default="mean"
        Over the samples.

    Raises
    ------
    ValueError
        If ``t_max`` is below 1 or ``gamma`` is negative or not below ``t_max``.

    Notes
    -----
    *Shapes.* Spike times ``[B, C]`` and class indices ``[B]`` to a scalar.

    *Silent neurons* stand at ``t_max``. A silent label has a positive error (at least
    ``gamma / t_max``) and is pulled; another silent output costs nothing.

    Under ``error_norm`` only the direction of each sample's error matters, so neither the value
    of the loss nor its reduction changes the step.

    *Optimiser.* Train this loss with plain SGD. Normalised errors are steps of equal length, of
    which Adam makes steps of equal length per weight: hidden neurons stop firing one after the
    other and accuracy collapses. :class:`PotentialMarginLoss` is the one to use with Adam.

    References
    ----------
    .. [1] S. R. Kheradpisheh, T. Masquelier, "S4NN: temporal backpropagation for spiking neural
       networks with one spike per neuron", arXiv:1910.09495, section 2.3.

    Examples
    --------
    >>> import torch, snn_temporal_plugins as stp
    >>> loss = stp.RankOrderLoss(256, gamma=3)
    >>> times = torch.tensor([[10.0, 12.0, 90.0]])
    >>> late = loss(times, torch.tensor([1]))   # class 1 is two steps late
    >>> right = loss(times + torch.tensor([9.0, 0.0, 0.0]), torch.tensor([1]))
    >>> bool(right < late)
    True
    """

    def __init__(self, t_max: int, *, gamma: float = 3, reduction: str = "mean") -> None:
        super().__init__(reduction=reduction)
        self.t_max = _checks.integer("RankOrderLoss", "t_max", t_max, 1)
        self.gamma = _checks.non_negative("RankOrderLoss", "gamma", gamma)
        if self.gamma >= self.t_max:
            raise ValueError(f"RankOrderLoss: gamma must be below t_max={t_max}, got {gamma!r}.")

    def extra_repr(self) -> str:
        return f"t_max={self.t_max}, gamma={self.gamma:g}, reduction={self.reduction!r}"

    def per_sample(self, times: Tensor, targets: Tensor, potential: Tensor | None) -> Tensor:
        if errors := _backends.helper("rank_order_errors", times):
            error, loss = errors(times, targets, self.t_max, self.gamma)
        else:
            t = times.detach().clamp(max=self.t_max)
            error = self.target_times(t, targets) - t
            loss = half_square(error, self.t_max)
        return squared_error(times, error, loss, self.t_max)

    def has_error(self, times: Tensor, targets: Tensor) -> Tensor:
        """Which outputs ``[B, C]`` are not at their target times."""
        t = times.detach().clamp(max=self.t_max)
        return self.target_times(t, targets) != t

    def target_times(self, times: Tensor, targets: Tensor) -> Tensor:
        """Target times ``[B, C]`` for finite output times (silent outputs at ``t_max``)."""
        earliest = times.amin(1, keepdim=True)
        wanted = times.maximum((earliest + self.gamma).clamp_(max=self.t_max))
        label = earliest.masked_fill(earliest >= self.t_max, self.t_max - self.gamma)
        return wanted.scatter(1, targets.unsqueeze(1), label)
