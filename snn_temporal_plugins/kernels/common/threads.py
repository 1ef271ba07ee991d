"""Blocks of a kernel's work on several threads.

They are those of torch's own OpenMP pool, whose threads are awake while a network is trained;
where there is none (and in a forked child, which inherits no threads), a pool of Python threads.
numba's threading layers are not used: one kills forked children, another aborts under two Python
threads.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch

from .team import in_blocks

SMALL = 400_000  # (sample, input, output) triples that are not worth a team of threads
SHARES = 4  # blocks per thread: who is late finds less left

_pools: dict[tuple[int, int], ThreadPoolExecutor] = {}


def run_blocks(
    kernel: Callable[..., Any], size: int, *arguments: Any, work: float = float("inf")
) -> None:
    """Call ``kernel(*arguments, first, last)`` for blocks that cover ``0 ... size - 1``.

    ``work`` is a bound on the triples of sample, input and output that the kernel looks at. A
    kernel must not keep its arrays: where the work is large they are lent without their owner.
    """
    if work < SMALL or not size:
        kernel(*arguments, 0, size)
        return
    threads = min(torch.get_num_threads(), size)
    blocks = 1 if threads == 1 else min(size, SHARES * threads)
    in_blocks(kernel)(_start(), threads, size, blocks, *arguments)


def _start() -> int:
    """Address of what starts a team: ``start(function, data, threads, flags)``."""
    return OPENMP if OPENMP and os.getpid() == PROCESS else PYTHON


@ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint)
def _start_python(function: int, data: int, threads: int, flags: int) -> None:
    region = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(function)
    waiting = [_pool(threads - 1).submit(region, data) for _ in range(1, threads)]
    region(data)  # the caller works too
    for share in waiting:
        share.result()


def _pool(workers: int) -> ThreadPoolExecutor:
    key = os.getpid(), workers
    if key not in _pools:
        _pools[key] = ThreadPoolExecutor(workers, thread_name_prefix="snn-temporal")
    return _pools[key]


def _address(function: Any) -> int:
    return ctypes.cast(function, ctypes.c_void_p).value or 0


def _openmp() -> int:
    """Address of ``GOMP_parallel`` in the library that torch has loaded; 0 if there is none."""
    if sys.platform != "linux":
        return 0
    return _address(getattr(ctypes.CDLL(None), "GOMP_parallel", None))


PROCESS, OPENMP, PYTHON = os.getpid(), _openmp(), _address(_start_python)
