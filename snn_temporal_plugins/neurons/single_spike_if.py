"""Non-leaky integrate-and-fire neuron that fires at most once (S4NN), clocked and timed."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from .. import _checks
from .base import ClockedNeuron, TimedNeuron, Window
from .single_spike_times import Rule, SpikeTimes


class _Fire(torch.autograd.Function):
    """Step function whose pseudo-derivative is 1 at the spike and 0 elsewhere."""

    generate_vmap_rule = True

    @staticmethod
    def forward(v: Tensor, threshold: float) -> Tensor:
        return (v > threshold).to(v.dtype)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: Tensor) -> None:
        ctx.save_for_backward(output)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return grad * ctx.saved_tensors[0], None


class _Gate(torch.autograd.Function):
    """Step function with a triangular pseudo-derivative around the threshold."""

    generate_vmap_rule = True

    @staticmethod
    def forward(v: Tensor, threshold: float, width: float) -> Tensor:
        return (v > threshold).to(v.dtype)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: Tensor) -> None:
        v, threshold, width = inputs
        ctx.save_for_backward((1 - (v - threshold).abs() / width).clamp(min=0))

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        return grad * ctx.saved_tensors[0], None, None


class SingleSpikeIFState(NamedTuple):
    """State of :class:`SingleSpikeIF`."""

    v: Tensor  #: membrane potential; ``-inf`` from the step after the spike


class SingleSpikeIF(ClockedNeuron, TimedNeuron):
    r"""Non-leaky integrate-and-fire neuron that fires at most once.

    .. math::
        V_j(t) = V_j(t-1) + I_j(t), \qquad
        t_j = \min \{\, t : V_j(t) > \theta \,\} + d

    with input current :math:`I_j(t) = \sum_i w_{ji} S_i(t) + b_j`, threshold :math:`\theta` and
    transmission delay :math:`d`. The neuron has a clocked form (this module) and an event-driven
    form (under :class:`~snn_temporal_plugins.Timed`); both give the same spikes and gradients.

    Parameters
    ----------
    threshold : float, default=1.0
        Firing threshold, in the unit of the weights. The comparison is strict.
    delay : {0, 1}, default=0
        Steps between the crossing of the threshold and the spike. 1 gives the numbers of the
        authors' program.
    gate : {"spike", "triangle"}, default="spike"
        Which neurons get gradient. ``"spike"``: those that fired, in full (the paper).
        ``"triangle"``: the error is multiplied by
        :math:`\max(0, 1 - |M_j - \theta| / w)` with :math:`M_j` the largest potential of the
        window, and shared by the inputs up to that maximum; neurons near the threshold learn
        although they stayed silent, those far above it do not. The layer above must pass them its
        error: ``Timed(..., error_to_silent=True)``.
    width : float, optional
        Width :math:`w` of the triangular gate, by default ``0.8 * threshold``.
    late_drive : tuple of (int, float), optional
        ``(start, current)``: from step ``start`` on, every neuron gets this extra current in each
        step, *in evaluation mode only*. It makes the largest potential fire in the end, like
        bias inputs that spike once each at the end of the window: a decision by the potential,
        in the form of a spike.

    Raises
    ------
    ValueError
        If a constant is outside its range, or ``step`` is called with ``gate="triangle"`` or a
        late drive, which need the whole window.

    Notes
    -----
    *Shapes.* Clocked: current ``[T, B, ...]`` (or ``[B, ...]`` per :meth:`step`) to spikes of the
    same shape; the state is ``(v,)``. Timed: spike times ``[B, I]`` to ``[B, O]``.

    *After the spike* the potential is ``-inf``: no extra buffer, and the neuron stays silent.

    *Gradient.* The spike has pseudo-derivative 1 where it is fired and 0 elsewhere, which is the
    rule :math:`\partial t_j / \partial V_j = -1` of [1]_ (equation 10) in the convention of
    :func:`~snn_temporal_plugins.first_spike_times`. Every input of the causal set (spikes up to
    the crossing) gets it. It is *not* the derivative of the spike time.

    *Silent neurons* have time ``inf``. A silent hidden neuron gets no gradient. A silent output
    neuron gets the gradient on its time through its potential at the last step.

    References
    ----------
    .. [1] S. R. Kheradpisheh, T. Masquelier, "S4NN: temporal backpropagation for spiking neural
       networks with one spike per neuron", Int. J. Neural Systems 30(6), 2020, arXiv:1910.09495.

    Examples
    --------
    >>> import torch, snn_temporal_plugins as stp
    >>> neuron = stp.SingleSpikeIF(threshold=1.5)
    >>> spikes, state = neuron(torch.ones(4, 1, 1))
    >>> spikes.flatten().tolist()
    [0.0, 1.0, 0.0, 0.0]
    """

    State = SingleSpikeIFState
    max_spikes = 1
    backends = ("numba",)
    scales_errors = True

    def __init__(
        self,
        threshold: float = 1.0,
        *,
        delay: int = 0,
        gate: str = "spike",
        width: float | None = None,
        late_drive: tuple[int, float] | None = None,
    ) -> None:
        super().__init__()
        owner = "SingleSpikeIF"
        self.threshold = _checks.positive(owner, "threshold", threshold)
        self.delay: int = _checks.choice(owner, "delay", delay, (0, 1))
        self.gate = _checks.choice(owner, "gate", gate, ("spike", "triangle"))
        if width is not None and gate == "spike":
            raise ValueError(f'{owner}: width belongs to gate="triangle", got width={width!r}.')
        self.width = 0.8 * self.threshold if width is None else width
        _checks.positive(owner, "width", self.width)
        if late_drive is not None:
            start, current = late_drive
            late_drive = (
                _checks.integer(owner, "late_drive[0] (start)", start, 0),
                _checks.positive(owner, "late_drive[1] (current)", current),
            )
        self.late_drive = late_drive

    def extra_repr(self) -> str:
        text = f"threshold={self.threshold:g}, delay={self.delay}"
        if self.gate != "spike":
            text += f", gate={self.gate!r}, width={self.width:g}"
        return text + (f", late_drive={self.late_drive}" if self.late_drive else "")

    def initial_state(self, current: Tensor) -> SingleSpikeIFState:
        """Potential 0 everywhere, for currents shaped like ``current [B, ...]``."""
        return SingleSpikeIFState(torch.zeros_like(current))

    def step(
        self, current: Tensor, state: SingleSpikeIFState | tuple[Tensor]
    ) -> tuple[Tensor, SingleSpikeIFState]:
        """Advance one step: ``current [B, ...]`` and ``(v,)`` to spikes and ``(v,)``."""
        if self.gate != "spike" or self.late_drive is not None:
            raise ValueError(
                'SingleSpikeIF: gate="triangle" and late_drive need the whole window; call the '
                "neuron with a current [T, B, ...], or use Timed."
            )
        (v,) = state
        v_next = (v + current).masked_fill(v > self.threshold, float("-inf"))
        spike = _Fire.apply(v if self.delay else v_next, self.threshold)
        return spike, SingleSpikeIFState(v_next)

    def forward(
        self, current: Tensor, state: SingleSpikeIFState | tuple[Tensor] | None = None
    ) -> tuple[Tensor, SingleSpikeIFState]:
        """Run over time: ``current [T, B, ...]`` to spikes ``[T, B, ...]`` and the last state."""
        spikes, v = self.trace(current, state)
        return spikes, SingleSpikeIFState(v[-1])

    def trace(
        self, current: Tensor, state: SingleSpikeIFState | tuple[Tensor] | None = None
    ) -> tuple[Tensor, Tensor]:
        """Spikes and potentials, both ``[T, B, ...]``; one cumulative sum instead of a loop."""
        if current.dim() < 2 or not current.shape[0]:
            raise ValueError(
                "SingleSpikeIF: current must have shape [T, B, ...] with T >= 1, "
                f"got {list(current.shape)}."
            )
        (v0,) = self.initial_state(current[0]) if state is None else state
        if self.late_drive is not None and not self.training:
            start, extra = self.late_drive
            current = torch.cat([current[:start], current[start:] + extra])
        start_v = v0.masked_fill(v0 > self.threshold, float("-inf"))
        free = torch.cat([start_v.unsqueeze(0), current]).cumsum(0)[1:]
        above = (free > self.threshold).cumsum(0) > 0
        fired = torch.cat([torch.zeros_like(above[:1]), above[:-1]])  # in an earlier step
        v = free.masked_fill(fired, float("-inf"))
        if self.gate == "triangle":
            return self._first_of_peak(free, v0), v
        crossing = torch.cat([v0.unsqueeze(0), v[:-1]]) if self.delay else v
        return _Fire.apply(crossing, self.threshold), v

    def _first_of_peak(self, free: Tensor, v0: Tensor) -> Tensor:
        """First spike as the step of ``H(running maximum of the potential)``."""
        passed = _Gate.apply(free.cummax(0).values, self.threshold, self.width)
        before = torch.cat([torch.zeros_like(passed[:1]), passed[:-1]])
        spikes = passed - before
        if not self.delay:
            return spikes
        return torch.cat([(v0 > self.threshold).to(v0.dtype).unsqueeze(0), spikes[:-1]])

    @property
    def gates_errors(self) -> bool:
        return self.gate != "spike"

    def load_backend(self, backend: str) -> None:
        from ..kernels.single_spike import op  # noqa: F401
        from ..kernels.single_spike_conv import op as conv_op  # noqa: F401

    def spike_times(
        self,
        times: Tensor,
        weight: Tensor,
        *,
        backward_weight: Tensor | None = None,
        bias: Tensor | None = None,
        t_max: float | None = None,
        beta: float = 0.0,
        error_to_silent: bool = False,
        error_length: float | None = None,
        backend: str = "torch",
    ) -> tuple[Tensor, Tensor]:
        """Spike times and potentials of a fully connected layer (see ``TimedNeuron``).

        Several spikes per input, ``[B, I, K]``, act like ``K`` inputs with one weight.
        """
        _checks.choice("SingleSpikeIF", "backend", backend, ("torch", *self.backends))
        backward_weight = (weight if backward_weight is None else backward_weight).detach()
        if times.dim() == 3:
            spikes_per_input = times.shape[2]
            times = times.flatten(1)
            weight = weight.repeat_interleave(spikes_per_input, dim=1)
            backward_weight = backward_weight.repeat_interleave(spikes_per_input, dim=1)
        if self.late_drive is not None and not self.training:
            times, weight, backward_weight = self._drive(times, weight, backward_weight, t_max)
        rule = self._rule(t_max, beta, error_to_silent, error_length)
        if backend == "numba":
            from ..kernels.single_spike import op

            return op.spike_times(times, weight, backward_weight, bias, rule)
        return SpikeTimes.apply(times, weight, backward_weight, bias, rule)

    def convolve(
        self,
        times: Tensor,
        weight: Tensor,
        window: Window,
        *,
        backward_weight: Tensor | None = None,
        bias: Tensor | None = None,
        t_max: float | None = None,
        beta: float = 0.0,
        error_to_silent: bool = False,
        backend: str = "torch",
    ) -> tuple[Tensor, Tensor] | None:
        """Event by event with the numba backend, without a late drive (see ``TimedNeuron``)."""
        if backend != "numba" or (self.late_drive is not None and not self.training):
            return None
        from ..kernels.single_spike_conv import op

        backward_weight = (weight if backward_weight is None else backward_weight).detach()
        rule = self._rule(t_max, beta, error_to_silent)
        return op.spike_times(times, weight, backward_weight, bias, window, rule)

    def _rule(self, t_max: float | None, *learning: Any) -> Rule:
        limit = float("inf") if t_max is None else float(t_max)
        learns = self.gate == "triangle" and torch.is_grad_enabled()  # else nobody asks for peaks
        width = self.width if learns else None
        return Rule(self.threshold, self.delay, limit, width, *learning)

    def _drive(
        self, times: Tensor, weight: Tensor, backward_weight: Tensor, t_max: float | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Append one input per step of the late drive, which spikes in that step."""
        assert self.late_drive is not None
        if t_max is None:
            raise ValueError("SingleSpikeIF: late_drive needs t_max, the end of the window.")
        start, current = self.late_drive
        steps = torch.arange(start, t_max, dtype=times.dtype, device=times.device)
        times = torch.cat([times, steps.expand(len(times), -1)], 1)
        extra = weight.new_full((len(weight), len(steps)), current)
        return times, torch.cat([weight, extra], 1), torch.cat([backward_weight, extra], 1)
