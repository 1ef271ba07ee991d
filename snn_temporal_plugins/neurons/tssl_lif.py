"""Leaky integrate-and-fire neuron with spike-sequence backpropagation (TSSL-BP)."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from .. import _backends, _checks
from ..psc import psc_filter
from .base import ClockedNeuron
from .tssl_rule import Reference, Rule, Run


class TSSLState(NamedTuple):
    """State of :class:`TSSLLIF` with ``output="psc"``."""

    v: Tensor  #: membrane potential after the reset
    a: Tensor  #: PSC that the neuron's own spikes cause


class TSSLSpikeState(NamedTuple):
    """State of :class:`TSSLLIF` with ``output="spikes"``."""

    i: Tensor  #: synaptic current, the filtered input
    v: Tensor  #: membrane potential after the reset
    a: Tensor  #: PSC that the neuron's own spikes cause; without gradient


class TSSLLIF(ClockedNeuron):
    r"""Leaky integrate-and-fire neuron whose gradient runs over its spike sequence.

    .. math::
        u[t] &= (1 - 1/\tau_m)\, v[t-1] + x[t], \qquad s[t] = \mathbb 1[u[t] > \theta] \\
        v[t] &= u[t]\,(1 - s[t]), \qquad a[t] = a[t-1] + (s[t] - a[t-1]) / \tau_s

    Layers exchange the post-synaptic current (PSC) :math:`a`: the input current is
    :math:`x = W a_{pre}`. A spike acts in its own step, so depth costs no latency and five
    steps are enough for deep networks.

    Parameters
    ----------
    tau_mem : float, default=5.0
        Membrane time constant, in steps; more than 1.
    tau_syn : float, default=3.0
        Synaptic time constant, in steps; at least 1.
    threshold : float, default=1.0
        Firing threshold, in the unit of the weights. The comparison is strict.
    output : {"psc", "spikes"}, default="psc"
        ``"psc"``: the output is the PSC of the neuron's own spikes, and feeds the next weights.
        ``"spikes"``: the output is spikes, and the neuron filters its *input*,
        :math:`i[t] = i[t-1] + (x[t] - i[t-1]) / \tau_s` with :math:`x = W s_{pre}`. Behind
        synapses without bias both forms are one network.
    inter : bool, default=True
        Keep the inter-neuron term: a spike's effect on the PSC, through the time of the spike.
    intra : bool, default=True
        Keep the intra-neuron term: a spike's effect on the neuron's later spikes, through the
        time of the reset.
    leak : bool, default=True
        Carry the gradient of later spikes back through steps without a spike.
    fallback : {"neuron", "layer", "always", "never"}, default="neuron"
        Where a sigmoid surrogate replaces the gradient on the current. ``"neuron"``: at every
        (neuron, step) whose PSC is below ``silence``. ``"layer"``: everywhere, while the layer's
        mean rate over batch and window is at most ``layer_rate``, else nowhere. ``"always"`` is a
        plain surrogate gradient, ``"never"`` the rule alone; a network that starts silent cannot
        learn with it.
    silence : float, optional
        PSC below which a neuron counts as silent, by default ``1 / (4 * tau_syn)``.
    layer_rate : float, default=0.1
        For ``fallback="layer"``.
    width : float, default=0.2
        Width of the sigmoid, in the unit of the threshold.
    max_slope : float, default=8.0
        Clamp of :math:`1 / \Delta u`.
    backend : {"auto", "torch", "numba"}, default="auto"
        ``"torch"`` is the reference and runs on any device; ``"auto"`` takes the kernel where it
        is installed and the current is on the CPU.

    Raises
    ------
    ValueError
        If a constant is outside its range, or :meth:`step` is called with ``fallback="layer"``,
        which needs the whole window.
    ImportError
        If ``backend="numba"`` is named and numba is not installed.

    Notes
    -----
    *Shapes.* Current ``[T, B, ...]`` (``[B, ...]`` per :meth:`step`) to output of the same shape.
    The state is ``(v, a)``, of spikes ``(i, v, a)``; states carry gradients, except ``a`` of the
    spike form.

    *Gradient.* With :math:`\Delta u[t] = u[t] - v[t-1]`, the slope
    :math:`\kappa = \min(1/\Delta u, \kappa_{max})`, the effect
    :math:`G[t] = \sum_{m \ge t} \varepsilon[m-t]\, \partial L / \partial a[m]` of a spike on all
    later PSCs, and :math:`D[T] = 0`, backwards in time:

    .. math::
        D[t] = s\,\kappa\,(G[t] + \tfrac{1}{\tau_m} u[t]\, D[t+1])
            + (1 - s)(1 - \tfrac{1}{\tau_m})\, D[t+1]

    and :math:`\partial L / \partial x[t]` is :math:`D[t]`, or, where the neuron is silent
    (:math:`a[t]` below ``silence``), :math:`\sigma'((u - \theta)/w)\, G[t] / w`, the argument held
    within :math:`\pm 8`. A silent step still passes :math:`D` on. This is the recursion of the
    authors' program at its last public state (commit ffaac71), which its published figures precede;
    it is *not* the derivative of anything. ``intra=False, leak=False, fallback="layer",
    max_slope=10.0, tau_syn=2.0`` is the program at submission.

    *Steps.* :meth:`step` is one node of autograd: a loop over it gives the gradients of
    :meth:`forward`, and truncating or carrying the state works as usual. A gradient on the last
    potential counts as coming from the next step.

    *Stock neurons* with the same spikes: ``frontends.stock.to_stock``.

    *Silent neurons* put out zeros and get the sigmoid's gradient, never less than 0.0017 of
    :math:`G` (at the default width).

    References
    ----------
    .. [1] W. Zhang, P. Li, "Temporal spike sequence learning via backpropagation for deep spiking
       neural networks", NeurIPS 2020, arXiv:2002.10085.

    Examples
    --------
    >>> import torch, snn_temporal_plugins as stp
    >>> neuron = stp.TSSLLIF(tau_mem=5.0, tau_syn=2.0, threshold=1.5)
    >>> psc, state = neuron(torch.ones(4, 1, 1))
    >>> psc.flatten().tolist()
    [0.0, 0.5, 0.25, 0.625]
    """

    State: Any = TSSLState  # type: ignore[misc]  # the spike form has another one
    backends = ("numba",)

    def __init__(
        self,
        tau_mem: float = 5.0,
        tau_syn: float = 3.0,
        threshold: float = 1.0,
        *,
        output: str = "psc",
        inter: bool = True,
        intra: bool = True,
        leak: bool = True,
        fallback: str = "neuron",
        silence: float | None = None,
        layer_rate: float = 0.1,
        width: float = 0.2,
        max_slope: float = 8.0,
        backend: str = "auto",
    ) -> None:
        super().__init__()
        owner = "TSSLLIF"
        self.tau_mem = _checks.above(owner, "tau_mem", tau_mem, 1)
        self.tau_syn = _checks.at_least(owner, "tau_syn", tau_syn, 1)
        self.threshold = _checks.positive(owner, "threshold", threshold)
        self.output = _checks.choice(owner, "output", output, ("psc", "spikes"))
        self.State = TSSLState if output == "psc" else TSSLSpikeState
        self.inter, self.intra, self.leak = bool(inter), bool(intra), bool(leak)
        modes = ("neuron", "layer", "always", "never")
        self.fallback = _checks.choice(owner, "fallback", fallback, modes)
        quarter = 0.25 / self.tau_syn
        self.silence = _checks.positive(owner, "silence", quarter if silence is None else silence)
        self.layer_rate = _checks.non_negative(owner, "layer_rate", layer_rate)
        self.width = _checks.positive(owner, "width", width)
        self.max_slope = _checks.positive(owner, "max_slope", max_slope)
        self.backend = _checks.choice(owner, "backend", backend, ("auto", "torch", *self.backends))
        self._chosen = _backends.load(owner, self.backend, self.backends, self.load_backend)

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._chosen = _backends.load("TSSLLIF", self.backend, self.backends, self.load_backend)

    def load_backend(self, backend: str) -> None:
        """Import what one of ``backends`` needs; ``ImportError`` if it is not installed."""
        from ..kernels.tssl_lif import op  # noqa: F401

    def extra_repr(self) -> str:
        text = (
            f"tau_mem={self.tau_mem:g}, tau_syn={self.tau_syn:g}, threshold={self.threshold:g}, "
            f"output={self.output!r}, fallback={self.fallback!r}"
        )
        off = [name for name in ("inter", "intra", "leak") if not getattr(self, name)]
        text += "".join(f", {name}=False" for name in off)
        return f"{text}, backend={_backends.describe(self.backend, self._chosen)!r}"

    @property
    def rule(self) -> Rule:
        """Constants of the neuron and of its gradient."""
        silence = {"always": float("inf"), "never": float("-inf")}
        return Rule(
            1 / self.tau_mem,
            1 / self.tau_syn,
            self.threshold,
            float(self.inter),
            float(self.intra),
            float(self.leak),
            self.max_slope,
            self.width,
            silence.get(self.fallback, self.silence),
            self.layer_rate if self.fallback == "layer" else -1.0,
            self.output == "spikes",
        )

    def initial_state(self, current: Tensor) -> TSSLState | TSSLSpikeState:
        """All zeros, for currents shaped like ``current [B, ...]``."""
        zero = torch.zeros_like(_single(current))
        return self.State(*[zero] * len(self.State._fields))

    def step(
        self, current: Tensor, state: TSSLState | TSSLSpikeState | tuple[Tensor, ...]
    ) -> tuple[Tensor, TSSLState | TSSLSpikeState]:
        """Advance one step: ``current [B, ...]`` and state to output ``[B, ...]`` and state."""
        if self.fallback == "layer":
            raise ValueError(
                'TSSLLIF: fallback="layer" needs the whole window; call the neuron with a current '
                "[T, B, ...]."
            )
        out, after = self.forward(current.unsqueeze(0), state)
        return out[0], after

    def forward(
        self,
        current: Tensor,
        state: TSSLState | TSSLSpikeState | tuple[Tensor, ...] | None = None,
    ) -> tuple[Tensor, TSSLState | TSSLSpikeState]:
        """Run over time: ``current [T, B, ...]`` to outputs ``[T, B, ...]`` and the last state."""
        current = _single(_checks.current("TSSLLIF", current))
        i, v, a = None, None, None
        if state is not None:
            *synaptic, v, a = _checks.state("TSSLLIF", state, self.State, current)
            i = synaptic[0] if synaptic else None
        filtered = self.output == "spikes"
        if filtered:
            current = psc_filter(current, self.tau_syn, i, backend=self._backend(current))
        run = self._run(current, v, a)
        last = [current[-1]] if filtered else []
        return run.out, self.State(*last, run.v, run.a)

    def static(self, current: Tensor, num_steps: int) -> tuple[Tensor, TSSLState | TSSLSpikeState]:
        """Run from rest on ``c[t] * current [B, ...]``: the PSC of an input that does not change.

        Returns the outputs ``[T, B, ...]`` and the last state;
        see :class:`~snn_temporal_plugins.StaticInput`.
        """
        current = _single(current)
        keep = 1 - 1 / self.tau_syn
        scale = current.new_tensor([1 - keep**step for step in range(1, num_steps + 1)])
        run = self._run(current.unsqueeze(0), None, None, scale)
        last = [scale[-1] * current] if self.output == "spikes" else []
        return run.out, self.State(*last, run.v, run.a)

    def spike_counts(self, out: Tensor, before: Tensor) -> Tensor:
        """Spikes, also from PSCs: the filter is inverted."""
        if self.output == "spikes":
            return out
        earlier = torch.cat([before.unsqueeze(0), out[:-1]])
        return (earlier + self.tau_syn * (out - earlier)).round()

    def _backend(self, current: Tensor) -> str:
        return _backends.on(self.backend, self._chosen, current)

    def _run(
        self, x: Tensor, v: Tensor | None, a: Tensor | None, scale: Tensor | None = None
    ) -> Run:
        """Run from the state ``(v, a)``, from rest without one."""
        if self._backend(x) == "numba":
            from ..kernels.tssl_lif.op import run

            rest = x.new_empty(0)
            return run(x, rest if v is None else v, rest if a is None else a, self.rule, scale)
        if scale is not None:
            x = scale.view(-1, *[1] * (x.dim() - 1)) * x
        zero = torch.zeros_like(x[0])
        return Run(
            *Reference.apply(x, zero if v is None else v, zero if a is None else a, self.rule)
        )


def _single(current: Tensor) -> Tensor:
    """Half precision, as autocast makes it, becomes float32: ``1 / du`` needs the digits."""
    return current if current.dtype == torch.float64 else current.float()
