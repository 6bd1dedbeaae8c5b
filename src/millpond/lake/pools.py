"""Pools of threads that stay for the next write; hashing uses one without what `parallel` imports."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache


def get_pool(name: str, threads: int) -> ThreadPoolExecutor:
    """Return this process's pool of a name; a process that was forked has its own."""
    return _make_pool(os.getpid(), name, threads)


@lru_cache(8)
def _make_pool(pid: int, name: str, threads: int) -> ThreadPoolExecutor:  # noqa: ARG001 - it keys the cache
    return ThreadPoolExecutor(threads, name)
