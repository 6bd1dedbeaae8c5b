"""The tables of one write, several at once; all of them, or the first error after all have ended."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor, wait
from contextlib import nullcontext
from typing import TypeVar

from millpond.lake.created_files import CreatedFiles
from millpond.lake.turns import take_turns
from millpond.settings import settings

PARALLEL = 4
"""Tables that are written at once at most; each holds a piece of its rows in memory.

With files in a folder, more than processors would only contend; S3 is waited for.
"""

A = TypeVar("A")
B = TypeVar("B")


def write_each(work: Callable[[A], B], items: Sequence[A], created: CreatedFiles) -> list[B]:
    """Do `work` for each item, several at once, and return the results in the order of the items.

    With files in a folder the threads take turns.

    If one fails, or this thread is interrupted, `created` is closed, so that the others end at their next
    file. When all have ended, the error of the first item that failed by itself is raised: what was created
    can then be removed, and nothing is added to it.
    """
    if len(items) < 2:
        return [work(item) for item in items]
    remote, turn = settings().scale, threading.Lock()

    def run(item: A) -> B:
        with nullcontext() if remote else take_turns(turn):
            return work(item)

    most = PARALLEL if remote else min(PARALLEL, os.cpu_count() or 1)
    with ThreadPoolExecutor(min(most, len(items)), "write") as pool:
        futures = [pool.submit(run, item) for item in items]
        try:
            wait(futures, return_when="FIRST_EXCEPTION")
        finally:
            if any(not future.done() or _find_error(future) for future in futures):
                created.close()
                pool.shutdown(cancel_futures=True)
    if error := next(filter(None, map(_find_error, futures)), None):
        raise error
    return [future.result() for future in futures]


def _find_error(future: Future[B]) -> BaseException | None:
    """Return why an item failed by itself, None if it did not, or ended because another one failed."""
    try:
        error = future.exception() if future.done() else None
    except CancelledError:
        return None
    return None if isinstance(error, CreatedFiles.Closed) else error
