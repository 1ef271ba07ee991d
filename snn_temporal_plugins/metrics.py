"""Accuracy, ties, silence and decision times of first-spike classifiers."""

from __future__ import annotations

import torch
from torch import Tensor

from . import _checks
from .decisions import check_outputs, output_potential


def _correct(
    times: Tensor, targets: Tensor, potential: Tensor | None, ties: str, silent: str
) -> Tensor:
    """Whether each sample counts as right; arguments are checked."""
    label = targets.unsqueeze(1)
    earliest = times.min(1, keepdim=True).values
    fired = torch.isfinite(earliest).squeeze(1)
    first = times == earliest
    among_first = first.gather(1, label).squeeze(1)
    if ties == "any":
        right = among_first
    elif ties == "strict":
        right = among_first & (first.sum(1) == 1)
    else:
        assert potential is not None
        best = potential.masked_fill(~first, float("-inf")).argmax(1)
        right = best == targets
    if silent == "wrong":
        return right & fired
    assert potential is not None
    largest = potential == potential.max(1, keepdim=True).values
    rescued = largest.gather(1, label).squeeze(1)
    if ties == "strict":
        rescued = rescued & (largest.sum(1) == 1)
    elif ties == "potential":
        rescued = potential.argmax(1) == targets
    return torch.where(fired, right, rescued)


def first_spike_accuracy(
    times: Tensor,
    targets: Tensor,
    *,
    potential: Tensor | None = None,
    ties: str = "strict",
    silent: str = "wrong",
) -> float:
    """Share of samples whose earliest output spike is the label's.

    Parameters
    ----------
    times : Tensor of shape [B, C]
        First spike times of the outputs, ``inf`` where silent.
    targets : Tensor of shape [B]
        Class indices.
    potential : Tensor of shape [B, C] or [T, B, C], optional
        Output potentials (at the spike, or at the last step), or their recording.
    ties : {"strict", "potential", "any"}, default="strict"
        What several outputs that fire first together count: ``"strict"`` wrong,
        ``"potential"`` the one with the larger potential (then the lowest index) decides,
        ``"any"`` right when the label is among them.
    silent : {"wrong", "potential"}, default="wrong"
        What a sample without any output spike counts: wrong, or the largest potential decides
        (under ``ties="strict"`` it must be the only largest one).

    Returns
    -------
    float
        Between 0 and 1; ``nan`` for an empty batch.

    Raises
    ------
    ValueError
        If ``"potential"`` is asked for and there is none.

    Notes
    -----
    The authors of S4NN count ``ties="any", silent="potential"``. That count can be gamed by a
    network whose outputs all fire at once: never report it alone.

    Examples
    --------
    >>> import torch, snn_temporal_plugins as stp
    >>> times = torch.tensor([[3.0, 5.0], [4.0, 4.0]])
    >>> stp.metrics.first_spike_accuracy(times, torch.tensor([0, 0]))
    0.5
    >>> stp.metrics.first_spike_accuracy(times, torch.tensor([0, 0]), ties="any")
    1.0
    """
    owner = "first_spike_accuracy"
    check_outputs(owner, times)
    targets = _checks.targets(owner, targets, *times.shape)
    _checks.choice(owner, "ties", ties, ("strict", "potential", "any"))
    _checks.choice(owner, "silent", silent, ("wrong", "potential"))
    if potential is None and "potential" in (ties, silent):
        name = "ties" if ties == "potential" else "silent"
        raise ValueError(f'{owner}: {name}="potential" needs the argument potential.')
    potential = output_potential(owner, potential, times)
    return _correct(times, targets, potential, ties, silent).double().mean().item()


