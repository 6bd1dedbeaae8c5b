"""Turns of builds on one ref: side by side while they are not in each other's way, else one by one."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

from millpond.lake.connect import connection


@contextmanager
def turn(ref: str, *, alone: bool) -> Iterator[None]:
    """Hold a place among the builds on `ref` within the block, in all processes.

    With `alone`, waits until all others are done and keeps later ones waiting. Ends with the process.
    """
    key = int.from_bytes(
        hashlib.blake2b(f"millpond build {ref}".encode(), digest_size=8).digest(), signed=True
    )
    with connection() as conn:
        if alone:
            conn.execute("select pg_advisory_lock(%s)", (key,))
        else:
            conn.execute("select pg_advisory_lock_shared(%s)", (key,))
        yield
