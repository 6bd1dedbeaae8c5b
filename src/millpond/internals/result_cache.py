"""What is derived from objects of libraries, such as schemas and types, is derived once for each of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")

KEPT = 256
"""Results that are kept: of schemas one for each partitioning, of which a lake has few."""

_PLAIN = (str, int)
"""Values that are compared; of others the identity is, as their hash takes longer than what a cache saves."""


def remember_results(derive: Callable[..., T], kept: int = KEPT) -> Callable[..., T]:
    """Return `derive`, which remembers what it derived from the same objects and equal texts and numbers.

    What it returns is shared by all who call it.
    """
    known: dict[tuple[Any, ...], tuple[tuple[Any, ...], T]] = {}

    def derive_once(*given: Any) -> T:
        key = tuple([_make_key(value) for value in given])
        found = known.get(key)
        if found is None:  # what is in the dictionary lives, so that no other object has its id
            if len(known) >= kept:
                known.clear()
            found = known[key] = given, derive(*given)
        return found[1]

    return derive_once


def _make_key(value: Any) -> Any:
    kind = type(value)
    if kind is dict:
        return tuple(value.items())
    return value if kind in _PLAIN else id(value)
