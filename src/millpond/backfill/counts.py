"""What a load counts beside the rows it loads, by the names of a backfill's ledger, and how it is printed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

METADATA: Final = {
    "quarantined": "rows_quarantined",
    "nulled": "values_nulled",
    "no_value": "no_value_codes",
    "duplicates": "duplicates_dropped",
    "outside": "rows_outside_window",
}
"""Metadata of a materialization that has each count."""
_WORDS: Final = {
    "quarantined": "quarantined",
    "nulled": "bad values became null",
    "no_value": "codes for no value",
    "duplicates": "duplicates dropped",
    "outside": "out of range",
}


def numbers_of(metadata: Mapping[str, float]) -> dict[str, Any]:
    """Return the counts that a materialization's metadata has; none where nothing was loaded."""
    return {count: int(metadata[name]) for count, name in METADATA.items() if name in metadata}


def in_words(counts: Mapping[str, Any]) -> str:
    """Return the counts that are not zero, as a line for people; "" if all are."""
    return ", ".join(f"{counts[name]:,} {words}" for name, words in _WORDS.items() if counts.get(name))
