"""Leaky integrate-and-fire neuron in continuous time with exact gradients of its spike times."""

from __future__ import annotations

import math
import warnings
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from .. import _checks
from .base import ClockedNeuron, TimedNeuron
from .exact_lif_dynamics import Constants, number
from .exact_lif_forward import Rule, TruncatedSpikesWarning, check_delay
from .exact_lif_steps import advance
from .exact_lif_times import SpikeTimes
from .exact_lif_units import norse_constants, synaptic_constants


class ExactLIFState(NamedTuple):
    """State of :class:`ExactLIF`."""

    i: Tensor  #: synaptic current
    v: Tensor  #: membrane potential
    spikes: Tensor  #: spikes of the step before; only carries gradient


class ExactLIF(ClockedNeuron, TimedNeuron):
    r"""Leaky integrate-and-fire neuron in continuous time, any number of spikes, exact gradients.

    .. math::
        \dot V = -V / \tau_{mem} + I, \qquad
        \dot I = -I / \tau_{syn} + \sum_i w_i \sum_k \delta(t - t_i^k)

    When :math:`V` reaches the threshold :math:`\theta` from below the neuron fires and
    :math:`V \leftarrow V - \theta = 0`; the current goes on. An input of weight :math:`w` alone
    causes the potential :math:`w K(t - t_i)` with
    :math:`K(s) = (e^{-s/\tau_{mem}} - e^{-s/\tau_{syn}}) / (1/\tau_{syn} - 1/\tau_{mem})`.

    Parameters
    ----------
    tau_mem : float
        Time constant of the membrane, in the unit of the spike times. ``inf``: no leak.
    tau_syn : float
        Time constant of the synaptic current, in any ratio to ``tau_mem``; at ``tau_mem = 2
        tau_syn`` spike times have a closed form and are computed faster.
    threshold : float, default=1.0
        Firing threshold.
    max_spikes : int, default=20
        Spikes K per neuron that the timed form keeps; the neuron is silent afterwards.
    learn : tuple of str, default=()
        Which of ``"threshold"``, ``"tau_mem"`` and ``"tau_syn"`` are parameters to be learned.
    silent : {"phantom", "constant", "none"}, default="phantom"
        What a neuron that never fired gets. ``"phantom"``: the gradient on its (first) time, as
        far as it asks for an earlier spike, goes to minus its largest potential. ``"constant"``:
        every incoming weight gets the gradient ``-push``, as in [3]_. ``"none"``: nothing.
    push : float, default=0.0
        Pull of the remedy on every silent neuron, whether or not a loss asks for it, averaged
        over the batch: hidden layers, whose silent neurons no loss sees, need it.
    slope_min : float, default=0.05
        Derivatives are divided by the slope of the potential at the spike, or by ``slope_min *
        threshold / tau_syn`` where that is larger: spikes that barely reach the threshold would
        have gradients without bound. 0 gives the exact derivative.
    truncation : {"warn", "raise", "ignore"}, optional
        What happens when a neuron would fire more than ``max_spikes`` times. By default
        ``"warn"``, once, and ``"ignore"`` where ``max_spikes`` is 1. ``truncated`` counts the
        neurons of the last call; with ``"ignore"`` further spikes are not looked for.
    dt : float, default=1.0
        Length of a step of the clocked form, in the unit of the time constants.

    Attributes
    ----------
    truncated : scalar Tensor or None
        How many neurons of the last call (timed form) had more than ``max_spikes`` spikes.

    Raises
    ------
    ValueError, TypeError
        If a constant is outside its range, or a layer has a bias, a ``beta`` or
        ``error_to_silent``, which belong to clocked rules.

    Notes
    -----
    *Shapes.* Timed: spike times ``[B, I]`` or ``[B, I, K']`` to ``[B, O, K]``, ascending, ``inf``
    after the last spike. Times are real numbers, ``t_max`` may be one, too. An input acts on
    spikes strictly after it. The potential ``[B, O]`` is the threshold where a neuron fired and
    the largest potential of the window where it did not (of a neuron that never rose above rest:
    its potential when a last input would have peaked), so that it decides when nobody fires.
    Latency losses take ``times[..., 0]``.
    Clocked: a current ``[B, ...]`` at a step is a jump of the synaptic current at its start; the
    equations are solved exactly inside the step; the output counts the spikes of the step (the
    number is not limited). As ``dt`` becomes small, spikes and gradients become those of the timed
    form, with weights that need no scaling.

    *Gradient.* Each spike time is an implicit function of weights, input times and constants,
    :math:`\partial t_k / \partial p = -(\partial V / \partial p) / \dot V(t_k)`, where
    :math:`V` depends on all earlier spikes through the reset. One adjoint sweep in reverse time
    gives all gradients. In the clocked form the gradient on a spike's time is the difference of
    the gradients on the train in the next step and in its own.

    *Delays.* A synapse's attribute ``delay``, shaped like its weight and at least 0, delays every
    input at every neuron; as a parameter it has exact gradients. The reference computes them.

    *Silent neurons* have time ``inf``; the potential passes its gradient whatever ``silent`` is.
    An inhibitory input that arrives exactly at the peak gets no gradient on its time.

    References
    ----------
    .. [1] K. Yamamoto, Y. Sakemi, K. Aihara, "Timing-based backpropagation in spiking neural
       networks without single-spike restrictions", arXiv:2211.16113.
    .. [2] T. C. Wunderlich, C. Pehle, "Event-based backpropagation can compute exact gradients
       for spiking neural networks", Scientific Reports 11, 2021, arXiv:2009.08378.
    .. [3] I.-M. Comsa et al., "Temporal coding in spiking neural networks with alpha synaptic
       function", ICASSP 2020, arXiv:1907.13223.

    Examples
    --------
    >>> import torch, snn_temporal_plugins as stp
    >>> fc = torch.nn.Linear(2, 1, bias=False)
    >>> _ = torch.nn.init.ones_(fc.weight)
    >>> layer = stp.Timed(fc, stp.ExactLIF(tau_mem=4.0, tau_syn=2.0, max_spikes=3))
    >>> print(layer(torch.tensor([[0.3, 0.5]])).detach())
    tensor([[[1.0377, 2.0326,    inf]]])
    """

    State = ExactLIFState
    backends = ("numba",)
    continuous = True
    truncated: Tensor | None = None

    def __init__(
        self,
        tau_mem: float,
        tau_syn: float,
        threshold: float = 1.0,
        *,
        max_spikes: int = 20,
        learn: tuple[str, ...] = (),
        silent: str = "phantom",
        push: float = 0.0,
        slope_min: float = 0.05,
        truncation: str | None = None,
        dt: float = 1.0,
    ) -> None:
        super().__init__()
        owner = "ExactLIF"
        constants = {
            "tau_mem": _checks.time_constant(owner, "tau_mem", tau_mem),
            "tau_syn": _checks.positive(owner, "tau_syn", tau_syn),
            "threshold": _checks.positive(owner, "threshold", threshold),
        }
        for name in learn:
            _checks.choice(owner, "learn", name, constants)
        if "tau_mem" in learn and math.isinf(tau_mem):
            raise ValueError(f"{owner}: tau_mem=inf cannot be learned; start from a finite value.")
        for name, value in constants.items():
            learned = name in learn
            setattr(self, name, nn.Parameter(torch.tensor(value)) if learned else value)
        self.learn = tuple(learn)
        self.max_spikes: int = _checks.integer(owner, "max_spikes", max_spikes, 1)
        self.silent = _checks.choice(owner, "silent", silent, ("phantom", "constant", "none"))
        self.push = _checks.non_negative(owner, "push", push)
        if push and silent == "none":
            raise ValueError(f'{owner}: push needs silent="phantom" or "constant", got {push!r}.')
        self.slope_min = _checks.non_negative(owner, "slope_min", slope_min)
        if truncation is None:
            truncation = "warn" if max_spikes > 1 else "ignore"
        known = ("warn", "raise", "ignore")
        self.truncation = _checks.choice(owner, "truncation", truncation, known)
        self.dt = _checks.positive(owner, "dt", dt)
        self._warned = False

    def extra_repr(self) -> str:
        threshold, tau_mem, tau_syn = map(number, self._constants())
        text = f"tau_mem={tau_mem:g}, tau_syn={tau_syn:g}, threshold={threshold:g}"
        text += f", max_spikes={self.max_spikes}"
        text += f", learn={self.learn}" if self.learn else ""
        return f"{text}, silent={self.silent!r}, slope_min={self.slope_min:g}, dt={self.dt:g}"

    def _constants(self) -> tuple[Any, Any, Any]:
        """Threshold and time constants, checked again where they are learned."""
        for name in self.learn:
            value = number(getattr(self, name))
            if not (value > 0 and math.isfinite(value)):
                raise ValueError(f"ExactLIF: the learned {name} has left its range: {value:g}.")
        return self.threshold, self.tau_mem, self.tau_syn

    def initial_state(self, current: Tensor) -> ExactLIFState:
        """Return the state of rest, for currents shaped like ``current [B, ...]``."""
        zero = torch.zeros_like(current)
        return ExactLIFState(zero, zero, zero)

    def step(
        self, current: Tensor, state: ExactLIFState | tuple[Tensor, Tensor, Tensor]
    ) -> tuple[Tensor, ExactLIFState]:
        """Advance one step: ``current [B, ...]`` and ``(i, v, spikes)`` to spikes and state."""
        if self.learn:
            raise ValueError(
                "ExactLIF: learned constants get gradients in the timed form only; "
                f"build the clocked one without learn={self.learn!r}."
            )
        c = Constants.of(*self._constants())
        i, v, before = state
        spikes, i, v, kept = advance(current, i, v, before, c, self.dt, self.slope_min)
        return spikes, ExactLIFState(i, v, kept)

    def load_backend(self, backend: str) -> None:
        from ..kernels.exact_lif import op  # noqa: F401

    def layer_options(self, synapse: Any, potential: bool) -> dict[str, Any]:
        """Delays of the synapse, and whether anybody asks for potentials (``TimedNeuron``)."""
        delay = getattr(synapse, "delay", None)
        if delay is not None:
            check_delay(delay, synapse.weight)
        return {"delay": delay, "peaks": potential or self.silent == "phantom"}

    def convolve(self, *problem: Any, **options: Any) -> None:
        """Nothing: a convolution is solved patch by patch (``TimedNeuron``)."""

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
        backend: str = "torch",
        delay: Tensor | None = None,
        peaks: bool = True,
    ) -> tuple[Tensor, Tensor]:
        """Spike times ``[B, O, K]`` and potentials of a fully connected layer (``TimedNeuron``).

        ``delay [O, I]``, at least 0, is added to the arrival of each input at each neuron.
        Without ``peaks`` a kernel may leave potentials at 0, which saves a third of its time.
        """
        if bias is not None or beta or error_to_silent:
            raise ValueError(
                "ExactLIF: bias, beta and error_to_silent belong to rules with time steps; "
                "in place of a bias add an input that fires at a fixed time."
            )
        carrier = (weight if backward_weight is None else backward_weight).detach()
        limit = math.inf if t_max is None else float(t_max)
        remedy = self.truncation != "ignore", self.slope_min, self.silent, self.push
        rule = Rule(self.max_spikes, limit, *remedy)
        constants = self._constants()
        if backend == "numba" and delay is None:
            from ..kernels.exact_lif.op import exact_lif

            tensors = [torch.as_tensor(x, dtype=torch.float64) for x in constants]
            found = exact_lif(times, weight, carrier, *tensors, peaks, *rule)
            out, _, potential, _, count = found[:5]
            truncated = count > self.max_spikes
        else:
            found = SpikeTimes.apply(times, weight, carrier, delay, *constants, rule)
            out, potential, truncated = found
        self._report(truncated)
        return out, potential

    def _report(self, truncated: Tensor) -> None:
        """Count truncated neurons, and say so."""
        self.truncated = None if self.truncation == "ignore" else truncated.sum()
        if not _checks.validating() or self.truncated is None or not self.truncated:
            return
        text = (
            f"{int(self.truncated)} of {truncated.numel()} neurons would fire more than "
            f"max_spikes={self.max_spikes} times; raise it, or choose truncation='ignore'."
        )
        if self.truncation == "raise":
            raise ValueError(f"ExactLIF: {text}")
        if not self._warned:
            self._warned = True
            warnings.warn(text, TruncatedSpikesWarning, stacklevel=7)

    @classmethod
    def from_synaptic(
        cls, alpha: float, beta: float, threshold: float = 1.0, *, dt: float = 1.0, **options: Any
    ) -> tuple[ExactLIF, float]:
        r"""Neuron with the decays of snnTorch's ``Synaptic``, and the factor for its weights.

        .. math:: \tau_{syn} = -dt / \ln\alpha, \qquad \tau_{mem} = -dt / \ln\beta

        ``Synaptic`` adds its current to the potential once per step; weights times ``1 / dt`` make
        this neuron the limit of ever shorter steps.
        """
        constants = synaptic_constants(alpha, beta, dt)
        return cls(*constants, threshold, dt=dt, **options), 1 / dt

    @classmethod
    def from_norse(cls, parameters: Any, **options: Any) -> tuple[ExactLIF, float]:
        r"""Neuron with the constants of norse's ``LIFParameters``, and the factor for its weights.

        norse integrates :math:`\tau_{mem} \dot v = -v + i`, so weights are multiplied by
        ``tau_mem_inv``. Rest and reset must be 0.
        """
        tau_mem, tau_syn, threshold = norse_constants(parameters)
        return cls(tau_mem, tau_syn, threshold, **options), 1 / tau_mem
