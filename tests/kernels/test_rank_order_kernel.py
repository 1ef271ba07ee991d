"""Kernel of the rank-order loss: the same errors and losses as in plain torch."""

import importlib

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as some

import snn_temporal_plugins as stp
from snn_temporal_plugins import _backends

pytest.importorskip("numba")
op = importlib.import_module("snn_temporal_plugins.kernels.rank_order.op")
STEPS, GAMMA = 40, 3.0


def run(times, labels):
    """Losses of the samples and gradients on the times."""
    times = times.clone().requires_grad_()
    loss = stp.RankOrderLoss(STEPS, gamma=GAMMA, reduction="none")(times, labels)
    weights = torch.arange(1.0, len(loss) + 1, dtype=loss.dtype)
    return loss.detach(), torch.autograd.grad(loss @ weights, times)[0]


@settings(deadline=None)
@given(
    seed=some.integers(0, 2**32 - 1),
    samples=some.integers(0, 7),
    latest=some.sampled_from([3, 12, STEPS - 1, 90]),
    silent=some.sampled_from([0.0, 0.4, 1.0]),
    dtype=some.sampled_from([torch.float32, torch.float64]),
)
def test_kernel_and_torch_agree(seed, samples, latest, silent, dtype):
    draw = torch.Generator().manual_seed(seed)
    times = torch.randint(latest + 1, (samples, 5), generator=draw).to(dtype)
    times[torch.rand(samples, 5, generator=draw) < silent] = float("inf")
    labels = torch.randint(5, (samples,), generator=draw)
    loss, gradient = run(times, labels)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_backends, "_helpers", {})
        wanted_loss, wanted_gradient = run(times, labels)
    torch.testing.assert_close(loss, wanted_loss)
    torch.testing.assert_close(gradient, wanted_gradient)


def test_the_kernel_serves_only_what_it_can():
    times = torch.zeros(2, 3)
    assert _backends.helper("rank_order_errors", times) is op.rank_order_errors
    assert _backends.helper("rank_order_errors", times.half()) is None
    assert _backends.helper("rank_order_errors", times.to("meta")) is None
    assert _backends.helper("unknown", times) is None
    seen = []
    torch.vmap(lambda x: seen.append(_backends.helper("rank_order_errors", x)) or x)(times)
    assert seen == [None]
