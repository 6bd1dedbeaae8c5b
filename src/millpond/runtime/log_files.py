"""Logs that stay small: a file that has grown is copied aside and emptied, under the writers' hands.

Every writer appends (`O_APPEND`), so it goes on at the new beginning and never has to be told. What is
written in the instant between copying and emptying is lost; nothing else is.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

LIMIT_BYTES = 10_000_000
KEPT = 3


def rotate(folder: Path, limit: int = LIMIT_BYTES, kept: int = KEPT) -> list[Path]:
    """Move the content of each log in `folder` that is larger than `limit` bytes to `<log>.1`.

    `<log>.1` becomes `<log>.2` and so on up to `kept`; the oldest is dropped. Returns the logs concerned.
    """
    grown = [log for log in sorted(folder.glob("*.log")) if log.stat().st_size > limit]
    for log in grown:
        for age in range(kept, 1, -1):
            younger = _aged(log, age - 1)
            if younger.exists():
                younger.replace(_aged(log, age))
        unfinished = log.with_name(f"{log.name}.new")
        shutil.copy2(log, unfinished)
        os.truncate(log, 0)
        unfinished.replace(_aged(log, 1))
    return grown


def _aged(log: Path, age: int) -> Path:
    return log.with_name(f"{log.name}.{age}")
