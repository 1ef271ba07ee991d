"""
Networks of neurons with any number of spikes
=============================================

What :ref:`sphx_glr_auto_tutorials_02_papers_plot_multispike_timing.py` and ``run_multispike.py``
train: a latency code, one hidden layer of :class:`~snn_temporal_plugins.ExactLIF` neurons, and one
of two read-outs.

``potential``
    Output neurons that do not spike; the time-integral of their potentials decides.
``first``
    Output neurons that fire once; the first one decides. A reference spike at the end of the window
    lifts all outputs over the threshold: an undecided network decides there, in the order of the
    potentials, and no output stays silent.

Time is counted in units of the input window: the brightest pixel fires at 0, the darkest at 1.
"""

import math
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

import snn_temporal_plugins as stp
from snn_temporal_plugins import _results

READOUTS = ("potential", "first")
RESULTS = Path(__file__).resolve().parents[2] / "docs" / "results" / "multispike"


def runs(name: str) -> list[dict[str, Any]]:
    """Result files of all seeds of a run of ``run_multispike.py``."""
    return [_results.load(path) for path in sorted(RESULTS.glob(f"{name}_seed?.json"))]


def latencies(values: Tensor, *, levels: int = 0, above: float = 0.0) -> Tensor:
    """Spike times ``[B, I + 1]`` of values in [0, 1]; the last input is a bias, at time 0.

    Values up to ``above`` are silent; ``levels`` > 0 rounds the times to a grid.
    """
    times = 1 - values
    if levels:
        times = (times * levels).round() / levels
    times = times.masked_fill(values <= above, float("inf"))
    return F.pad(times, (0, 1))


def affine(images: Tensor, strength: float, *, flip: bool = False) -> Tensor:
    """Images ``[B, 784]``, each shifted, turned, sheared and scaled a little at random."""
    batch = len(images)
    shift, turn, shear, scale = (strength * (2 * torch.rand(4, batch, 2) - 1)).unbind(0)
    angle, tilt = 0.15 * turn[:, 0], 0.075 * shear[:, 0]
    stretch = 1 + 0.1 * scale
    matrix = torch.empty(batch, 2, 3)
    matrix[:, 0, 0], matrix[:, 0, 1] = angle.cos() * stretch[:, 0], tilt - angle.sin()
    matrix[:, 1, 0], matrix[:, 1, 1] = tilt + angle.sin(), angle.cos() * stretch[:, 1]
    matrix[:, :, 2] = shift / 14  # of a half width of 14 pixels
    if flip:
        matrix[:, 0] *= 1 - 2 * torch.randint(0, 2, (batch, 1))
    images = images.view(batch, 1, 28, 28)
    grid = F.affine_grid(matrix, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, align_corners=False).flatten(1)


def mean_psp(tau_mem: float, tau_syn: float) -> float:
    """Mean potential that an input of weight 1 causes over the input window."""
    grid = torch.linspace(0.005, 0.995, 100, dtype=torch.float64)
    if math.isinf(tau_mem):
        return (tau_syn * -torch.expm1(-grid / tau_syn)).mean().item()
    if tau_mem == tau_syn:
        return (grid * torch.exp(-grid / tau_mem)).mean().item()
    scale = tau_mem * tau_syn / (tau_mem - tau_syn)
    return (scale * (torch.exp(-grid / tau_mem) - torch.exp(-grid / tau_syn))).mean().item()


