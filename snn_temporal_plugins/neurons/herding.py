"""Herding units: signed spikes whose running count follows the running sum of the input."""

from __future__ import annotations

import torch
from torch import Tensor

from .. import _checks
from .herding_core import Herding, lowest


class HerdingQuantizer(Herding):
    r"""Signed spikes whose running count stays within half a quantum of the running sum.

    .. math::
        \varphi(t) = \varphi(t-1) + x(t) - q\,s(t), \qquad |\varphi(t)| \le q/2

    so that :math:`|\tfrac1t \sum_{\tau \le t} q\,s(\tau) - \bar x(t)| \le q/(2t)` at every step,
    where independent random spikes would be off by :math:`O(1/\sqrt t)`. Several spikes may fall
    into one step, and a spike may be negative.

    Parameters
    ----------
    quantum : float, default=1.0
        Size :math:`q` of one spike. The output is a multiple of it.
    encode : {"rate", "delta", "pd"}, default="rate"
        What the count follows. ``"rate"``: the sum of the input. ``"delta"`` (sigma-delta [2]_):
        the input itself; what is sent are its changes, nothing while it stands still, and the
        receiver sums up. ``"pd"`` [3]_: the sum of :math:`k_p x(t) + k_d (x(t) - x(t-1))`.
    kp, kd : float
        Constants of ``"pd"``, by default 0.1 and 1.

    Raises
    ------
    ValueError
        If a constant is outside its range, ``kp`` or ``kd`` is given without ``encode="pd"``, or
        the input is not finite or has no time axis.

    Notes
    -----
    *Shapes.* Current ``[T, B, ...]`` (or ``[B, ...]`` per ``step``) to spikes of the same
    shape. The state is ``(phi, total)``: ``total`` is the running sum of the input, and
    ``phi = kp * total - (sum of the spikes)`` with ``kp`` 1 for ``"rate"`` and 0 for ``"delta"``.

    *Threshold.* A spike needs a residue of strictly more than ``quantum / 2``: sums halfway
    between two multiples leave the count where it is.

    *Time-parallel.* The sequence form has no loop over time. It equals the steps exactly in
    float64; in float32 sums round differently, which shows only at the threshold.

    *Gradient.* Straight through: that of the encoded value. A silent unit passes it, too.

    References
    ----------
    .. [1] P. O'Connor, M. Welling, "Deep Spiking Networks", 2016, arXiv:1602.08323.
    .. [2] P. O'Connor, M. Welling, "Sigma Delta Quantized Networks", ICLR 2017, arXiv:1611.02024.
    .. [3] P. O'Connor, E. Gavves, M. Welling, "Temporally Efficient Deep Learning with Spikes",
       2017, arXiv:1706.04159.

    Examples
    --------
    >>> import torch, snn_temporal_plugins as stp
    >>> spikes, state = stp.HerdingQuantizer()(torch.full((5, 1), -0.7))
    >>> spikes.flatten().tolist()
    [-1.0, 0.0, -1.0, -1.0, 0.0]
    >>> stream = torch.tensor([0.0, 2.9, 3.1, 3.2, 1.1]).unsqueeze(1)
    >>> stp.HerdingQuantizer(encode="delta")(stream)[0].flatten().tolist()
    [0.0, 3.0, 0.0, 0.0, -2.0]
    """

    def __init__(
        self,
        quantum: float = 1.0,
        *,
        encode: str = "rate",
        kp: float | None = None,
        kd: float | None = None,
    ) -> None:
        super().__init__(quantum)
        owner = "HerdingQuantizer"
        self.encode: str = _checks.choice(owner, "encode", encode, ("rate", "delta", "pd"))
        if encode != "pd" and (kp is not None or kd is not None):
            raise ValueError(f'{owner}: kp and kd belong to encode="pd", got kp={kp!r}, kd={kd!r}.')
        if encode == "delta":
            self.kp, self.kd = 0.0, 1.0
        elif encode == "pd":
            self.kp = _checks.positive(owner, "kp", 0.1 if kp is None else kp)
            self.kd = _checks.non_negative(owner, "kd", 1.0 if kd is None else kd)

    def extra_repr(self) -> str:
        text = super().extra_repr()
        if self.encode == "pd":
            return f"{text}, encode='pd', kp={self.kp:g}, kd={self.kd:g}"
        return text if self.encode == "rate" else f"{text}, encode='delta'"

    def count_range(self, drive: Tensor) -> tuple[Tensor, Tensor | None]:
        return (drive - 0.5).ceil_(), (drive + 0.5).floor_()

    def gate(self, total: Tensor) -> Tensor | None:
        return None

    def decode(self, spikes: Tensor) -> Tensor:
        r"""Estimate after each step of what was encoded: ``spikes [T, B, ...]`` to the same shape.

        The mean of the spikes so far (``"rate"``), their sum (``"delta"``), or the leaky trace
        :math:`\hat x(t) = (s(t) + k_d \hat x(t-1)) / (k_p + k_d)` (``"pd"``).
        """
        _checks.sequence("HerdingQuantizer.decode", spikes, name="spikes")
        if self.encode == "rate":
            steps = torch.arange(1, len(spikes) + 1, dtype=spikes.dtype, device=spikes.device)
            return spikes.cumsum(0) / steps.view(-1, *[1] * (spikes.dim() - 1))
        if self.encode == "delta":
            return spikes.cumsum(0)
        trace, traces = torch.zeros_like(spikes[0]), []
        for step in spikes.unbind(0):
            trace = (step + self.kd * trace) / (self.kp + self.kd)
            traces.append(trace)
        return torch.stack(traces)


