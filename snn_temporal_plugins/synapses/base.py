"""The contract of a synapse: the weights an event-driven layer needs."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn


class Synapse(nn.Module, ABC):
    """A layer of synapses that can serve an event-driven neuron.

    A synapse is an ordinary module (``forward`` maps spikes or values ``[B, I]`` to currents
    ``[B, O]``, or images ``[B, C, H, W]`` to images) that also tells its weights.
    ``weight.dim()`` decides the geometry: two for a fully connected layer, four for a 2-d
    convolution, which must also have the attributes ``stride``, ``padding``, ``dilation`` and
    ``groups`` of ``nn.Conv2d``.
    """

    @abstractmethod
    def event_weights(self) -> tuple[Tensor, Tensor]:
        """Return the weights of the forward pass and those that carry the error back.

        The gradient reaches the first; the second is used as a constant. Both have the shape of
        ``weight``. They differ where forward weights are binarised.
        """

    def scale_(self, factor: float) -> None:
        """Multiply the currents of this layer by a factor, in place; by default all parameters."""
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.mul_(factor)


_ADAPTED = (nn.Linear, nn.Conv2d)


def check_synapse(owner: str, synapse: nn.Module) -> None:
    """Raise unless the weights of ``synapse`` tell the whole of what its ``forward`` does."""
    name = type(synapse).__name__
    if not isinstance(synapse, (Synapse, *_ADAPTED)):
        raise TypeError(f"{owner}: synapse must be nn.Linear, nn.Conv2d or a Synapse, got {name}.")
    if synapse._forward_hooks or synapse._forward_pre_hooks:
        raise ValueError(
            f"{owner}: synapse {name} has forward hooks, which an event-driven layer would skip; "
            "remove them (torch.nn.utils.parametrizations works without hooks)."
        )
    if not isinstance(synapse, Synapse):
        kind = next(kind for kind in _ADAPTED if isinstance(synapse, kind))
        if type(synapse).forward is not kind.forward:
            raise TypeError(
                f"{owner}: synapse {name} overrides forward, which an event-driven layer would "
                "skip; derive it from snn_temporal_plugins.Synapse instead."
            )
    if getattr(synapse, "padding_mode", "zeros") != "zeros":
        raise ValueError(
            f"{owner}: synapse {name} has padding_mode={synapse.padding_mode!r}; "
            "only 'zeros' (no spike outside the image) is supported."
        )


def event_weights(synapse: nn.Module) -> tuple[Tensor, Tensor]:
    """Forward and backward weights of a synapse; both the same for the layers of torch."""
    if isinstance(synapse, Synapse):
        return synapse.event_weights()
    weight = synapse.weight
    return weight, weight  # type: ignore[return-value]
