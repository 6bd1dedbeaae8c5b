"""What is said of an asset that does not exist; needs nothing of Dagster, which takes seconds to load."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from millpond.errors import ConfigError

_SHOWN = 20
"""Names that a message lists."""


def unknown_asset(name: str, known: Sequence[str]) -> ConfigError:
    """Return the error for an asset called `name`, with the nearest of the `known` ones."""
    ending = [k for k in known if k.split("/")[-1] == name]
    near = list(dict.fromkeys(ending + difflib.get_close_matches(name, known, n=3, cutoff=0.5)))[:3]
    return refuse(f"no asset is called {name!r}", near, known)


def refuse(what: str, near: Sequence[str], known: Sequence[str]) -> ConfigError:
    """Return the error for a selection, with the names that may be meant or else those there are."""
    advice = f"did you mean {' or '.join(near)}?" if near else f"there are: {', '.join(known[:_SHOWN])}"
    if not near and (more := len(known) - _SHOWN) > 0:
        advice += f" and {more} more; `millpond tables` and `millpond sources list` name most of them"
    return ConfigError(what, unharmed="everything; nothing was begun", next_step=advice)
