"""Backward pass of S4NN, with its error normalisation, through a host's own loop over time.

The error of a layer is known only when the backward pass has gone through all time steps, and
must be scaled before it goes to the layer below. Hence two passes: one that measures the errors,
one that scales them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import GradientEdge

from . import _checks
from .neurons.single_spike_if import _Fire, _Gate

FIRE: Any = _Fire._backward_cls
GATE: Any = _Gate._backward_cls


def latency_backward(
    loss: Tensor, *, error_norm: str = "sum", beta: float = 0.0, retain_graph: bool = False
) -> None:
    r"""Backward pass with the error of each sample normalised in every layer, for per-step loops.

    In place of ``loss.backward()``. Layer by layer from the output down, the error
    :math:`\delta_j = \partial L / \partial V_j` of the single-spike units, summed over the time
    steps, is scaled for each sample to length 1 before it goes on:

    .. math:: \delta_j \leftarrow \delta_j / \sqrt{\sum_k \delta_k^2}

    The gradients are those of :class:`Timed` layers with the same ``error_norm``.

    Parameters
    ----------
    loss : Tensor
        A scalar, computed from the output spikes (and potentials, for silent outputs) of a model
        of :class:`SingleSpikeIF` units: the neurons themselves, or made for snnTorch or Norse.
    error_norm : {"sum", "mean"}, default="sum"
        Scale each sample's error to length 1, or to 1/B (for gradient accumulation and
        ``DistributedDataParallel``). A sample without error stays without.
    beta : float, default=0.0
        The homeostatic term of S4NN needs a whole layer at once: only 0 is possible here.
    retain_graph : bool, default=False
        As for ``loss.backward``.

    Returns
    -------
    None
        Gradients are added to the parameters' ``grad``, as by ``loss.backward()``.

    Raises
    ------
    ValueError
        If the graph holds no single-spike unit, a ``gate="triangle"``, a recurrent layer, or a
        state that was changed between two steps; or for another ``beta``.

    Notes
    -----
    A chain of layers takes one measuring pass and the backward pass. Where layers branch, or the
    loss reads several of them, each layer takes a measuring pass of its own.

    The scale of the loss makes no difference. A silent hidden unit gets no gradient; a silent
    output gets it through its potential at the last step, if the loss was given the potential.

    References
    ----------
    .. [1] S. R. Kheradpisheh, T. Masquelier, "S4NN: temporal backpropagation for spiking neural
       networks with one spike per neuron", arXiv:1910.09495, section 2.4.

    Examples
    --------
    >>> import torch, snn_temporal_plugins as stp
    >>> fc, unit = torch.nn.Linear(3, 2, bias=False), stp.SingleSpikeIF(threshold=0.4)
    >>> _ = torch.nn.init.constant_(fc.weight, 0.3)
    >>> state, outs = None, []
    >>> for x in torch.ones(5, 1, 3):
    ...     current = fc(x)
    ...     state = unit.initial_state(current) if state is None else state
    ...     out, state = unit.step(current, state)
    ...     outs.append(out)
    >>> loss = stp.RankOrderLoss(5, gamma=2).from_spikes(torch.stack(outs), torch.tensor([0]))
    >>> stp.latency_backward(loss)
    >>> fc.weight.grad.tolist()
    [[0.0, 0.0, 0.0], [1.0, 1.0, 1.0]]
    """
    _checks.choice("latency_backward", "error_norm", error_norm, ("sum", "mean"))
    if beta:
        raise ValueError(
            f"latency_backward: beta={beta!r} needs the errors of a whole layer at once; use Timed "
            "layers (to_timed(model, t_max=..., beta=...))."
        )
    layers = _layers(loss)
    above = _above(loss, layers)
    hooks: list[Any] = []
    try:
        for group in _groups(layers, above):
            lengths = _lengths(loss, group)
            wanted = 1.0 if error_norm == "sum" else 1 / len(lengths[0])
            before = torch.ones_like(lengths[0])
            for layer, length in zip(group, lengths, strict=True):
                scale = (wanted * before / length).masked_fill(length == 0, 0.0)
                hooks += layer.scale_errors(scale)
                before = length / wanted  # what comes from here to the next layer was scaled so
        loss.backward(retain_graph=retain_graph)
    finally:
        for hook in hooks:
            hook.remove()


class _Layer:
    """The nodes of one layer: where currents enter the potential, step by step or all at once."""

    def __init__(self, root: Any) -> None:
        self.root = root
        self.integrations: list[Any] = []
        self.spikes: list[Any] = []

    @property
    def whole(self) -> bool:
        """Whether one node holds the whole window."""
        return self.root.name() == "CatBackward0"

    def scale_errors(self, scale: Tensor) -> list[Any]:
        """Let what goes from the potentials to the currents be multiplied by ``scale [B]``."""

        def hook(grad_inputs: tuple, grad_outputs: tuple) -> tuple:
            first, grad = grad_inputs
            ahead = 2 if self.whole else 1  # dimensions up to the batch
            return first, grad * scale.view(*[1] * (ahead - 1), -1, *[1] * (grad.dim() - ahead))

        return [node.register_hook(hook) for node in self.integrations]

    def entrances(self) -> list[Any]:
        """Nodes that the currents come from."""
        return [node.next_functions[1][0] for node in self.integrations]


def _lengths(loss: Tensor, layers: list[_Layer]) -> list[Tensor]:
    """Length ``[B]`` of each layer's error, as it arrives at the layer now."""
    edges = [GradientEdge(layer.root, 0) for layer in layers]
    errors = torch.autograd.grad(loss, edges, retain_graph=True)
    pairs = zip(layers, errors, strict=True)
    return [(e[0] if layer.whole else e).flatten(1).norm(dim=1) for layer, e in pairs]


