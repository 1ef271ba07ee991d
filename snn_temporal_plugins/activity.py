"""What the layers of a network do: who fires, how often, at what cost, and who is dead."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from .layer_activity import LayerActivity, operations
from .neurons.base import ClockedNeuron
from .plugins._table import table
from .synapses.base import Synapse
from .timed import Timed

DRIVERS = (
    nn.Linear,
    nn.Conv1d,
    nn.Conv2d,
    nn.Conv3d,
    Synapse,
    nn.modules.batchnorm._BatchNorm,
    nn.LayerNorm,
    nn.GroupNorm,
)
_SEQUENCES = {
    "snntorch": {"StateLeaky", "LeakyParallel", "LinearLeaky", "AssociativeLeaky"},
    "norse": {"SNN", "SNNRecurrent"},
}
_STEPS = {"snntorch": {"SpikingNeuron"}, "norse": {"SNNCell", "SNNRecurrentCell"}}


class Monitor:
    """Counts of the spiking layers of a model, which :func:`monitor` makes.

    Attributes
    ----------
    layers : dict of str to LayerActivity
        By the name of the module, in the order in which the layers first ran.

    Raises
    ------
    TypeError
        If the model is compiled or holds no spiking layer.
    """

    def __init__(self, model: nn.Module) -> None:
        if hasattr(model, "_orig_mod"):
            raise TypeError(
                "monitor: a compiled model does not call hooks; monitor the model that was "
                "compiled (model._orig_mod)."
            )
        self._neurons = dict(spiking_layers(model))
        if not self._neurons:
            raise TypeError(
                f"monitor: {type(model).__name__} holds no spiking layer (Timed, a ClockedNeuron, "
                "a neuron of snnTorch or Norse)."
            )
        self._drivers = dict(_drivers(model))
        self.layers: dict[str, LayerActivity] = {}
        self._before: list[str] = []  # synapses that ran since the last neuron
        self._operations: dict[str, Tensor] = {}
        self._held: dict[str, Tensor] = {}
        self._handles: list[Any] = []

    def __enter__(self) -> Monitor:
        for name, module in self._drivers.items():
            self._handles.append(module.register_forward_hook(self._on_synapse(name)))
        for name, module in self._neurons.items():
            if getattr(module, "init_hidden", False):
                self._handles.append(module.register_forward_pre_hook(self._note_state(name)))
            hook = self._on_neuron(name)
            self._handles.append(module.register_forward_hook(hook, with_kwargs=True))
        return self

    def __exit__(self, *exc_info: object) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        self._before.clear()
        for layer in self.layers.values():
            layer.forget()
        self._held.clear()

    def _note_state(self, name: str) -> Callable[..., None]:
        """Hook that remembers the state with which a neuron that holds it starts a call."""

        def hook(module: Any, args: Any) -> None:
            self._held[name] = module.mem

        return hook

    def _on_synapse(self, name: str) -> Callable[..., None]:
        def hook(module: nn.Module, args: Any, output: Any) -> None:
            self._before.append(name)
            with torch.no_grad():
                count = operations(module, args[0] != 0) if args else None
                if count is not None:
                    self._operations[name] = self._operations.get(name, 0) + count

        return hook

    def _on_neuron(self, name: str) -> Callable[..., None]:
        def hook(module: Any, args: Any, kwargs: Any, output: Any) -> None:
            with torch.no_grad():
                if isinstance(module, Timed):
                    times = output[0] if isinstance(output, tuple) else output
                    layer = self._layer(name, module, _units(module, times))
                    layer.add_times(times.detach())
                    arrived = args[0] < (float("inf") if module.t_max is None else module.t_max)
                    count = operations(module.synapse, arrived)
                    if count is not None:
                        self._operations[name] = self._operations.get(name, 0) + count
                else:
                    self._add_train(name, module, args, kwargs, output)
            self._before.clear()

        return hook

    def _add_train(self, name: str, module: Any, args: Any, kwargs: Any, output: Any) -> None:
        leaves = _tensors(output)
        out = leaves[0].detach()
        given = _tensors([*args[1:], *kwargs.values()])
        if getattr(module, "init_hidden", False):
            given, leaves = [self._held[name]], [out, module.mem]
        train = out if _layout(module) == "sequence" else out.unsqueeze(0)
        layer = self._layer(name, module, tuple(train.shape[2:]))
        core = module if isinstance(module, ClockedNeuron) else getattr(module, "core", None)
        count = core.spike_counts if isinstance(core, ClockedNeuron) else None
        state = leaves[-1] if len(leaves) > 1 else None
        layer.add_train(train, count, given[-1] if given else None, state)

    def _layer(self, name: str, module: nn.Module, units: tuple[int, ...]) -> LayerActivity:
        """Entry of a module; one that serves layers of several shapes has one for each."""
        if name in self.layers and self.layers[name].units != units:
            name = f"{name}[{'x'.join(map(str, units))}]"
        if name not in self.layers:
            timed = isinstance(module, Timed)
            kind = type(module.neuron if timed else module).__name__
            drivers = (name,) if timed else tuple(self._before)
            self.layers[name] = LayerActivity(kind, units, drivers, self._operations)
        layer = self.layers[name]
        last = () if isinstance(module, Timed) else tuple(self._before[-1:])
        if last and last[0] not in layer.drivers:
            layer.drivers, layer.shared = (*layer.drivers, *last), True
        return layer

    @property
    def operations(self) -> int:
        """Weights that were added, in all synapses."""
        return sum(int(count) for count in self._operations.values())

    @property
    def spiking(self) -> dict[str, LayerActivity]:
        """The layers whose outputs are spikes; a leaky readout is not among them."""
        return {name: layer for name, layer in self.layers.items() if layer.is_spiking}

    def __str__(self) -> str:
        columns = ("layer", "neuron", "units", "fired", "spikes", "operations", "dead")
        rows: list[tuple[object, ...]] = []
        for name, layer in self.spiking.items():
            units, n = torch.Size(layer.units).numel(), max(layer.samples, 1)
            cost = "-" if layer.operations is None else f"{layer.operations / n:,.1f}"
            dead = f"{layer.dead} ({layer.dead / max(units, 1):.1%})"
            share, spikes = f"{layer.fired:.1%}", f"{layer.spikes / n:,.1f}"
            rows.append((name or "(model)", layer.kind, units, share, spikes, cost, dead))
        used = {driver for layer in self.spiking.values() for driver in layer.drivers}
        samples = max((layer.samples for layer in self.layers.values()), default=0)
        for name, count in self._operations.items():
            if name not in used:
                cost = f"{int(count) / max(samples, 1):,.1f}"
                rows.append((name or "(model)", "none", "-", "-", "-", cost, "-"))
        title = f"{samples:,} samples; spikes and operations per sample"
        return table(columns, rows, title=title)

    def __repr__(self) -> str:
        return f"Monitor(layers={list(self.layers)})"


def monitor(model: nn.Module) -> Monitor:
    """Watch the spiking layers of a model while a ``with`` block runs it.

    Parameters
    ----------
    model : nn.Module
        ``Timed`` layers, neurons of this package (sequences), of snnTorch or of Norse, at any
        depth. Results and gradients stay what they are.

    Returns
    -------
    Monitor
        ``m.layers[name]`` is a :class:`LayerActivity`; ``print(m)`` shows them as a table;
        ``m.operations`` counts the weights that were added. All batches of the block are added
        up, and those of further ``with m:`` blocks.

    Raises
    ------
    TypeError
        If the model holds no spiking layer, or was compiled (compiled code calls no hooks).

    Notes
    -----
    *Samples.* A neuron that is called step by step goes on with its samples as long as the state
    that comes in is the one that last went out; otherwise new samples begin. So the loop over
    time may stand inside the model or around it. Under
    :class:`~snn_temporal_plugins.DecisionWindow` in training mode every sample is seen twice:
    monitor in evaluation mode.

    *Operations.* Each spike that arrives at a synapse adds one weight per neuron it reaches,
    borders of a convolution taken into account; an input that is not zero counts like a spike.

    *Silent neurons* that never fired in any sample are counted as dead.

    *Limits.* Layers whose output is neither 0/1 nor counts (a leaky readout) are not shown. Inside
    the block, a ``Timed`` layer cannot be *made* from a synapse of the model, as it carries a
    hook. Calls of ``neuron.step`` instead of ``neuron`` are not seen.

    Examples
    --------
    >>> import torch, snn_temporal_plugins as stp
    >>> layer = stp.Timed(torch.nn.Linear(2, 3, bias=False), stp.SingleSpikeIF(threshold=1.5))
    >>> _ = layer.synapse.weight.data.copy_(torch.tensor([[2.0, 0.0], [1.0, 1.0], [0.0, 0.7]]))
    >>> with stp.monitor(layer) as m:
    ...     _ = layer(torch.tensor([[3.0, 7.0], [4.0, float("inf")]]))
    >>> m.layers[""].fired, m.layers[""].dead, m.layers[""].fired_per_unit.tolist(), m.operations
    (0.5, 1, [1.0, 0.5, 0.0], 9)
    """
    return Monitor(model)


def spiking_layers(model: nn.Module, name: str = "") -> Iterator[tuple[str, nn.Module]]:
    """Names and modules of the spiking layers; what is inside one is not looked at."""
    if isinstance(model, Timed) or _layout(model):
        yield name, model
        return
    for key, child in model.named_children():
        yield from spiking_layers(child, f"{name}.{key}" if name else key)


def _drivers(model: nn.Module, name: str = "") -> Iterator[tuple[str, nn.Module]]:
    """Names and modules of synapses and normalisations outside of spiking layers."""
    if isinstance(model, Timed) or _layout(model):
        return
    if isinstance(model, DRIVERS):
        yield name, model
        return
    for key, child in model.named_children():
        yield from _drivers(child, f"{name}.{key}" if name else key)


def _layout(module: nn.Module) -> str:
    """``"sequence"`` or ``"step"`` for a neuron with a clock, else empty; imports no host."""
    if isinstance(module, ClockedNeuron):
        return "sequence"
    bases = [(c.__module__.partition(".")[0], c.__name__) for c in type(module).__mro__]
    if any(name in _SEQUENCES.get(package, ()) for package, name in bases):
        return "sequence"
    return "step" if any(name in _STEPS.get(package, ()) for package, name in bases) else ""


def _tensors(value: Any) -> list[Tensor]:
    """Tensors inside nested tuples and lists, in order."""
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, tuple | list):
        return [leaf for part in value for leaf in _tensors(part)]
    return []


def _units(layer: Timed, times: Tensor) -> tuple[int, ...]:
    """Shape of one sample of neurons, without the dimension of several spikes."""
    return tuple(times.shape[1 : layer.synapse.weight.dim()])
