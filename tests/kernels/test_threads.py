"""Blocks of work: every index once, whoever comes to help."""

import pytest
import torch

numba = pytest.importorskip("numba")

from snn_temporal_plugins.kernels.common import threads  # noqa: E402
from snn_temporal_plugins.kernels.common.team import in_blocks  # noqa: E402


@numba.njit(nogil=True)
def mark(target, amount, first, last):
    for i in range(first, last):
        target[i] += amount


@pytest.mark.parametrize("size", [0, 1, 2, 7, 1001])
@pytest.mark.parametrize("helpers", [1, 2, 5])
def test_every_index_is_visited_once(size, helpers, set_threads):
    set_threads(helpers)
    target = torch.zeros(size)
    for _ in range(20):  # the first call may find the others asleep
        threads.run_blocks(mark, size, target.numpy(), 3.0)
    assert torch.equal(target, torch.full((size,), 60.0))


def test_small_work_stays_with_the_caller(monkeypatch):
    monkeypatch.setattr(threads, "in_blocks", lambda kernel: pytest.fail("shared"))
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    target = torch.zeros(9)
    threads.run_blocks(mark, 9, target.numpy(), 1.0, work=threads.SMALL - 1)
    assert torch.equal(target, torch.ones(9))


def test_who_comes_late_finds_nothing_left():
    """A team that starts the region once, where two were asked for, still does all of it."""
    import ctypes

    kind = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint)
    region, asked = ctypes.CFUNCTYPE(None, ctypes.c_void_p), []

    @kind
    def alone(function, data, number, flags):
        asked.append((number, flags))
        for _ in range(3):
            region(function)(data)

    target = torch.zeros(10)
    in_blocks(mark)(ctypes.cast(alone, ctypes.c_void_p).value, 2, 10, 4, target.numpy(), 2.0)
    assert torch.equal(target, torch.full((10,), 2.0)) and asked == [(2, 0)]


def test_kernels_of_one_name_are_kept_apart():
    from snn_temporal_plugins.kernels.single_spike.cpu import forward
    from snn_temporal_plugins.kernels.tssl_lif.cpu import forward as other

    assert in_blocks(forward) is in_blocks(forward)
    names = {in_blocks(kernel).py_func.__qualname__ for kernel in (forward, other)}
    assert len(names) == 2  # numba keeps what it compiled under them
