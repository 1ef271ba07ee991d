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

_pools: dict[tuple[int, int], ThreadPoolExecutor] = {}


def run_blocks(kernel: Callable[..., Any], size: int, *arguments: Any) -> None:
    """Call ``kernel(*arguments, first, last)`` for blocks that cover ``0 ... size - 1``."""
    threads = min(torch.get_num_threads(), size)
    if threads <= 1:
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
