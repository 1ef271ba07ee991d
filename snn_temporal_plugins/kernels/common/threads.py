"""Blocks of a kernel's work on a pool of threads.

numba's own threading layers are not used: one kills forked children, another aborts under two
Python threads. The kernels release the interpreter lock, so ordinary threads serve. A pool
belongs to the process that made it: a forked child finds none and makes its own.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import torch

SMALL = 4_000_000  # (sample, input, output) triples that one thread handles before another is awake

_pools: dict[tuple[int, int], ThreadPoolExecutor] = {}


def run_blocks(
    kernel: Callable[..., Any], size: int, *arguments: Any, work: float = float("inf")
) -> None:
    """Call ``kernel(*arguments, first, last)`` for blocks that cover ``0 ... size - 1``.

    ``work`` is a bound on the triples of sample, input and output that the kernel looks at.
    """
    threads = min(torch.get_num_threads(), size)
    if threads <= 1 or work < SMALL:
        kernel(*arguments, 0, size)
        return
    edges = [size * k // threads for k in range(threads + 1)]
    blocks = list(pairwise(edges))
    pool = _pool(threads - 1)
    waiting = [pool.submit(kernel, *arguments, *block) for block in blocks[1:]]
    kernel(*arguments, *blocks[0])  # the caller works too
    for block in waiting:
        block.result()


def _pool(workers: int) -> ThreadPoolExecutor:
    key = os.getpid(), workers
    if key not in _pools:
        _pools[key] = ThreadPoolExecutor(workers, thread_name_prefix="snn-temporal")
    return _pools[key]
