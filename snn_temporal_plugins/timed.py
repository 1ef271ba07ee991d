"""Event-driven layers: a synapse and a neuron that map spike times to spike times."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from . import _backends, _checks
from .neurons.base import TimedNeuron, error_scale
from .synapses.base import check_synapse, event_weights
from .synapses.packed import PackedLinear
from .timed_convolution import convolve


class SilentLayerWarning(UserWarning):
    """A whole layer stayed silent for a whole batch; see :func:`calibrate_`."""


class Timed(nn.Module):
    r"""Event-driven layer: spike times in, spike times out, whatever the number of time steps.

    Parameters
    ----------
    synapse : nn.Linear, nn.Conv2d or Synapse
        Where the weights come from. Its parameters are shared, not copied. A bias is a constant
        current, added at every step.
    neuron : TimedNeuron
        For instance :class:`~snn_temporal_plugins.SingleSpikeIF`.
    t_max : int (float for a neuron with continuous times), optional
        Number of steps T of the window, or its end: inputs at or after it never act, and a spike
        that would leave the neuron at or after it is none. Needed with a bias.
    init : tuple of two floats or callable, optional
        ``(low, high)`` draws the weights uniformly; a callable gets the weight tensor. By default
        they stay as they are.
    error_norm : {None, "sum", "mean"}, default=None
        Scale the error of each sample, over the whole layer, to length 1 (``"sum"``) or 1/B
        (``"mean"``: for gradient accumulation and ``DistributedDataParallel``). A sample without
        error stays without. A neuron with ``gate="triangle"`` is scaled behind its gate, so that
        what reaches the weights has this length; that is for fully connected layers.
    beta : float, default=0.0
        Homeostatic term of S4NN: the error passed to input ``i`` is
        :math:`\delta_i = \sum_j \delta_j (w_{ji} - \beta \delta_j)` over the neurons whose causal
        set holds the input. The authors' update order makes it equal to their learning rate.
    error_to_silent : bool, default=False
        Pass the error also to inputs that stayed silent; needed by a layer below whose neuron has
        ``gate="triangle"``.
    backend : {"auto", "torch"} or a backend of the neuron, default="auto"
        ``"torch"`` is the reference; ``"auto"`` takes the fastest one that is installed and
        serves the device.
    return_potential : bool, default=False
        Return ``(times, potential)`` instead of the times alone.

    Raises
    ------
    ImportError
        If a backend is named whose package is not installed.
    TypeError, ValueError
        For a synapse that is not fully described by its weights, a bias without ``t_max``, spike
        times of the wrong shape, type, device or value.

    Notes
    -----
    *Shapes.* Linear: times ``[B, I]`` to ``[B, O]``; convolution: ``[B, C, H, W]`` to
    ``[B, C', H', W']``. One more dimension at the end, ``K``, holds several spikes per input.

    *Silent neurons* have time ``inf`` and the potential of the last step. When a whole layer is
    silent for a whole batch, a :class:`SilentLayerWarning` says so, once.

    References
    ----------
    .. [1] S. R. Kheradpisheh, T. Masquelier, arXiv:1910.09495, section 2.

    Examples
    --------
    >>> import torch, snn_temporal_plugins as stp
    >>> layer = stp.Timed(torch.nn.Linear(2, 1, bias=False), stp.SingleSpikeIF(threshold=1.5))
    >>> _ = torch.nn.init.ones_(layer.synapse.weight)
    >>> layer(torch.tensor([[3.0, 7.0]])).tolist()
    [[7.0]]
    """

    def __init__(
        self,
        synapse: nn.Module,
        neuron: TimedNeuron,
        *,
        t_max: float | None = None,
        init: tuple[float, float] | Callable[[Tensor], Any] | None = None,
        error_norm: str | None = None,
        beta: float = 0.0,
        error_to_silent: bool = False,
        backend: str = "auto",
        return_potential: bool = False,
    ) -> None:
        super().__init__()
        check_synapse("Timed", synapse)
        if not isinstance(neuron, TimedNeuron):
            raise TypeError(f"Timed: neuron must be a TimedNeuron, got {type(neuron).__name__}.")
        _check_window(synapse, neuron, t_max)
        if error_norm is not None and neuron.gates_errors and hasattr(synapse, "kernel_size"):
            raise ValueError(
                "Timed: error_norm scales errors behind the neuron's gate, which is possible in "
                'fully connected layers only; give a convolution error_norm=None or gate="spike".'
            )
        self.synapse: Any = synapse
        self.neuron, self.t_max, self.init = neuron, t_max, init
        self.error_norm = _checks.choice("Timed", "error_norm", error_norm, (None, "sum", "mean"))
        self.beta = _checks.non_negative("Timed", "beta", beta)
        self.error_to_silent = bool(error_to_silent)
        self.return_potential = bool(return_potential)
        self.backend = _checks.choice(
            "Timed", "backend", backend, ("auto", "torch", *neuron.backends)
        )
        self._choose()
        self._warned_silent = False
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the weights afresh as ``init`` says; without ``init`` as the synapse does."""
        if self.init is None:
            return
        with torch.no_grad():
            if callable(self.init):
                self.init(self.synapse.weight)
            else:
                self.synapse.weight.uniform_(*self.init)

    def _choose(self) -> None:
        """Find the backend of this machine, and whether the neuron itself can scale the errors.

        It can where it sees the whole layer: where that is dense.
        """
        neuron = self.neuron
        self._chosen = _backends.load("Timed", self.backend, neuron.backends, neuron.load_backend)
        self._scaled_by_neuron = neuron.scales_errors and not hasattr(self.synapse, "kernel_size")

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._choose()

    def extra_repr(self) -> str:
        chosen = _backends.describe(self.backend, self._chosen)
        return (
            f"t_max={self.t_max}, error_norm={self.error_norm!r}, beta={self.beta:g}, "
            f"backend={chosen!r}"
        )

    def forward(self, times: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """Spike times ``[B, ...]`` of the inputs to those of the neurons, and their potentials."""
        out, potential = self.solve(times, potential=self.return_potential)
        if self.error_norm is not None and not self._scaled_by_neuron:
            out, potential = _NormalizeError.apply(out, potential, self.error_norm == "mean")
        if _checks.validating() and not self._warned_silent:
            self._warn_if_silent(out)
        return (out, potential) if self.return_potential else out

    def solve(self, times: Tensor, *, potential: bool = True) -> tuple[Tensor, Tensor]:
        """Spike times and potentials ``[B, ...]``, before any error normalisation.

        Without ``potential`` the potentials may be missing, where they would cost time.
        """
        synapse, neuron = self.synapse, self.neuron
        if isinstance(synapse, PackedLinear):
            self._check(times, synapse.outline(), synapse.bias)
            if synapse.serves(neuron, times, self._backend_for(times)):
                t_max: Any = self.t_max  # packed neurons count steps
                return synapse.solve(neuron, times, t_max, potential)
        weight, backward_weight = event_weights(synapse)
        bias = synapse.bias
        self._check(times, weight, bias)
        options = {
            "backward_weight": backward_weight,
            "bias": bias,
            "t_max": self.t_max,
            "beta": self.beta * (len(times) if self.error_norm == "mean" else 1),
            "error_to_silent": self.error_to_silent,
            "backend": self._backend_for(times),
            **neuron.layer_options(synapse, potential),
        }
        if self.error_norm is not None and self._scaled_by_neuron:
            wanted = 1 / max(len(times), 1) if self.error_norm == "mean" else 1.0
            options["error_length"] = wanted
        if weight.dim() == 4:
            return convolve(neuron, synapse, times, weight, options)
        return neuron.spike_times(times, weight, **options)

    def _backend_for(self, times: Tensor) -> str:
        return _backends.on(self.backend, self._chosen, times)

    def _check(self, times: Tensor, weight: Tensor, bias: Tensor | None) -> None:
        _checks.spike_times("Timed", times)
        rank = weight.dim()
        name, size = ("C", weight.shape[1]) if rank == 4 else ("I", weight.shape[1])
        if rank == 4:
            size *= self.synapse.groups
        if times.dim() not in (rank, rank + 1) or times.shape[1] != size:
            shape = f"[B, {name}={size}" + (", H, W" if rank == 4 else "") + "]"
            hint = " Flatten it first: times.flatten(1)." if rank == 2 and times.dim() > 3 else ""
            raise ValueError(
                f"Timed: expected times of shape {shape} (or one more dimension for several "
                f"spikes per input), got {list(times.shape)}.{hint}"
            )
        _checks.same_device("Timed", "times", times, "the synapse", weight)
        if times.dtype != weight.dtype:
            raise TypeError(f"Timed: times are {times.dtype} but the weights {weight.dtype}.")
        if bias is not None and _checks.validating():
            late = times.detach()[torch.isfinite(times.detach())]
            if not torch.equal(late, late.floor()):
                raise ValueError(
                    "Timed: with a bias (a current per step) times must be whole steps; "
                    "encode with steps=True or build the synapse with bias=False."
                )

    def _warn_if_silent(self, out: Tensor) -> None:
        found = out.detach()  # one sample that fires will do
        if out.numel() and all(x.amin().item() == float("inf") for x in (found[0], found)):
            self._warned_silent = True
            warnings.warn(
                f"all {out[0].numel()} neurons of a Timed layer stayed silent for a whole batch "
                f"(threshold {getattr(self.neuron, 'threshold', '?')}); "
                "calibrate_(model, inputs) scales the weights so that neurons fire.",
                SilentLayerWarning,
                stacklevel=3,
            )


def _check_window(synapse: nn.Module, neuron: TimedNeuron, t_max: float | None) -> None:
    """Raise unless the window, the bias and the neuron's idea of time belong together."""
    kind, biased = type(synapse).__name__, getattr(synapse, "bias", None) is not None
    if neuron.continuous and biased:
        raise ValueError(
            f"Timed: {type(neuron).__name__} has no time steps, and a bias is a current at every "
            f"step; build {kind} with bias=False, and add an input that fires at a fixed time."
        )
    if t_max is None and biased:
        raise ValueError(
            "Timed: a bias is a current at every step, so it needs t_max (the number of "
            f"steps); give t_max, or build {kind} with bias=False."
        )
    if t_max is not None and neuron.continuous:
        _checks.positive("Timed", "t_max", t_max)
    elif t_max is not None:
        _checks.integer("Timed", "t_max", t_max, 1)  # type: ignore[arg-type]


class _NormalizeError(torch.autograd.Function):
    """Identity whose backward scales each sample's error, over the whole layer, to one length."""

    @staticmethod
    def forward(ctx: Any, times: Tensor, potential: Tensor, mean: bool) -> tuple[Tensor, Tensor]:
        ctx.mean = mean
        ctx.set_materialize_grads(False)
        return times.view_as(times), potential.view_as(potential)

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, grad_times: Tensor | None, grad_potential: Tensor | None
    ) -> tuple[Tensor | None, Tensor | None, None]:
        parts = [grad for grad in (grad_times, grad_potential) if grad is not None]
        error = parts[0] if len(parts) == 1 else parts[1] - parts[0]
        scale = error_scale(error, 1 / len(error) if ctx.mean else 1.0)
        scaled = [None if grad is None else grad * scale for grad in (grad_times, grad_potential)]
        return scaled[0], scaled[1], None
