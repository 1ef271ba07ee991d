"""Models as graphs of the Neuromorphic Intermediate Representation (NIR), for other tools."""

from __future__ import annotations

import json
import math
from functools import singledispatch
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import nn

from . import _checks
from .neurons.base import ClockedNeuron
from .neurons.exact_lif import ExactLIF
from .neurons.exact_lif_dynamics import number
from .neurons.herding import HerdingQuantizer, HerdingReLU
from .neurons.single_spike_if import SingleSpikeIF
from .neurons.tssl_lif import TSSLLIF
from .over_time import OverTime
from .pooling import FirstSpikePool2d, SumPool2d
from .synapses.binary import BinaryConv2d, BinaryLinear
from .to_timed import leaves

METADATA = "snn_temporal_plugins"  # key of a node's metadata under which the module is described
NEVER = -1e9  # potential from which no input leads back to the threshold

HINT = "see snn_temporal_plugins.nir.nodes.register."
LOSSY: dict[type, str] = {
    ExactLIF: "fires between the steps, which NIR's CubaLIF does not; lossy=True exports it as one."
}

Shape = tuple[int, ...]
_RESHAPING = (nn.Linear, nn.Conv2d, BinaryLinear, BinaryConv2d, SumPool2d, nn.AvgPool2d)


class NotExportableError(TypeError):
    """A module has no counterpart in NIR, or only one that loses something."""


def to_nir(model: nn.Module, input_shape: Shape, *, lossy: bool = False, dt: float = 1e-3) -> Any:
    r"""Export a clocked model as a graph of NIR.

    Parameters
    ----------
    model : nn.Module
        A neuron, also of a host, or (nested) ``nn.Sequential`` of synapses (``nn.Linear``,
        ``nn.Conv2d``, binary ones, also inside ``OverTime`` or norse's ``Lift``), neurons,
        ``nn.Flatten``, ``nn.Identity``, ``nn.AvgPool2d``, :class:`SumPool2d`.
    input_shape : tuple of int
        Shape of one sample of one step, without time and batch.
    lossy : bool, default=False
        Also export what NIR says only approximately, see below.
    dt : float, default=1e-3
        Length of a step in seconds (of ``ExactLIF``: of the unit of its time constants). A
        simulation by Euler steps of this length reproduces the model.

    Returns
    -------
    nir.NIRGraph
        One node per module (two for ``TSSLLIF`` in PSC form), named as in the model; parameters
        have the shape of their layer, and ``metadata`` holds the module's ``repr`` as JSON.

    Raises
    ------
    NotExportableError
        If a module has no counterpart, naming the first and why; nothing is left out silently.
    ImportError
        If ``nir`` is not installed.

    Notes
    -----
    ======================  =======================================  =========================
    module                  NIR                                      what NIR does not say
    ======================  =======================================  =========================
    ``SingleSpikeIF``       ``IF`` reset to -1e9: *silent* from its  gradient, window
                            spike on; snnTorch 1.0 and Norse 1.1
                            ignore ``v_reset`` when they import
    ``TSSLLIF``, spikes     ``CubaLIF``, reset to 0                  gradient
    ``TSSLLIF``, PSC        ``LIF``, then ``LI`` as its PSC          gradient
    ``ExactLIF``            ``CubaLIF``, only ``lossy``              time between steps
    ``BinaryLinear``        ``Affine`` with the scaled signs         latent weights
    ======================  =======================================  =========================

    Signed and several spikes per step (``HerdingReLU``) and first-spike pooling have no
    counterpart. Neurons of other packages join by ``snn_temporal_plugins.nir.nodes.register``.

    References
    ----------
    .. [1] J. E. Pedersen et al., "Neuromorphic intermediate representation: a unified instruction
       set for interoperable brain-inspired computing", Nature Communications 15, 2024.

    Examples
    --------
    >>> import torch, snn_temporal_plugins as stp
    >>> model = torch.nn.Sequential(torch.nn.Linear(4, 3), stp.SingleSpikeIF())
    >>> graph = stp.to_nir(model, (4,))
    >>> {name: type(node).__name__ for name, node in graph.nodes.items()}
    {'input': 'Input', '0': 'Affine', '1': 'IF', 'output': 'Output'}
    """
    nir = _library()
    _checks.positive("to_nir", "dt", dt)
    shape: Shape = tuple(_checks.integer("to_nir", "input_shape", n, 1) for n in input_shape)
    named: dict[str, Any] = {"input": nir.Input({"input": np.array(shape)})}
    for path, layer in leaves("model", model):
        name, module = path.removeprefix("model."), _inside(layer)
        try:
            made = _made(module, shape, dt, lossy)
        except NotExportableError as reason:
            raise NotExportableError(f"to_nir: {name} ({type(module).__name__}) {reason}") from None
        for k, node in enumerate(made):
            node.metadata = {METADATA: json.dumps({"module": repr(module), "dt": dt})}
            named[name if k == 0 else f"{name}_psc"] = node
        shape = _shape_behind(module, shape)
    named["output"] = nir.Output({"output": np.array(shape)})
    names = list(named)
    return nir.NIRGraph(named, list(pairwise(names)))


