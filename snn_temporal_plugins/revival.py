"""Dead neurons get fresh weights: the re-initialisation of S4NN."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized

from . import _checks
from .activity import Monitor
from .calibration import Calibration, scale_
from .synapses.base import Synapse
from .timed import Timed

SYNAPSES = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, Synapse)


class _Patient(NamedTuple):
    """A layer with dead neurons."""

    driver: str  # name of the module that is or holds the synapse
    synapse: Any
    init: Any
    rows: Tensor  # which neurons are dead, bool [O]
    factor: float


def revive_(
    model: nn.Module,
    m: Monitor,
    below: float = 1e-3,
    *,
    optimizer: torch.optim.Optimizer | None = None,
    averaged: nn.Module | None = None,
    calibration: Calibration | None = None,
    outputs: bool = False,
) -> dict[str, int]:
    """Give neurons that hardly ever fire fresh input weights.

    A neuron that stays silent gets no gradient from rules that learn on spikes, and stays so.
    S4NN [1]_ draws its weights anew when it fired on less than 0.1 % of the training images.

    Parameters
    ----------
    model : nn.Module
        Changed in place.
    m : Monitor
        What :func:`monitor` saw of this model, on many samples.
    below : float, default=1e-3
        Neurons that fired on a smaller share of the samples are drawn anew; of a convolution,
        channels that fired nowhere in so many.
    optimizer : torch.optim.Optimizer, optional
        Its memory of these weights (momenta, squares) is set to zero.
    averaged : nn.Module, optional
        A copy of the model with averaged weights, also as ``AveragedModel``: gets the same fresh
        weights.
    calibration : Calibration, optional
        Report of :func:`calibrate_`: fresh weights are scaled by its factors, as the old were.
    outputs : bool, default=False
        Treat the last layer, too.

    Returns
    -------
    dict of str to int
        Number of neurons drawn anew, by the name of the layer.

    Raises
    ------
    TypeError
        If a synapse with dead neurons does not know how to draw its weights, or is parametrised.
    ValueError
        If ``m`` saw no samples or another model, or ``below`` is not between 0 and 1.

    Notes
    -----
    *Fresh weights* come from the layer's ``init`` (:class:`~snn_temporal_plugins.Timed`), or else
    from the synapse's own ``reset_parameters``, which also draws the bias. Other neurons keep
    their weights to the last bit.

    *Evaluate first.* Right after this the accuracy is lower until the neurons have learned.
    Adam counts its steps for all weights together: with zeroed memory the first updates of the
    fresh ones are up to three times as large as usual.

    References
    ----------
    .. [1] S. R. Kheradpisheh, T. Masquelier, arXiv:1910.09495; the rule is in their program.

    Examples
    --------
    >>> import torch, snn_temporal_plugins as stp
    >>> layer = stp.Timed(
    ...     torch.nn.Linear(2, 3, bias=False), stp.SingleSpikeIF(threshold=1.5), init=(2.0, 3.0)
    ... )
    >>> _ = layer.synapse.weight.data[1].fill_(-0.7)
    >>> with stp.monitor(layer) as m:
    ...     _ = layer(torch.tensor([[3.0, 7.0], [4.0, float("inf")]]))
    >>> stp.revive_(layer, m, outputs=True), bool((layer.synapse.weight >= 2).all())
    ({'': 1}, True)
    """
    owner = "revive_"
    if not _checks.positive(owner, "below", below) <= 1:
        raise ValueError(f"{owner}: below must be between 0 and 1, got {below!r}.")
    if not isinstance(m, Monitor):
        raise TypeError(f"{owner}: m must be a Monitor, got {type(m).__name__}.")
    layers = m.spiking
    if not layers:
        raise ValueError(f"{owner}: the monitor saw no samples; run the model inside its block.")
    names = list(layers) if outputs else list(layers)[:-1]
    patients: dict[str, _Patient] = {}
    for name in names:
        patient = _examine(owner, model, m, name, below, calibration)
        if patient is not None:
            patients[name] = patient
    twin = getattr(averaged, "module", averaged)  # AveragedModel
    for patient in patients.values():
        if patient.rows.any():
            _treat(patient, optimizer, None if twin is None else _synapse(twin, patient.driver)[0])
    return {name: int(patient.rows.sum()) for name, patient in patients.items()}


def _examine(
    owner: str,
    model: nn.Module,
    m: Monitor,
    name: str,
    below: float,
    calibration: Calibration | None,
) -> _Patient | None:
    """Find the dead neurons of a layer, or ``None`` if it has no synapse of its own."""
    layer = m.spiking[name]
    for driver in reversed(layer.drivers):
        try:
            synapse, init = _synapse(model, driver)
        except AttributeError as error:
            raise ValueError(f"{owner}: the monitor watched another model ({error}).") from error
        if isinstance(synapse, SYNAPSES):
            break
    else:
        return None
    weight: Any = synapse.weight
    rows = layer.fired_per_row.to(weight.device) < below
    if rows.shape != weight.shape[:1]:
        raise ValueError(
            f"{owner}: {name} has {list(rows.shape)} neurons or channels, but {driver} "
            f"{len(weight)} rows of weights."
        )
    if rows.any() and is_parametrized(synapse):
        raise TypeError(f"{owner}: {driver} is parametrised, so its rows cannot be set one by one.")
    if rows.any() and not hasattr(synapse, "reset_parameters"):
        raise TypeError(f"{owner}: {type(synapse).__name__} has no reset_parameters.")
    told = None if calibration is None else calibration.layers.get(name)
    factor = told.factor if told and told.driver == driver and told.factor else 1.0
    return _Patient(driver, synapse, init, rows, factor)


def _synapse(model: nn.Module, driver: str) -> tuple[nn.Module, Any]:
    """Synapse behind the name of a driver, and how a Timed layer draws its weights."""
    module = model.get_submodule(driver)
    return (module.synapse, module.init) if isinstance(module, Timed) else (module, None)


@torch.no_grad()
def _treat(
    patient: _Patient, optimizer: torch.optim.Optimizer | None, averaged: nn.Module | None
) -> None:
    """Draw all weights, and keep those of the dead neurons."""
    synapse, rows = patient.synapse, patient.rows
    parameters = dict(synapse.named_parameters())
    old = {key: value.clone() for key, value in parameters.items()}
    try:
        synapse.reset_parameters()
        if callable(patient.init):
            patient.init(synapse.weight)
        elif patient.init is not None:
            synapse.weight.uniform_(*patient.init)
        scale_(synapse, patient.factor)
        fresh = {key: value.clone() for key, value in parameters.items()}
    finally:
        for key, value in parameters.items():
            value.copy_(old[key])
    twins = {} if averaged is None else dict(averaged.named_parameters())
    for key, value in parameters.items():
        if value.shape[:1] != rows.shape:
            continue  # one constant for the layer
        value[rows] = fresh[key][rows]
        if key in twins:
            twins[key][rows] = value[rows].to(twins[key])
        memory = optimizer.state.get(value, {}) if optimizer is not None else {}
        for moment in memory.values():
            if isinstance(moment, Tensor) and moment.shape == value.shape:
                moment[rows] = 0
