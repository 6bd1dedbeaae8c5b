"""Texts about assets with sensitive columns, as pages, reports and agents show them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from millpond.ingestion.quarantine import rules_of


def hide_reasons(reasons: Mapping[str, int], hidden: frozenset[str]) -> dict[str, int]:
    """Return the numbers of quarantined rows by reason.

    Of reasons about hidden columns only the rules are kept, such as `email:type`: reasons quote values.
    """
    found: dict[str, int] = {}
    for reason, rows in reasons.items():
        rules = rules_of(reason)
        named = {rule.partition(":")[0].partition(".")[0].lower() for rule in rules}
        shown = ", ".join(rules) if named & {name.lower() for name in hidden} else reason
        found[shown] = found.get(shown, 0) + rows
    return found


def hide_text(text: str, about: Iterable[str]) -> str:
    """Return a text such as an error or, if it is `about` assets with sensitive columns, that it is hidden.

    It may quote values of these columns.
    """
    names = " and ".join(about)
    return f"(hidden, as {names} has sensitive columns; see the run)" if text and names else text


def mentions(text: str, columns: Iterable[str]) -> bool:
    """Return whether a text names one of the columns."""
    words = set(re.findall(r"\w+", text.lower()))
    return any(name.lower() in words for name in columns)