class HerdingReLU(Herding):
    r"""Spikes whose mean over time is the rectified mean of the input, up to :math:`O(1/t)`.

    .. math::
        \varphi_j(t) = \varphi_j(t-1) + I_j(t) - q\,s_j(t), \qquad
        s_j(t) = \max\bigl(0, \lceil \varphi/q - \tfrac12 \rceil\bigr)

    The unit fires while more than half a quantum is left, several times per step if need be. Below
    zero the potential sinks without bound. In a network of these units, run for :math:`t` steps
    on a constant input, spikes per step equal the activations of the network of ``nn.ReLU`` with
    the same weights within :func:`~snn_temporal_plugins.herding_error_bound` ``/ t``.

    Parameters
    ----------
    quantum : float, default=1.0
        Size :math:`q` of one spike. The output is a multiple of it.
    correction : bool, default=False
        Also fire negative spikes, as long as the count stays positive. The count is then the
        rounded, rectified sum, whatever the order of the input; it matters for streams, whose sum
        may fall again. Behind changes (``HerdingQuantizer(encode="delta")``) the unit sends
        changes, too.

    Raises
    ------
    ValueError
        If ``quantum`` is not positive, or the input is not finite or has no time axis.

    Notes
    -----
    *Shapes.* Current ``[T, B, ...]`` (or ``[B, ...]`` per ``step``) to spikes of the same
    shape, whole multiples of ``quantum``. The state is ``(phi, total)``: the potential and the
    running sum of the input.

    *Time-parallel.* The count is the running maximum of :math:`\lceil S/q - 1/2 \rceil` and 0, with
    S the running sum of the input: the sequence form has no loop over time. It equals the steps
    exactly in float64; in float32 sums round differently, which shows only at the threshold.

    *Gradient.* Straight through where the running sum is at least 0 (the derivative of the
    rectifier as known so far), else 0. ``phi`` and ``total`` carry none. A silent unit passes the
    error only while its sum is not negative.

    References
    ----------
    .. [1] P. O'Connor, M. Welling, "Deep Spiking Networks", 2016, arXiv:1602.08323.
    .. [2] J. C. Thiele, O. Bichler, A. Dupret, "SpikeGrad: An ANN-equivalent Computation Model for
       Implementing Backpropagation with Spikes", 2019, arXiv:1906.00851 (``correction``).

    Examples
    --------
    >>> import torch, snn_temporal_plugins as stp
    >>> current = torch.tensor([0.4, 0.4, 1.9, -2.0, 0.3]).unsqueeze(1)
    >>> spikes, state = stp.HerdingReLU()(current)
    >>> spikes.flatten().tolist(), round(state.phi.item(), 6)
    ([0.0, 1.0, 2.0, 0.0, 0.0], -2.0)
    >>> stp.HerdingReLU(correction=True)(current)[0].flatten().tolist()
    [0.0, 1.0, 2.0, -2.0, 0.0]
    """

    def __init__(self, quantum: float = 1.0, *, correction: bool = False) -> None:
        super().__init__(quantum)
        self.correction = bool(correction)

    def extra_repr(self) -> str:
        return super().extra_repr() + (", correction=True" if self.correction else "")

    def count_range(self, drive: Tensor) -> tuple[Tensor, Tensor | None]:
        low = lowest(drive)
        if not self.correction:
            return low, None
        return low.clamp_(min=0), (drive + 0.5).floor_().clamp_(min=0)

    def gate(self, total: Tensor) -> Tensor | None:
        return total >= 0