class FirstSpikeReport:
    """Counts of a first-spike classifier over many batches, as an honest report needs them.

    ``update`` adds a batch, ``compute`` returns the figures, ``str`` prints them as a table.

    Parameters
    ----------
    t_max : float, optional
        End of the window; the mean decision time then counts silent samples at ``t_max``.

    Raises
    ------
    ValueError
        By ``update``, if times are NaN or shapes do not fit.

    Notes
    -----
    The figures of :meth:`compute`, all shares between 0 and 1 unless a unit is given:

    ``strict``
        The label fired first and alone; nobody fired: it has the largest potential.
    ``potential``
        As ``strict``, but among several first outputs the larger potential decides.
    ``authors``
        As the authors of S4NN count: right when the label is among the first.
    ``strict_silent_wrong``
        As ``strict``, but a sample without output spike is wrong.
    ``ties``, ``silent``
        Samples with several first outputs, and without any.
    ``decision_time``
        Mean time of the first output spike, in the unit of the times, of samples that fired;
        ``decision_time_all`` counts silent samples at ``t_max``.
    ``spikes``
        Mean number of spikes per sample up to the decision, for each entry of ``layers``.

    Without potentials the first three figures are those with ``silent`` wrong, and ``potential``
    is absent.

    Examples
    --------
    >>> import torch, snn_temporal_plugins as stp
    >>> report = stp.metrics.FirstSpikeReport()
    >>> report.update(torch.tensor([[3.0, 5.0], [4.0, 4.0]]), torch.tensor([0, 0]))
    >>> report.compute()["strict"], report.compute()["ties"]
    (0.5, 0.5)
    """

    def __init__(self, t_max: float | None = None) -> None:
        self.t_max = t_max
        self._samples = 0
        self._sums: dict[str, float] = {}

    def update(
        self,
        times: Tensor,
        targets: Tensor,
        potential: Tensor | None = None,
        *,
        layers: dict[str, Tensor] | None = None,
    ) -> None:
        """Add a batch.

        Parameters
        ----------
        times, targets, potential
            As for :func:`first_spike_accuracy`.
        layers : dict of str to Tensor of shape [B, ...], optional
            Spike times of other layers, whose spikes up to the decision are counted.
        """
        owner = "FirstSpikeReport"
        check_outputs(owner, times)
        targets = _checks.targets(owner, targets, *times.shape)
        potential = output_potential(owner, potential, times)
        rescue = "wrong" if potential is None else "potential"
        earliest = times.min(1).values
        fired = torch.isfinite(earliest)
        batch = {
            "strict": _correct(times, targets, potential, "strict", rescue),
            "authors": _correct(times, targets, potential, "any", rescue),
            "strict_silent_wrong": _correct(times, targets, None, "strict", "wrong"),
            "ties": ((times == earliest.unsqueeze(1)).sum(1) > 1) & fired,
            "silent": ~fired,
            "_decision": earliest.where(fired, torch.zeros_like(earliest)),
        }
        if potential is not None:
            batch["potential"] = _correct(times, targets, potential, "potential", rescue)
        for name, spikes in (layers or {}).items():
            before = spikes.flatten(1) <= earliest.unsqueeze(1)
            batch[f"spikes:{name}"] = (before & torch.isfinite(spikes.flatten(1))).sum(1)
        for name, values in batch.items():
            self._sums[name] = self._sums.get(name, 0.0) + values.double().sum().item()
        self._samples += len(times)

    def compute(self) -> dict[str, float]:
        """Return the figures as a dictionary of floats."""
        if not self._samples:
            raise ValueError("FirstSpikeReport: compute before any update; there are no samples.")
        n, sums = self._samples, self._sums
        names = ("strict", "potential", "authors", "strict_silent_wrong", "ties", "silent")
        figures = {name: sums[name] / n for name in names if name in sums}
        fired = n - sums["silent"]
        figures["decision_time"] = sums["_decision"] / fired if fired else float("nan")
        if self.t_max is not None:
            figures["decision_time_all"] = (sums["_decision"] + sums["silent"] * self.t_max) / n
        for name, total in sums.items():
            if name.startswith("spikes:"):
                figures[name] = total / n
        return figures | {"samples": n}

    def __str__(self) -> str:
        words = {
            "strict": "correct, strict (a tie is wrong)",
            "potential": "correct, potential decides ties",
            "authors": "correct, as the S4NN authors count",
            "strict_silent_wrong": "correct, strict, silent is wrong",
            "ties": "ties for the first spike",
            "silent": "no output spike",
        }
        lines = []
        for name, value in self.compute().items():
            if name in words:
                lines.append(f"{words[name]:<36}{100 * value:8.2f} %")
            elif name == "samples":
                lines.append(f"{'samples':<36}{value:8.0f}")
            elif name.startswith("spikes:"):
                lines.append(f"{'spikes before decision, ' + name[7:]:<36}{value:8.1f}")
            else:
                label = "decision time" + (" (silent = t_max)" if name.endswith("all") else "")
                lines.append(f"{label:<36}{value:8.1f}")
        return "\n".join(lines)

    def __repr__(self) -> str:
        return f"FirstSpikeReport(samples={self._samples})"