@singledispatch
def nodes(module: nn.Module, shape: Shape, dt: float) -> list[Any]:
    """Nodes of NIR, one behind the other, for ``module`` on samples of a ``shape``.

    ``nodes.register(Class)`` decorates the function for a class of neurons or synapses; it
    raises :class:`NotExportableError` with the rest of the sentence "<module> ..." where there is
    no counterpart.
    """
    raise NotExportableError(f"has no counterpart in NIR that is known; {HINT}")


@nodes.register
def _(module: SingleSpikeIF, shape: Shape, dt: float) -> list[Any]:
    if module.delay:
        raise NotExportableError("acts a step after its input, and NIR's IF at once; use delay=0.")
    if module.late_drive is not None:
        raise NotExportableError("has a late_drive, a current that starts at a step; leave it out.")
    return [
        _library().IF(
            r=_full(shape, 1 / dt),
            v_threshold=_full(shape, module.threshold),
            v_reset=_full(shape, NEVER),
        )
    ]


@nodes.register
def _(module: TSSLLIF, shape: Shape, dt: float) -> list[Any]:
    nir = _library()
    membrane = {
        "r": _full(shape, module.tau_mem),
        "v_leak": _full(shape, 0),
        "v_threshold": _full(shape, module.threshold),
        "v_reset": _full(shape, 0),
    }
    tau_mem, tau_syn = (_full(shape, tau * dt) for tau in (module.tau_mem, module.tau_syn))
    if module.output == "spikes":
        return [nir.CubaLIF(tau_syn=tau_syn, tau_mem=tau_mem, **membrane)]
    psc = nir.LI(tau=tau_syn, r=_full(shape, 1), v_leak=_full(shape, 0))
    return [nir.LIF(tau=tau_mem, **membrane), psc]


@nodes.register
def _(module: ExactLIF, shape: Shape, dt: float) -> list[Any]:
    constants: list[Any] = [module.tau_mem, module.tau_syn, module.threshold]
    tau_mem, tau_syn, threshold = (_full(shape, number(value)) for value in constants)
    if np.isinf(tau_mem).any():
        raise NotExportableError("does not leak (tau_mem=inf), and NIR's CubaLIF does.")
    return [
        _library().CubaLIF(
            tau_syn=tau_syn * dt,
            tau_mem=tau_mem * dt,
            r=tau_mem,
            v_leak=_full(shape, 0),
            v_threshold=threshold,
            v_reset=_full(shape, 0),
            w_in=tau_syn * dt,
        )
    ]


@nodes.register(HerdingQuantizer)
@nodes.register(HerdingReLU)
def _(module: nn.Module, shape: Shape, dt: float) -> list[Any]:
    raise NotExportableError("fires signed or several spikes per step; a neuron of NIR fires one.")


@nodes.register
def _(module: FirstSpikePool2d, shape: Shape, dt: float) -> list[Any]:
    raise NotExportableError("passes the earliest spike; the pools of NIR add or average.")


@nodes.register(nn.Linear)
@nodes.register(BinaryLinear)
def _(module: Any, shape: Shape, dt: float) -> list[Any]:
    weight, bias = _weights(module)
    return [_library().Affine(weight, bias)]


