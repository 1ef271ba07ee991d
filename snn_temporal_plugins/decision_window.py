"""Training on what the network saw before it decided."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from . import _checks
from .timed import Timed


class _SeenThrough(torch.autograd.Function):
    """The value of the second argument with the gradient of the first."""

    @staticmethod
    def forward(ctx: Any, seen: Tensor, value: Tensor) -> Tensor:
        return value.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return grad, None


class DecisionWindow(nn.Module):
    r"""Give credit only to what happened before the first output spike.

    In training the network runs twice. The first run, without gradient, gives the values: spike
    times and potentials of the whole window, and the time :math:`m` of the first output spike.
    The second run sees only the inputs that can still act on a spike at :math:`m`, and carries
    the gradient. So the error of *every* output reaches just the inputs up to the decision, and a
    hidden neuron with ``gate="triangle"`` is judged by its potential up to the decision.

    In evaluation mode, or without gradient, the model runs once and unchanged.

    Parameters
    ----------
    model : nn.Module
        Maps spike times ``[B, ...]`` to ``(times [B, C], potential [B, C])``: ``Timed`` layers in
        a chain, the last with ``return_potential=True``.
    potential : {"window", "decision"}, default="window"
        Which potential of an output that did not fire by :math:`m` is returned in training: that
        of the whole window, or the one it had at the decision. With ``"decision"`` outputs are
        judged by what they knew when it was made, which decides earlier and more often.

    Raises
    ------
    TypeError
        If the model does not return times and potential.
    ValueError
        If ``potential`` is none of the two.

    Notes
    -----
    Where no output fires the window is the whole one. Both runs see the same dropout. The
    transmission delays of the ``Timed`` layers are taken into account, layer after layer.

    Examples
    --------
    >>> import torch, snn_temporal_plugins as stp
    >>> layer = stp.Timed(
    ...     torch.nn.Linear(2, 2, bias=False), stp.SingleSpikeIF(1.5), return_potential=True
    ... )
    >>> _ = torch.nn.init.constant_(layer.synapse.weight, 2.0)
    >>> times, potential = stp.DecisionWindow(layer)(torch.tensor([[3.0, 7.0]]))
    >>> potential.sum().backward()
    >>> layer.synapse.weight.grad.tolist()  # the input at 7 comes after the decision at 3
    [[1.0, 0.0], [1.0, 0.0]]
    """

    def __init__(self, model: nn.Module, *, potential: str = "window") -> None:
        super().__init__()
        self.model = model
        self.potential = _checks.choice(
            "DecisionWindow", "potential", potential, ("window", "decision")
        )

    def extra_repr(self) -> str:
        return f"potential={self.potential!r}"

    def forward(
        self, times: Tensor, has_error: Callable[[Tensor], Tensor] | None = None
    ) -> tuple[Tensor, Tensor]:
        """Spike times of the inputs ``[B, ...]`` to times and potentials of the outputs.

        ``has_error`` maps the output times ``[B, C]`` of the first run to the outputs that will
        get an error; training then counts what came before the latest of these, not before the
        first spike.
        """
        if not (self.training and torch.is_grad_enabled()):
            return self._run(times)
        dice = torch.get_rng_state()
        with torch.no_grad():
            out, potential = self._run(times)
        torch.set_rng_state(dice)  # dropout inside the model silences the same spikes twice
        layers = [m for m in self.model.modules() if isinstance(m, Timed)]
        delay = sum(getattr(layer.neuron, "delay", 0) for layer in layers)
        if has_error is None:
            last = out.amin(1) - delay
        else:
            last = out.masked_fill(~has_error(out), -float("inf")).amax(1) - delay
        seen = times.masked_fill(times > last.view(-1, *[1] * (times.dim() - 1)), float("inf"))
        seen_out, seen_potential = self._run(seen)
        if self.potential == "window":
            seen_potential = _SeenThrough.apply(seen_potential, potential)
        return _SeenThrough.apply(seen_out, out), seen_potential

    def _run(self, times: Tensor) -> tuple[Tensor, Tensor]:
        result = self.model(times)
        if not (isinstance(result, tuple) and len(result) == 2):
            raise TypeError(
                "DecisionWindow: model must return (times, potential); build its last Timed "
                f"layer with return_potential=True. Got {type(result).__name__}."
            )
        return result
