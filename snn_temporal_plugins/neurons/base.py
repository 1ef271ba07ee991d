"""The two contracts of a neuron: clocked (one step per call) and timed (times to times).

Conventions shared by every neuron of the package, written once:

* **Step.** An input spike of step ``t`` acts in step ``t``, and the neuron may fire in that very
  step when its potential is strictly above the threshold. Steps are ``0 ... T-1``.
* **Silence.** A neuron that never fires has spike time ``inf``.
* **Bias.** A bias is a constant current, added at every step.
* **Potential.** The potential of a neuron is its value at its own spike or, if it stayed silent,
  at the last step.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn


class ClockedNeuron(nn.Module, ABC):
    """A neuron that advances by one time step per call.

    Subclasses write :meth:`initial_state` and :meth:`step`; the loop over time, :meth:`forward`,
    is written once here. *All* state travels in the returned state, a ``NamedTuple`` of tensors:
    a module that is called twice with the same arguments answers twice the same.

    Attributes
    ----------
    State : type
        The ``NamedTuple`` class of the state. Its field names are the state's names in the hosts.
    max_spikes : int or None
        How often one unit fires at most in a window; ``None``: any number of times.

    Notes
    -----
    The first value returned is what feeds the next layer: spikes, or for some neurons the
    post-synaptic current that the spikes cause.
    """

    State: ClassVar[type[tuple]]
    max_spikes: int | None = None

    @abstractmethod
    def initial_state(self, current: Tensor) -> Any:
        """Return the state before the first step, for currents shaped like ``current [B, ...]``."""

    @abstractmethod
    def step(self, current: Tensor, state: Any) -> tuple[Tensor, Any]:
        """Advance one step: ``current [B, ...]`` and state to output ``[B, ...]`` and state."""

    def forward(self, current: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """Run over time: ``current [T, B, ...]`` to outputs ``[T, B, ...]`` and the last state."""
        steps = current.unbind(0)  # indexing current[t] would cost T^2 in the backward pass
        if state is None:
            state = self.initial_state(steps[0])
        outputs = []
        for current_t in steps:
            out, state = self.step(current_t, state)
            outputs.append(out)
        return torch.stack(outputs), state

    def spike_counts(self, out: Tensor, before: Tensor) -> Tensor:
        """Numbers of spikes behind outputs ``[T, B, ...]``, for monitors; by default these.

        ``before [B, ...]`` is the output of the step before, zero at rest. A neuron whose output
        is not spikes tells here how many it stands for.
        """
        return out


def error_scale(error: Tensor, length: float) -> Tensor:
    """Factors ``[B, 1, ...]`` that give each sample's error a length; 0 where there is none."""
    found = torch.linalg.vector_norm(error.flatten(1), dim=1)
    scale = (length / found).masked_fill_(found == 0, 0.0)
    return scale.view(-1, *[1] * (error.dim() - 1))


class Window(NamedTuple):
    """Where the patches of a convolution lie."""

    stride: Sequence[int]  #: vertical, horizontal
    padding: Sequence[int]  #: top, bottom, left, right
    dilation: Sequence[int]  #: vertical, horizontal

    def size(self, image: Sequence[int], kernel: Sequence[int]) -> tuple[int, int]:
        """Height and width of the output."""
        rows, columns = (
            (
                image[i]
                + sum(self.padding[2 * i : 2 * i + 2])
                - self.dilation[i] * (kernel[i] - 1)
                - 1
            )
            // self.stride[i]
            + 1
            for i in (0, 1)
        )
        return rows, columns


class TimedNeuron(nn.Module, ABC):
    """A neuron that maps input spike times ``[B, I]`` to output times ``[B, O]``, without a clock.

    It is used under :class:`snn_temporal_plugins.Timed`, which owns the synapse, turns
    convolutions into dense problems and applies the options that need a whole layer.

    Attributes
    ----------
    backends : tuple of str
        Implementations that exist beside ``"torch"``, the reference; the fastest first. They
        run on the CPU.
    continuous : bool
        Whether times are real numbers instead of steps: then ``t_max`` may be one, too, and there
        is no bias, which is a current per step.
    scales_errors : bool
        Whether :meth:`spike_times` takes ``error_length``, the length to which it scales each
        sample's error, behind its gate if it has one (``None``: as it is).
    """

    backends: ClassVar[tuple[str, ...]] = ()
    continuous: ClassVar[bool] = False
    scales_errors: ClassVar[bool] = False

    @property
    def gates_errors(self) -> bool:
        """Whether a gate of its own scales the errors that arrive; by default not."""
        return False

    def load_backend(self, backend: str) -> None:
        """Import what one of ``backends`` needs; ``ImportError`` if it is not installed."""

    def layer_options(self, synapse: Any, potential: bool) -> dict[str, Any]:
        """Further arguments of :meth:`spike_times` from the synapse, and if potentials count."""
        return {}

    @abstractmethod
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
    ) -> tuple[Tensor, Tensor]:
        """Spike times and potentials of one fully connected layer.

        Parameters
        ----------
        times : Tensor of shape [B, I] or [B, I, K]
            Input spike times; ``inf`` never arrives.
        weight : Tensor of shape [O, I]
            Synaptic weights of the forward pass; receives the weight gradient.
        backward_weight : Tensor of shape [O, I], optional
            Weights that carry the error back to the inputs; by default ``weight``.
        bias : Tensor of shape [O], optional
            Constant current, added at every step.
        t_max : int (float for continuous times), optional
            Number of steps of the window, or its end. Inputs at or after it never act.
        beta : float, default=0.0
            Homeostatic term of the error that is passed back (S4NN only).
        error_to_silent : bool, default=False
            Pass the error also to inputs that stayed silent.
        backend : str, default="torch"
            Which implementation computes the result.

        Returns
        -------
        times : Tensor of shape [B, O] or [B, O, K]
        potential : Tensor of shape [B, O]
        """

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
        """Spike times and potentials of a convolution, where there is more than patch by patch.

        Parameters
        ----------
        times : Tensor of shape [B, C, H, W]
            Input spike times.
        weight : Tensor of shape [O, C, kh, kw]
            Weights of one convolution without groups.
        window : Window
            Stride, padding and dilation.
        backward_weight, bias, t_max, beta, error_to_silent, backend
            As for :meth:`spike_times`.

        Returns
        -------
        tuple of two Tensors of shape [B, O, H', W'], or None
            ``None``, the default, lets :meth:`spike_times` solve one problem per patch.
        """
        return None