def _walk(start: Iterable[Any], stop: set[Any] | dict = frozenset()) -> Iterator[Any]:  # type: ignore[assignment]
    """Nodes below ``start``, each once; it does not go on below nodes in ``stop``."""
    waiting, seen = [node for node in start if node is not None], set()
    while waiting:
        node = waiting.pop()
        if node in seen:
            continue
        seen.add(node)
        yield node
        if node not in stop:
            waiting += [below for below, _ in node.next_functions if below is not None]


def _layers(loss: Tensor) -> list[_Layer]:
    """Layers of single-spike units in the graph of ``loss``."""
    nodes = list(_walk([loss.grad_fn]))
    if any(isinstance(node, GATE) for node in nodes):
        raise ValueError(
            'latency_backward: units with gate="triangle" are not possible here, their errors are '
            "normalised behind the gate; use Timed layers."
        )
    layers: dict[Any, _Layer] = {}
    for node in nodes:
        if isinstance(node, FIRE):
            root = _root(_integration(node))
            layers.setdefault(root, _Layer(root)).spikes.append(node)
    if not layers:
        raise ValueError(
            "latency_backward: the loss does not depend on any SingleSpikeIF unit; use "
            "loss.backward() for other neurons."
        )
    for node in nodes:
        if node.name() == "CatBackward0" and node in layers:
            layers[node].integrations.append(node)
        elif node.name() == "AddBackward0":
            layer = layers.get(_root(node, refuse=False))
            if layer is not None:
                layer.integrations.append(node)
    return list(layers.values())


def _integration(spike: Any) -> Any:
    """Node at which the current enters the potential that a spike was read from."""
    for node in _walk([spike]):
        if node.name() == "AddBackward0":
            return node
        if node.name() == "CumsumBackward0":
            return node.next_functions[0][0]
    raise AssertionError("a spike without potential")


def _root(node: Any, *, refuse: bool = True) -> Any:
    """First integration of the recursion over time that ``node`` belongs to."""
    while node.name() == "AddBackward0" and node.next_functions[0][0] is not None:
        marked = node.next_functions[0][0]
        before = marked.next_functions[0][0] if marked.name() == "MaskedFillBackward0" else None
        if before is None or before.name() != "AddBackward0":
            if not refuse:
                return None
            raise ValueError(
                "latency_backward: the state of a unit was changed between two steps (by "
                f"{marked.name()}), so its steps cannot be told to belong together."
            )
        node = before
    return node


def _above(loss: Tensor, layers: list[_Layer]) -> dict[_Layer | None, list[_Layer]]:
    """Layers right below each layer, and (under ``None``) those that the loss reads."""
    owner = {node: layer for layer in layers for node in (*layer.spikes, *layer.integrations)}
    below: dict[_Layer | None, list[_Layer]] = {}
    starts: dict[_Layer | None, list] = {None: [loss.grad_fn]}
    starts |= {layer: layer.entrances() for layer in layers}
    for layer, start in starts.items():
        found = {owner[node] for node in _walk(start, owner) if node in owner}
        if layer in found:
            raise ValueError(
                "latency_backward: a recurrent layer feeds its own error; per-sample "
                "normalisation is defined for feed-forward layers."
            )
        below[layer] = [other for other in layers if other in found]
    return below


def _groups(layers: list[_Layer], below: dict[_Layer | None, list[_Layer]]) -> list[list[_Layer]]:
    """Layers from the output down, in groups that one pass can measure: a chain is one group."""
    order: list[_Layer] = []
    waiting = {layer: sum(layer in found for found in below.values()) for layer in layers}
    ready = [None]
    while ready:
        for layer in below[ready.pop()]:
            waiting[layer] -= 1
            if not waiting[layer]:
                order.append(layer)
                ready.append(layer)  # type: ignore[arg-type]
    if len(order) < len(layers):
        raise ValueError(
            "latency_backward: layers feed one another in a circle; per-sample normalisation is "
            "defined for feed-forward layers."
        )
    chain = all(len(found) <= 1 for found in below.values())
    return [order] if chain else [[layer] for layer in order]
