"""Our exact layer against other people's layers with exact spike times, where they run at all.

The layer of ``exact_lif.py``, 784 -> 400, float64, forward and backward, with tau_mem = 2 tau_syn.
Each package gets as many images at once as it can hold in a few gigabytes; ours gets 100. A package
that is not installed, or that fails, is reported with its reason.

    pip install exact-snn-nn exact-event-adjoint pyyaml
    git clone https://github.com/JulianGoeltz/fastAndDeep FOLDER
    python benchmarks/exact_packages.py --fast-and-deep FOLDER --output docs/results/...

Not here: BATS needs a CUDA device (it imports cupy), jaxsnn and eventax are JAX, EventProp's
reference is a C++ program without a torch layer.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from exact_lif import BATCH, HIDDEN, INPUTS, TAU_SYN, WINDOW, Ours, drawn, scaled
from timing import medians
from torch import Tensor, nn

import snn_temporal_plugins as stp
from snn_temporal_plugins import _results

TAUS = 2 * TAU_SYN, TAU_SYN  # membrane, synapse
SINGLE, MULTI = "single spike", "5 spikes"

Job = Callable[[], object]


def weights(times: Tensor, spikes: float) -> Tensor:
    """Weights ``[O, I]`` with which our neurons fire so often."""
    fc = scaled(drawn(HIDDEN, INPUTS, times.dtype), times, spikes, tau_mem=TAUS[0], tau_syn=TAUS[1])
    return fc.weight.detach()


def backward(layer: nn.Module, inputs: Tensor) -> Job:
    """Forward and backward of a layer, with the gradient on its input times."""
    leaf = inputs.clone().requires_grad_()

    def job() -> None:
        leaf.grad = None
        layer.zero_grad()
        out = layer(leaf)
        out[torch.isfinite(out)].sum().backward()

    return job


def filled(layer: nn.Module, weight: Tensor) -> nn.Module:
    """The layer with these weights in the first rows and columns of its own."""
    layer.double()
    with torch.no_grad():
        own = layer.weight.zero_()
        own[: weight.shape[0], : weight.shape[1]] = weight
    return layer


def exact_snn_event(times: Tensor) -> Job:
    from exact_snn.event import ExactEventLinear

    layer = ExactEventLinear(INPUTS, HIDDEN, *TAUS, t_max=WINDOW, dtype=torch.float64)
    return backward(filled(layer, weights(times, 1.0)), times.T.contiguous())


def exact_snn_multi(times: Tensor) -> Job:
    from exact_snn.extended import ExactMultiSpike

    layer = ExactMultiSpike(INPUTS, HIDDEN, *TAUS, t_max=WINDOW, dtype=torch.float64, max_spikes=10)
    return backward(filled(layer, weights(times, 5.0)), times.T.contiguous())


def adjoint_single(times: Tensor) -> Job:
    from exact_event_adjoint import ExactAdjointLinear

    layer = ExactAdjointLinear(INPUTS, HIDDEN, *TAUS, t_max=WINDOW)
    return backward(filled(layer, weights(times, 1.0)), times.clamp(max=WINDOW))  # silent: t_max


def adjoint_multi(times: Tensor) -> Job:
    from exact_event_adjoint import ExactAdjointMultiSpike

    layer = ExactAdjointMultiSpike(INPUTS, HIDDEN, 10, *TAUS, t_max=WINDOW)
    return backward(filled(layer, weights(times, 5.0)), times.clamp(max=WINDOW))


def fast_and_deep(times: Tensor) -> Job:
    """The authors' layer; it knows no silent inputs, so they fire at the end of the window."""
    default = torch.get_default_dtype()
    import utils  # of the authors

    constants = {
        "tau_mem": TAUS[0],
        "tau_syn": TAUS[1],
        "g_leak": 0.5,
        "leak": 0.0,
        "max_dw_norm": None,
    }
    size = {"feat_in": [INPUTS, 1], "size": HIDDEN, "weights_mean": 0.0, "weights_std": 1.0}
    weight = weights(times, 1.0)
    layer = utils.NeuronLayer(size, constants | {"threshold": 1.0}, {}, torch.device("cpu"))
    torch.set_default_dtype(default)
    with torch.no_grad():
        layer.weights.copy_(weight.T)
    broadcast = utils.BroadcastLayer(INPUTS, HIDDEN)
    return backward(nn.Sequential(broadcast, layer), times.clamp(max=WINDOW))


CONTESTANTS: dict[str, tuple[Callable[[Tensor], Job], int, str]] = {
    "exact-snn-nn ExactEventLinear": (exact_snn_event, 4, SINGLE),
    "exact-snn-nn ExactMultiSpike": (exact_snn_multi, 1, MULTI),
    "exact-event-adjoint ExactAdjointLinear": (adjoint_single, 1, SINGLE),
    "exact-event-adjoint ExactAdjointMultiSpike": (adjoint_multi, 1, MULTI),
    "fastAndDeep NeuronLayer": (fast_and_deep, 1, SINGLE),
}


def compare(ours: Job, times: Tensor, name: str, options: argparse.Namespace) -> dict:
    """Images per second of a contestant and of ours, taking turns; or why there are none."""
    build, held, kind = CONTESTANTS[name]
    row: dict = {"kind": kind, "images_at_once": held}
    try:
        jobs = {"ours": ours, name: build(times[:held])}
        found = medians(jobs, seconds=options.seconds, limit=options.limit)
    except Exception as error:
        return row | {"did_not_run": f"{type(error).__name__}: {error}"}
    if not found[name]:
        return row | {"did_not_run": f"a call takes more than {options.limit:g} s"}
    speeds = BATCH / found["ours"], held / found[name]
    row |= {"ours": round(speeds[0]), "images_per_second": round(speeds[1], 2)}
    return row | {"times_faster": round(speeds[0] / speeds[1])}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=1.0, help="per contestant")
    parser.add_argument("--limit", type=float, default=40.0, help="longest call that is waited for")
    parser.add_argument("--fast-and-deep", type=Path, help="folder of the authors' program")
    parser.add_argument("--output", type=Path, help="result file")
    options = parser.parse_args()
    if options.fast_and_deep:
        sys.path.insert(0, str(options.fast_and_deep / "src"))
    torch.set_num_threads(1)
    data = stp.datasets.load("mnist", "train").subset(slice(0, BATCH))
    grey = data.images.flatten(1).double()
    times = (1 - grey).masked_fill(grey == 0, torch.inf)
    ours = {SINGLE: Ours(times, 1.0, 2.0, 1), MULTI: Ours(times, 5.0, 2.0, 20)}
    for job in ours.values():
        job()  # compiles the kernels
    rows = {}
    for name, (_, _, kind) in CONTESTANTS.items():
        rows[name] = compare(ours[kind], times, name, options)
        print(f"{name:44} {rows[name]}", flush=True)
    if options.output:
        _results.save(options.output, rows, seed=0, batch=BATCH, source=data.source)


if __name__ == "__main__":
    main()
