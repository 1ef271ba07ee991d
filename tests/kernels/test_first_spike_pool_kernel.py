"""The kernel of the pooling on first spikes is torch's maximum of negative times."""

import pytest
import torch

import snn_temporal_plugins as stp

pytest.importorskip("numba")
INF = float("inf")


@pytest.mark.parametrize("kernel", [1, 2, 3])
@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("threads", [1, 2])
def test_kernel_is_the_reference(kernel, last, threads, set_threads):
    torch.manual_seed(kernel)
    times = torch.randint(0, 9, (5, 7, 8, 9)).float()  # ties in most windows
    times[torch.rand(times.shape) < 0.5] = INF
    times[0] = INF
    times = times.to(memory_format=torch.channels_last if last else torch.contiguous_format)
    results = []
    error = torch.randn(5, 7, 8 // kernel, 9 // kernel)
    set_threads(threads)
    for backend in ("torch", "numba"):
        leaf = times.clone().requires_grad_()
        out = stp.FirstSpikePool2d(kernel, backend=backend)(leaf)
        results.append((out, torch.autograd.grad(out, leaf, error)[0]))
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


def test_operator_passes_the_checks_of_torch():
    from snn_temporal_plugins.kernels.first_spike_pool import op

    times = torch.randint(0, 9, (3, 2, 5, 4)).double().requires_grad_()
    tests = ("test_schema", "test_faketensor", "test_aot_dispatch_dynamic")
    torch.library.opcheck(op.first_spike_pool, (times, 2), test_utils=tests)


def test_repr_shows_the_choice():
    assert "kernel=2, backend='auto (numba)'" in repr(stp.FirstSpikePool2d(2))
    assert "backend='torch'" in repr(stp.FirstSpikePool2d(2, backend="torch"))
