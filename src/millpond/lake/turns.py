"""Turns of the threads of one write: one of them runs Python, the others read, compress and write files.

Each call into Arrow gives up the interpreter for a moment. A thread that waits for it takes it then, and the
two go on waiting for each other, hundreds of times in a table of few rows: longer than the calls take.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

_own = threading.local()


@contextmanager
def take_turns(turn: threading.Lock) -> Iterator[None]:
    """Let this thread run the block while no other thread has `turn`, which they share."""
    turn.acquire()
    _own.turn = turn
    try:
        yield
    finally:
        end_turns()


@contextmanager
def leave_turn() -> Iterator[None]:
    """Let another thread take its turn during the block, which is a long call outside of Python."""
    turn = _give_up()
    try:
        yield
    finally:
        if turn is not None:
            turn.acquire()
            _own.turn = turn


def end_turns() -> None:
    """Take no more turns: this thread has so many rows that most of its calls are long."""
    _give_up()


def _give_up() -> threading.Lock | None:
    """Let another thread take its turn; returns what is shared, None if this thread has no turn."""
    turn: threading.Lock | None = getattr(_own, "turn", None)
    if turn is not None:
        _own.turn = None
        turn.release()
    return turn
