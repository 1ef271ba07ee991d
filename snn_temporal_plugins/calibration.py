"""Making a fresh network fire: the weights of each layer scaled to a wanted share of spikes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized

from . import _checks
from .activity import monitor
from .layer_activity import LayerActivity
from .neurons.base import ClockedNeuron, TimedNeuron
from .plugins._table import table
from .plugins.swap import reset_
from .synapses.base import Synapse
from .timed import Timed

LIMIT = 4.0**10  # how far a factor is searched, both ways
CLOSE = 0.005  # a share this close to the wanted one is good enough
FINE = 1.0005  # ratio of factors that no search goes below

Run = Callable[[nn.Module, Any], Any]


class CalibratedLayer(NamedTuple):
    """What :func:`calibrate_` did to one layer."""

    before: float  #: share of neurons that fired in a sample, before any layer was changed
    after: float  #: the same at the end
    factor: float | None  #: of the weights and the bias; ``None`` where there is nothing to scale
    driver: str | None  #: name of the module that was scaled


@dataclass(frozen=True)
class Calibration:
    """Report of :func:`calibrate_`; prints as a table.

    Parameters
    ----------
    layers : dict of str to CalibratedLayer
        By the name of the layer, in the order of the network.

    Examples
    --------
    >>> import snn_temporal_plugins as stp
    >>> print(stp.Calibration({"1": stp.CalibratedLayer(0.0, 0.3, 7.25, "0")}))
    layer  scaled  fired before  fired after  factor
    -----  ------  ------------  -----------  ------
    1      0       0.0%          30.0%        7.25
    """

    layers: dict[str, CalibratedLayer]

    def __str__(self) -> str:
        columns = ("layer", "scaled", "fired before", "fired after", "factor")
        rows = []
        for name, (before, after, factor, driver) in self.layers.items():
            scaled = "-" if driver is None else driver or "(model)"
            told = "-" if factor is None else f"{factor:.4g}"
            rows.append((name or "(model)", scaled, f"{before:.1%}", f"{after:.1%}", told))
        return table(columns, rows)


def calibrate_(
    model: nn.Module,
    inputs: Any,
    *,
    fire: float | Mapping[str, float] = 0.3,
    run: Run | None = None,
) -> Calibration:
    r"""Scale the weights of each layer, first to last, so that a wanted share of neurons fires.

    Weights and bias in front of the neurons of a layer are multiplied by one factor :math:`f > 0`,

    .. math:: \frac1{BN} \sum_{b, j} \mathbb 1[\text{neuron } j \text{ fires in sample } b] = p

    so the relative weights stay what they are. Default initialisations know nothing of thresholds:
    with them a spiking network is often dead, or, with a bias, fires on a blank image.

    Parameters
    ----------
    model : nn.Module
        ``Timed`` layers, or a clocked model of this package, of snnTorch or Norse. Changed in
        place.
    inputs : Tensor of shape [B, ...] or tuple
        Some typical inputs of the model, or all its arguments in a tuple; a few hundred samples
        are enough.
    fire : float or mapping of str to float, default=0.3
        Wanted share of neurons that fire at least once in a sample, between 0 and 1; a mapping
        names the layers and leaves others alone.
    run : callable, optional
        ``run(model, inputs)`` where the loop over time stands outside of the model, by default
        ``model(inputs)``.

    Returns
    -------
    Calibration
        Share before, share after and factor of every layer; prints as a table.

    Raises
    ------
    TypeError
        If the model holds no spiking layer, or one that cannot be scaled.
    ValueError
        If ``fire`` is not between 0 and 1 or names no layer, one synapse serves several layers,
        or no factor reaches the share: the inputs are blank, or too many neurons have no positive
        input. The model is then unchanged.

    Notes
    -----
    *What is scaled* is the last layer with weights in front of the neurons: the synapse (of
    ``BinaryLinear`` its scale), or the affine part of a normalisation behind it. Neurons with
    nothing in front of them, or with weights of their own, are left alone.

    *What else happens.* The model runs without gradient in evaluation mode, normalisations with
    the statistics of the inputs; modes, buffers and running statistics are restored, and states
    that snnTorch neurons hold are put to rest. Optimisers that saw the weights before know
    nothing of the change: make them afterwards.

    *Silent neurons.* Up to the share, neurons stay silent on purpose; see :func:`revive_` for
    those that are silent on every sample.

    The procedure is this project's own.

    Examples
    --------
    >>> import torch, snn_temporal_plugins as stp
    >>> _ = torch.manual_seed(0)
    >>> net = torch.nn.Sequential(
    ...     stp.Timed(torch.nn.Linear(50, 40, bias=False), stp.SingleSpikeIF(threshold=7.0)),
    ...     stp.Timed(torch.nn.Linear(40, 10, bias=False), stp.SingleSpikeIF(threshold=3.0)),
    ... )
    >>> report = stp.calibrate_(net, torch.rand(200, 50), fire=0.4)
    >>> [(layer.before, round(layer.after, 1)) for layer in report.layers.values()]
    [(0.0, 0.4), (0.0, 0.4)]
    """
    owner = "calibrate_"
    arguments = inputs if isinstance(inputs, tuple) else (inputs,)

    def observe() -> dict[str, LayerActivity]:
        m = monitor(model)
        with m, torch.no_grad():
            reset_(model)
            run(model, inputs) if run else model(*arguments)
        return m.spiking

    with _kept(model):
        layers = observe()
        targets = _targets(owner, model, layers, fire)
        before = {name: layer.fired for name, layer in layers.items()}
        factors: dict[str, float] = {}
        for name, (driver, share) in targets.items():
            factors[name] = _scale_to(owner, name, driver, share, observe)
        after = observe()
    scaled = {name: layers[name].drivers[-1] for name in targets}
    return Calibration(
        {
            name: CalibratedLayer(share, after[name].fired, factors.get(name), scaled.get(name))
            for name, share in before.items()
        }
    )


def _targets(
    owner: str, model: nn.Module, layers: dict[str, LayerActivity], fire: Any
) -> dict[str, tuple[nn.Module, float]]:
    """Module to scale and share to reach, by the name of the layer."""
    wanted = dict(fire) if isinstance(fire, Mapping) else dict.fromkeys(layers, fire)
    for name, share in wanted.items():
        if name not in layers:
            listed = ", ".join(map(repr, layers)) or "none"
            raise ValueError(f"{owner}: fire names {name!r}; the spiking layers are {listed}.")
        if not _checks.positive(owner, "fire", share) < 1:
            raise ValueError(f"{owner}: fire must be between 0 and 1, got {share!r}.")
    found: dict[str, tuple[nn.Module, float]] = {}
    served: dict[int, str] = {}
    for name, layer in layers.items():
        if name not in wanted or not layer.drivers:
            continue
        if layer.shared:
            raise ValueError(
                f"{owner}: one neuron, {name}, serves several synapses ({', '.join(layer.drivers)})"
                "; give each its own."
            )
        driver = scaled_module(model, layer.drivers[-1])
        for parameter in driver.parameters():
            other = served.setdefault(id(parameter), name)
            if other != name:
                raise ValueError(
                    f"{owner}: {layer.drivers[-1]} serves the layers {other} and {name}, so no "
                    "factor is right for both."
                )
        found[name] = driver, wanted[name]
    if not found:
        raise TypeError(f"{owner}: no spiking layer has a synapse in front of it to scale.")
    return found


def scaled_module(model: nn.Module, driver: str) -> nn.Module:
    """Module that holds the weights behind the name of a driver."""
    module = model.get_submodule(driver)
    return module.synapse if isinstance(module, Timed) else module


def scale_(module: Any, factor: float) -> None:
    """Multiply what a synapse or normalisation computes."""
    if isinstance(module, Synapse):
        module.scale_(factor)
        return
    for name in ("weight", "bias"):
        value = getattr(module, name, None)
        if value is None:
            continue
        if is_parametrized(module, name):
            setattr(module, name, value * factor)  # needs the inverse of the parametrisation
        else:
            value.mul_(factor)


def _scale_to(
    owner: str,
    name: str,
    driver: nn.Module,
    share: float,
    observe: Callable[[], dict[str, LayerActivity]],
) -> float:
    """Scale a module until the share fires; the share grows with the factor."""
    start = {key: value.clone() for key, value in driver.state_dict().items()}
    if not start:
        raise TypeError(f"{owner}: {type(driver).__name__} before {name} has no weights to scale.")
    seen: dict[float, float] = {}

    def fired(factor: float) -> float:
        if factor not in seen:
            with torch.no_grad():
                _restore(driver.state_dict(), start)
                scale_(driver, factor)
            seen[factor] = observe()[name].fired
        return seen[factor]

    low = high = 1.0
    while fired(high) < share - CLOSE and high < LIMIT:
        low, high = high, 4 * high
    while fired(low) > share + CLOSE and low > 1 / LIMIT:
        low, high = low / 4, low
    if fired(high) < share - CLOSE or fired(low) > share + CLOSE:
        raise ValueError(
            f"{owner}: in {name} a share of {share:g} cannot be reached: with factors from "
            f"{min(seen):.0e} to {max(seen):.0e}, {min(seen.values()):.3g} to "
            f"{max(seen.values()):.3g} of the neurons fire (blank inputs, or neurons without "
            "positive input)."
        )
    while high / low > FINE and all(abs(s - share) > CLOSE for s in seen.values()):
        middle = (low * high) ** 0.5
        low, high = (middle, high) if fired(middle) < share else (low, middle)
    best = min(seen, key=lambda factor: abs(seen[factor] - share))
    with torch.no_grad():
        _restore(driver.state_dict(), start)
        scale_(driver, best)
    return best


def _restore(now: Mapping[str, Tensor], saved: Mapping[str, Tensor]) -> None:
    for key, value in saved.items():
        now[key].copy_(value)


@contextmanager
def _kept(model: nn.Module) -> Iterator[None]:
    """Run in a defined mode; afterwards only parameters have changed, after an error nothing."""
    modes = {module: module.training for module in model.modules()}
    warned = {m: m._warned_silent for m in model.modules() if isinstance(m, Timed)}
    saved = {key: value.clone() for key, value in model.state_dict().items()}
    parameters = {key for key, _ in model.named_parameters(remove_duplicate=False)}
    model.eval()
    for module in model.modules():
        norm = isinstance(module, nn.modules.batchnorm._BatchNorm)
        if norm or isinstance(module, ClockedNeuron | TimedNeuron):  # no late drive
            module.train()
    for layer in warned:
        layer._warned_silent = True
    try:
        yield
    except BaseException:
        parameters = set()
        raise
    finally:
        kept = {key: value for key, value in saved.items() if key not in parameters}
        with torch.no_grad():
            _restore(model.state_dict(), kept)
        for module, training in modes.items():
            module.training = training
        for layer, value in warned.items():
            layer._warned_silent = value
        reset_(model)