@nodes.register(nn.Conv2d)
@nodes.register(BinaryConv2d)
def _(module: Any, shape: Shape, dt: float) -> list[Any]:
    rows, columns = module.weight.shape[2:]
    if getattr(module, "padding_mode", "zeros") != "zeros" or module.groups > 1 or rows != columns:
        raise NotExportableError("must have zero padding, one group and a square kernel for NIR.")
    weight, bias = _weights(module)
    return [
        _library().Conv2d(
            input_shape=shape[1:],
            weight=weight,
            stride=module.stride,
            padding=module.padding,
            dilation=module.dilation,
            groups=module.groups,
            bias=bias,
        )
    ]


@nodes.register
def _(module: nn.Flatten, shape: Shape, dt: float) -> list[Any]:
    if module.start_dim not in (1, 2) or module.end_dim != -1:  # 2: of a train [T, B, ...]
        raise NotExportableError("does not flatten everything but the batch.")
    return [_library().Flatten(np.array(shape), start_dim=0, end_dim=-1)]


@nodes.register
def _(module: SumPool2d, shape: Shape, dt: float) -> list[Any]:
    kernel = np.array((module.kernel,) * 2)
    return [_library().SumPool2d(kernel_size=kernel, stride=kernel, padding=np.zeros(2, int))]


@nodes.register
def _(module: nn.AvgPool2d, shape: Shape, dt: float) -> list[Any]:
    if module.ceil_mode or module.divisor_override is not None or not module.count_include_pad:
        raise NotExportableError("averages in a way that NIR's AvgPool2d cannot say.")
    sizes = (module.kernel_size, module.stride, module.padding)
    kernel, stride, padding = (np.array(s if isinstance(s, tuple) else (s, s)) for s in sizes)
    return [_library().AvgPool2d(kernel_size=kernel, stride=stride, padding=padding)]


@nodes.register
def _(module: nn.Identity, shape: Shape, dt: float) -> list[Any]:
    return []


def _library() -> Any:
    try:
        import nir
    except ImportError as error:
        raise ImportError(
            f"to_nir needs nir ({error}); pip install 'snn-temporal-plugins[nir]'"
        ) from error
    return nir


def _full(shape: Shape, value: float) -> np.ndarray:
    return np.full(shape, value, np.float32)


def _weights(module: Any) -> tuple[np.ndarray, np.ndarray]:
    """Weight that acts on the forward pass, and bias or zeros."""
    effective = getattr(module, "event_weights", None)
    weight = (module.weight if effective is None else effective()[0]).detach()
    bias = getattr(module, "bias", None)
    bias = weight.new_zeros(len(weight)) if bias is None else bias.detach()
    return weight.cpu().float().numpy().copy(), bias.cpu().float().numpy().copy()


def _inside(module: nn.Module) -> nn.Module:
    """What computes in a wrapper or in a host class."""
    if isinstance(module, OverTime):
        return module.module
    core = getattr(module, "core", None)
    return core if isinstance(core, ClockedNeuron) else module


def _made(module: nn.Module, shape: Shape, dt: float, lossy: bool) -> list[Any]:
    """Nodes of a module whose class, or the class it inherits its computation from, is known."""
    kind = next(kind for kind in type(module).__mro__ if kind in nodes.registry)
    for method in ("forward", "step"):
        own = getattr(type(module), method, None) is not getattr(kind, method, None)
        if own and kind is not object:
            raise NotExportableError(f"has a {method} of its own, unlike {kind.__name__}; {HINT}")
    if kind in LOSSY and not lossy:
        raise NotExportableError(LOSSY[kind])
    return nodes(module, shape, dt)


def _shape_behind(module: nn.Module, shape: Shape) -> Shape:
    """Shape of one sample behind ``module``."""
    if isinstance(module, nn.Flatten):
        return (math.prod(shape),)
    if not isinstance(module, _RESHAPING):
        return shape
    weight = next(module.parameters(), torch.empty(0))
    with torch.no_grad():
        return tuple(module(weight.new_zeros(1, *shape)).shape[1:])
