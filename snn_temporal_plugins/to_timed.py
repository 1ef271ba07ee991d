"""Event-driven twin of a clocked model, layer by layer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import nn

from .neurons.single_spike_if import SingleSpikeIF
from .pooling import FirstSpikePool2d
from .synapses.base import Synapse
from .timed import Timed

_REASONS: dict[type[nn.Module], str] = {
    nn.MaxPool2d: (
        "on spike trains the maximum of a window may fire in several steps, which no single spike "
        "time can say; use FirstSpikePool2d, which passes the earliest spike"
    ),
    nn.AvgPool2d: "an average of spikes is no spike; use FirstSpikePool2d",
    nn.Dropout: "it is drawn anew in every step",
}


def to_timed(
    model: nn.Module, *, t_max: int, return_potential: bool = False, **options: Any
) -> nn.Sequential:
    """Event-driven twin of a clocked model: spike times in, spike times out, same parameters.

    Every synapse and the single-spike unit behind it become one
    :class:`~snn_temporal_plugins.Timed` layer. Nothing is copied: training one trains the other.

    Parameters
    ----------
    model : nn.Sequential or norse SequentialState
        Synapses (``nn.Linear``, ``nn.Conv2d``, ``Synapse``, also inside norse's ``Lift``), each
        followed by a :class:`~snn_temporal_plugins.SingleSpikeIF` or a host class made from it;
        ``nn.Flatten`` (of everything but the batch), ``nn.Identity`` and ``FirstSpikePool2d`` in
        between. Containers may be nested.
    t_max : int
        Number of steps the clocked model runs.
    return_potential : bool, default=False
        Let the last layer return ``(times, potential)``.
    **options
        Further arguments of every ``Timed`` layer, for instance ``error_norm`` or ``backend``.

    Returns
    -------
    nn.Sequential
        Maps spike times ``[B, ...]`` of the inputs to those of the last units.

    Raises
    ------
    TypeError
        If the model holds anything else, naming the first such module and why.

    Notes
    -----
    A silent unit has time ``inf``. The twin follows the model from the resting state: a state
    carried over from earlier steps has no place in it.

    Examples
    --------
    >>> import torch, snn_temporal_plugins as stp
    >>> fc, unit = torch.nn.Linear(2, 1, bias=False), stp.SingleSpikeIF(threshold=1.5)
    >>> _ = torch.nn.init.ones_(fc.weight)
    >>> twin = stp.to_timed(torch.nn.Sequential(fc, unit), t_max=10)
    >>> twin(torch.tensor([[3.0, 7.0]])).tolist()
    [[7.0]]
    """
    layers: list[nn.Module] = []
    synapse: tuple[str, nn.Module] | None = None
    for name, module in leaves("model", model):
        neuron = _single_spike(module)
        if neuron is not None and synapse is not None:
            layers.append(Timed(synapse[1], neuron, t_max=t_max, **options))
            synapse = None
        elif neuron is not None:
            raise _refusal(name, module, "there is no synapse right before it")
        elif synapse is not None:
            raise _refusal(*synapse, f"{name} behind it is no single-spike unit")
        elif isinstance(module, nn.Linear | nn.Conv2d | Synapse):
            synapse = name, module
        else:
            layers.append(_passed_on(name, module))
    if synapse is not None:
        raise _refusal(*synapse, "no single-spike unit follows it")
    if not any(isinstance(layer, Timed) for layer in layers):
        raise TypeError("to_timed: the model holds no synapse with a single-spike unit.")
    if return_potential:
        if not isinstance(layers[-1], Timed):
            raise TypeError("to_timed: return_potential needs a unit as the last module.")
        layers[-1].return_potential = True
    return nn.Sequential(*layers).train(model.training)


def leaves(name: str, module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Names and modules of nested containers, in order; norse's ``Lift`` is looked through."""
    module = getattr(module, "lifted_module", module)
    if isinstance(module, nn.Sequential):  # norse's SequentialState is one
        for key, child in module._modules.items():  # named_children() drops a module's second use
            assert child is not None
            yield from leaves(f"{name}.{key}", child)
    else:
        yield name, module


def _single_spike(module: nn.Module) -> SingleSpikeIF | None:
    """Return the neuron a module is, or that a host class was made from."""
    neuron = module if isinstance(module, SingleSpikeIF) else getattr(module, "core", None)
    return neuron if isinstance(neuron, SingleSpikeIF) else None


def _passed_on(name: str, module: nn.Module) -> nn.Module:
    """Module that does to spike times what it does to spike trains."""
    if isinstance(module, nn.Identity | FirstSpikePool2d):
        return module
    if isinstance(module, nn.Flatten):
        if module.start_dim not in (1, 2) or module.end_dim != -1:  # 2: of a train [T, B, ...]
            raise _refusal(name, module, "it does not flatten everything but the batch")
        return nn.Flatten()
    for kind, reason in _REASONS.items():
        if isinstance(module, kind):
            raise _refusal(name, module, reason)
    raise _refusal(name, module, "what it does to spike times is not known")


def _refusal(name: str, module: nn.Module, reason: str) -> TypeError:
    return TypeError(f"to_timed: {name} ({type(module).__name__}) has no timed form: {reason}.")
