"""What any part has to tell people, written in the transaction that changes its state.

`millpond.alerts` turns each notice into an alert, or into the end of one, exactly once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import psycopg

from millpond.redaction import redacted


def tell(
    connection: psycopg.Connection[Any],
    kind: str,
    key: str,
    title: str,
    reason: str,
    *,
    assets: Sequence[str] = (),
    partition: str = "",
    source: str | None = None,
) -> None:
    """Have people told, in the caller's transaction, of something that is known by `kind` and `key`.

    `kind` is one of `alerts.kinds`; notices with one `source` are one, however often they are written.
    """
    connection.execute(
        "insert into notices (kind, key, over, source, title, reason, assets, partition)"
        " values (%s, %s, false, %s, %s, %s, %s, %s)",
        (kind, key, source, redacted(title), redacted(reason), list(assets), partition),
    )


def over(connection: psycopg.Connection[Any], kind: str, key: str, words: str) -> None:
    """Have those who were told hear, in the caller's transaction, that it is over."""
    connection.execute(
        "insert into notices (kind, key, over, reason) values (%s, %s, true, %s)", (kind, key, words)
    )
