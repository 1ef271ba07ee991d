"""Figures of temporal codes: spikes, latencies, potentials, decisions (needs matplotlib).

Every function draws into ``ax``, or into a new figure, and returns the axes. Colours are those of
Okabe and Ito, which colour-blind readers can tell apart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from . import _checks
from .codes import first_spike_times
from .decisions import check_outputs, first_class, output_potential

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#F0E442")


def _axes(ax: Any, size: tuple[float, float] = (6.0, 3.6)) -> Any:
    if ax is not None:
        return ax
    try:
        from matplotlib import pyplot
    except ImportError as error:
        cure = "pip install 'snn-temporal-plugins[tutorials]'"
        raise ImportError(f"plot: figures need matplotlib; {cure}") from error
    return pyplot.subplots(figsize=size, layout="constrained")[1]


def _one_sample(owner: str, name: str, values: Tensor, dims: int) -> Tensor:
    """Detached values of one sample; a batch of one is accepted."""
    if not isinstance(values, Tensor):
        raise TypeError(f"{owner}: {name} must be a tensor, got {type(values).__name__}.")
    if values.dim() == dims + 1 and values.shape[0] == 1:
        values = values[0]
    if values.dim() != dims:
        raise ValueError(
            f"{owner}: {name} must have {dims} dimensions (one sample), got {list(values.shape)}."
        )
    return values.detach().cpu()


def raster(
    times: Tensor | Mapping[str, Tensor], *, t_max: float | None = None, ax: Any = None
) -> Any:
    """Spikes of one sample, one mark per spike, layer above layer in bands of one height.

    Parameters
    ----------
    times : Tensor of shape [N] or [1, N], or mapping of names to such Tensors
        Spike times of the neurons of a layer, or of several layers; ``inf`` (silent) is not drawn.
    t_max : float, optional
        End of the time axis, in the unit of the times.
    ax : matplotlib Axes, optional
        Where to draw, by default a new figure.

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    ValueError
        If the times are those of more than one sample.

    Examples
    --------
    >>> import torch, snn_temporal_plugins as stp
    >>> ax = stp.plot.raster({"hidden": torch.rand(1, 8) * 9, "output": torch.tensor([4.0, 7.0])})
    """
    layers = times if isinstance(times, Mapping) else {"neurons": times}
    ax, names = _axes(ax), []
    for band, (name, layer) in enumerate(layers.items()):
        layer = layer.flatten(1) if layer.dim() > 1 else layer
        layer = _one_sample("raster", f"times[{name!r}]", layer, 1)
        fired = torch.isfinite(layer)
        rows = band + 0.05 + 0.9 * (fired.nonzero().flatten() + 0.5) / len(layer)
        few = len(layer) < 60
        colour = COLOURS[band % len(COLOURS)]
        ax.plot(layer[fired], rows, "|" if few else ".", color=colour, ms=8 if few else 4)
        names.append(f"{name}\n{int(fired.sum())} of {len(layer)} fired")
    ax.set(title="Spikes", xlabel="time step", xlim=(0, t_max), ylim=(0, len(names)))
    ax.set_yticks([band + 0.5 for band in range(len(names))], names)
    ax.tick_params("y", length=0)
    return ax


def latency_map(times: Tensor, *, t_max: float | None = None, ax: Any = None) -> Any:
    """Spike times of an image of neurons as colours; silent ones stay white.

    Parameters
    ----------
    times : Tensor of shape [H, W], or with leading dimensions of size 1
        Spike times.
    t_max : float, optional
        End of the colour scale, by default the latest spike.
    ax : matplotlib Axes, optional
        Where to draw, by default a new figure.

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    ValueError
        If there is more than one image.

    Examples
    --------
    >>> import torch, snn_temporal_plugins as stp
    >>> ax = stp.plot.latency_map(stp.latency(torch.rand(1, 28, 28), 256), t_max=256)
    """
    image = times
    while image.dim() > 2 and image.shape[0] == 1:
        image = image[0]
    image = _one_sample("latency_map", "times", image, 2)
    ax = _axes(ax, (4.2, 3.6))
    fired = image[torch.isfinite(image)]
    latest = t_max if t_max is not None else float(fired.max()) if len(fired) else 1.0
    shown = image.masked_fill(torch.isinf(image), float("nan")).numpy()
    drawn = ax.imshow(shown, cmap="viridis_r", vmin=0, vmax=latest)
    ax.figure.colorbar(drawn, ax=ax, label="spike time (step)", fraction=0.046)
    ax.set(title="Spike times", xticks=[], yticks=[])
    return ax


def potential_traces(
    potential: Tensor,
    threshold: float,
    *,
    times: Tensor | None = None,
    labels: Sequence[str] | None = None,
    ax: Any = None,
) -> Any:
    """Membrane potentials over time, with the threshold and the spikes.

    Parameters
    ----------
    potential : Tensor of shape [T, N] or [T, 1, N]
        Recorded potentials of some neurons; ``-inf`` (after a single spike) leaves a gap.
    threshold : float
        Firing threshold, in the unit of the potential.
    times : Tensor of shape [N] or [1, N], optional
        Spike times, marked on the traces; by default the first step above the threshold.
    labels : sequence of str, optional
        Names of the neurons, for the legend.
    ax : matplotlib Axes, optional
        Where to draw, by default a new figure.

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    ValueError
        If the shapes are others, or the number of labels differs from that of the neurons.

    Examples
    --------
    >>> import torch, snn_temporal_plugins as stp
    >>> neuron = stp.SingleSpikeIF(threshold=2.5)
    >>> spikes, v = neuron.trace(torch.rand(9, 1, 3))
    >>> ax = stp.plot.potential_traces(v, 2.5)
    """
    owner = "potential_traces"
    if potential.dim() == 3 and potential.shape[1] == 1:
        potential = potential.squeeze(1)
    traces = _one_sample(owner, "potential", potential, 2)
    if labels is not None and len(labels) != traces.shape[1]:
        raise ValueError(
            f"{owner}: labels must name {traces.shape[1]} neurons, got {len(labels)} names."
        )
    if times is None:
        times = first_spike_times((traces > threshold).float().unsqueeze(1))
    spikes = _one_sample(owner, "times", times, 1)
    ax = _axes(ax)
    names = labels if labels is not None else [f"neuron {j}" for j in range(traces.shape[1])]
    shown = traces.masked_fill(torch.isinf(traces), float("nan"))
    for j, name in enumerate(names):
        colour = COLOURS[j % len(COLOURS)]
        ax.plot(shown[:, j], drawstyle="steps-post", color=colour, label=name)
        if torch.isfinite(spikes[j]):
            step = int(spikes[j].clamp(max=len(shown) - 1))
            height = shown[step, j].nan_to_num(threshold)
            ax.plot([step], [height], "o", color=colour, ms=6)
    ax.axhline(threshold, color="0.4", ls="--", lw=1, label="threshold")
    ax.set(title="Membrane potential", xlabel="time step", ylabel="potential (unit of weights)")
    ax.legend(fontsize="small", frameon=False, loc="best")
    return ax


def accuracy_against_time(
    times: Tensor,
    targets: Tensor,
    *,
    t_max: int,
    potential: Tensor | None = None,
    label: str | None = None,
    ax: Any = None,
) -> Any:
    """Share of samples decided, and decided rightly, up to each step.

    Parameters
    ----------
    times : Tensor of shape [B, C]
        Output spike times.
    targets : Tensor of shape [B]
        Class indices.
    t_max : int
        Number of steps; samples without output spike are decided there, by the potential.
    potential : Tensor of shape [B, C] or [T, B, C], optional
        Output potentials, to break ties and to decide silent samples.
    label : str, optional
        Name of the curve of right decisions.
    ax : matplotlib Axes, optional
        Where to draw, by default a new figure.

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    ValueError
        If times are NaN, or shapes do not fit.

    Examples
    --------
    >>> import torch, snn_temporal_plugins as stp
    >>> times = torch.randint(0, 50, (100, 10)).float()
    >>> ax = stp.plot.accuracy_against_time(times, torch.randint(0, 10, (100,)), t_max=50)
    """
    owner = "accuracy_against_time"
    check_outputs(owner, times)
    targets = _checks.targets(owner, targets, *times.shape)
    potential = output_potential(owner, potential, times)
    decided = first_class(times, potential)
    when = times.min(1).values.clamp(max=t_max)
    ax, steps = _axes(ax), torch.arange(t_max + 1)
    for samples, name, colour in (
        (decided >= 0, "decided", COLOURS[5]),
        (decided == targets, label or "decided rightly", COLOURS[0]),
    ):
        counts = torch.bincount(when[samples].floor().long(), minlength=t_max + 1)
        ax.plot(steps, 100 * counts.cumsum(0) / len(times), color=colour, label=name)
    ax.set(title="Decisions over time", xlabel="time step", ylim=(0, 102))
    ax.set_ylabel("share of samples (%)")
    ax.legend(fontsize="small", frameon=False, loc="lower right")
    return ax


def training_curve(
    history: Sequence[Mapping[str, float]], names: Mapping[str, str], *, ax: Any = None
) -> Any:
    """Accuracies over the epochs of a training run.

    Parameters
    ----------
    history : sequence of mappings
        A row per epoch, with the key ``"epoch"`` and shares between 0 and 1.
    names : mapping
        Which keys to draw, and what to call them.
    ax : matplotlib Axes, optional
        Where to draw, by default a new figure.

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    ValueError
        If a row lacks one of the keys.

    Examples
    --------
    >>> import snn_temporal_plugins as stp
    >>> history = [{"epoch": 1, "strict": 0.91}, {"epoch": 2, "strict": 0.95}]
    >>> ax = stp.plot.training_curve(history, {"strict": "strict"})
    """
    for key in ("epoch", *names):
        if any(key not in row for row in history):
            raise ValueError(f"training_curve: history has no {key!r} in every row.")
    ax = _axes(ax)
    epochs = [row["epoch"] for row in history]
    for colour, (key, name) in zip(COLOURS, names.items(), strict=False):
        ax.plot(epochs, [100 * row[key] for row in history], "o-", ms=3, color=colour, label=name)
    ax.set(title="Training", xlabel="epoch", ylabel="accuracy (%)")
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.legend(fontsize="small", frameon=False, loc="lower right")
    return ax
