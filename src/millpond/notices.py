"""Notices, by which any package raises or resolves an alert in the transaction that changes its state.

`millpond.alerts` turns each notice into an alert, or resolves one, exactly once.
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
    """Raise an alert identified by `kind` and `key`, in the caller's transaction.

    `kind` is one of `alerts.kinds`; notices with the same `source` count once.
    """
    connection.execute(
        "insert into notices (kind, key, over, source, title, reason, assets, partition)"
        " values (%s, %s, false, %s, %s, %s, %s, %s)",
        (kind, key, source, redacted(title), redacted(reason), list(assets), partition),
    )


def over(connection: psycopg.Connection[Any], kind: str, key: str, words: str) -> None:
    """Resolve the alert identified by `kind` and `key`, in the caller's transaction."""
    connection.execute(
        "insert into notices (kind, key, over, reason) values (%s, %s, true, %s)", (kind, key, words)
    )