class Network(nn.Module):
    """Spike times of the inputs ``[B, I]`` to scores of the classes ``[B, C]``: larger is better.

    ``mean`` and ``spread`` are those of the summed input of a hidden neuron at the start, in
    thresholds. Scores of the read-out ``first`` are negative spike times over ``softness``.
    """

    def __init__(
        self,
        inputs: int,
        hidden: int,
        classes: int,
        *,
        tau_mem: float,
        tau_syn: float,
        readout: str = "potential",
        max_spikes: int = 10,
        window: float = 1.05,
        active: float = 100.0,
        mean: float = 0.0,
        spread: float = 2.5,
        push: float = 0.0,
        slope_min: float = 0.1,
        bar: float = 10.0,
        lift: float = 5.0,
    ) -> None:
        super().__init__()
        self.readout, self.window = readout, window
        constants: dict[str, Any] = {"tau_mem": tau_mem, "tau_syn": tau_syn}
        k = mean_psp(tau_mem, tau_syn)
        fc = nn.Linear(inputs + 1, hidden, bias=False)
        nn.init.normal_(fc.weight, mean / (active * k), spread / (math.sqrt(active) * k))
        unit = stp.ExactLIF(
            **constants,
            max_spikes=max_spikes,
            push=push,
            slope_min=slope_min,
            silent="phantom" if push else "none",
            truncation="ignore",
        )
        self.hidden = stp.Timed(fc, unit, t_max=window)
        self.mask = 0.0
        if readout == "potential":
            self.potential = stp.IntegratedPotential(**constants, t_max=window)
            self.output: Any = nn.Linear(hidden, classes)
            nn.init.normal_(self.output.weight, 0, 1 / math.sqrt(hidden))
            nn.init.zeros_(self.output.bias)
            self.register_buffer("norm", torch.tensor([0.0, 1.0]))
        else:
            self.softness = 1 / (lift * bar)
            last = nn.Linear(hidden + 1, classes, bias=False)
            nn.init.normal_(last.weight, 0, 1 / math.sqrt(hidden))
            last.weight.data[:, -1] = lift * bar
            end = window + tau_mem if math.isfinite(tau_mem) else window + tau_syn
            unit = stp.ExactLIF(**constants, threshold=bar, max_spikes=1, slope_min=slope_min)
            self.output = stp.Timed(last, unit, t_max=end)

    def calibrate(self, times: Tensor) -> None:
        """Fix offset and scale of what the outputs read, so that learning starts well."""
        with torch.no_grad():
            spikes = self.hidden(times)
            if self.readout == "potential":
                read = self.potential(spikes)
                self.norm.copy_(torch.stack([read.mean(), read.std().clamp(min=1e-3)]))

    def forward(self, times: Tensor, *, return_spikes: bool = False) -> Any:
        """Scores, and the spikes of the hidden layer if asked for."""
        spikes = self.hidden(times)
        if self.readout == "potential":
            read = (self.potential(spikes) - self.norm[0]) / self.norm[1]
            scores = self.output(F.dropout(read, self.mask, self.training))
        else:
            scores = self._race(spikes)
        return (scores, spikes) if return_spikes else scores

    def _race(self, spikes: Tensor) -> Tensor:
        reference = spikes.new_full((len(spikes), 1, spikes.shape[2]), float("inf"))
        reference[..., 0] = self.window
        first = self.output(torch.cat([spikes, reference], 1))[..., 0]
        return -first.clamp(max=self.output.t_max) / self.softness


class Training:
    """A network, its optimiser, its schedule, and the running average of its weights.

    ``lr`` is the step of Adam in standard deviations of the initial weights of each layer; it
    falls linearly to 0 over ``steps`` batches.
    """

    def __init__(
        self,
        network: Network,
        *,
        steps: int,
        lr: float,
        weight_decay: float = 0.0,
        input_drop: float = 0.0,
        hidden_drop: float = 0.0,
        smoothing: float = 0.0,
        average: float = 0.998,
    ) -> None:
        self.network, self.input_drop = network, input_drop
        self.smoothing = smoothing
        network.mask = hidden_drop
        groups = []
        for layer in (network.hidden, network.output):
            weight = next(layer.parameters())
            inner = (
                weight[:, :-1] if network.readout == "first" or layer is network.hidden else weight
            )
            spread = inner.std().item()
            decay = weight_decay / spread  # per step: weight_decay * lr
            groups.append({"params": layer.parameters(), "lr": lr * spread, "weight_decay": decay})
        self.optimizer = torch.optim.AdamW(groups, fused=True)
        self.schedule = torch.optim.lr_scheduler.LinearLR(self.optimizer, 1.0, 0.0, steps)
        self.average = AveragedModel(
            network, multi_avg_fn=get_ema_multi_avg_fn(average), use_buffers=True
        )

    def step(self, times: Tensor, labels: Tensor) -> Tensor:
        """Train on one batch; returns how many samples were right before."""
        if self.input_drop:
            dropped = torch.rand_like(times) < self.input_drop
            dropped[:, -1] = False  # the bias
            times = times.masked_fill(dropped, float("inf"))
        with stp.set_validation(False):
            scores = self.network(times)
        self.optimizer.zero_grad()
        F.cross_entropy(scores, labels, label_smoothing=self.smoothing).backward()
        self.optimizer.step()
        self.schedule.step()
        self.average.update_parameters(self.network)
        return (scores.detach().argmax(1) == labels).sum()

    def parts(self) -> dict[str, Any]:
        """Return everything that a checkpoint must hold."""
        names = ("network", "optimizer", "schedule", "average")
        return {name: getattr(self, name) for name in names}


@torch.no_grad()
def measure(network: nn.Module, times: Tensor, labels: Tensor) -> dict[str, float]:
    """Accuracy (a tie of the best is not correct) and spikes per hidden neuron."""
    training = network.training
    network.eval()
    right = ties = spikes = silent = 0
    for x, y in zip(times.split(500), labels.split(500), strict=True):
        scores, fired = network(x, return_spikes=True)
        best = scores == scores.amax(1, keepdim=True)
        tied = best.sum(1) > 1
        right += int((best.gather(1, y[:, None])[:, 0] & ~tied).sum())
        ties += int(tied.sum())
        count = torch.isfinite(fired).sum(2)
        spikes += int(count.sum())
        silent += int((count == 0).sum())
    network.train(training)
    size = len(labels)
    return {
        "accuracy": right / size,
        "ties": ties / size,
        "spikes_per_neuron": round(spikes / count.shape[1] / size, 4),
        "silent_share": round(silent / count.shape[1] / size, 4),
    }
