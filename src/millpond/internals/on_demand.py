"""Names that are imported on first use, so that a process loads only those that it needs."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from typing import Any


def import_on_demand(module: str, parts: Mapping[str, str]) -> Callable[[str], Any]:
    """Return the `__getattr__` of `module`; `parts` maps each name to its place: "package.module:name".

    A name without ":name" is a module.
    """

    def get(name: str) -> Any:
        if name not in parts:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        where, _, of = parts[name].partition(":")
        found = importlib.import_module(where)
        value = getattr(found, of) if of else found
        setattr(sys.modules[module], name, value)
        return value

    return get
