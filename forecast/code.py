"""The hash of the code that a stage runs: its module and all modules of this package that it imports."""

from __future__ import annotations

import ast
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from forecast.manifest import hash_json

_PACKAGE = "forecast"


@cache
def hash_code(module: str) -> str:
    """Return the SHA-256 over the text of a module and of what it imports from this package."""
    found: dict[str, str] = {}
    _collect(module, found)
    return hash_json(found)


def _collect(module: str, found: dict[str, str]) -> None:
    if module in found:
        return
    spec = find_spec(module)
    if spec is None or spec.origin is None:
        return
    text = Path(spec.origin).read_text(encoding="utf-8")
    found[module] = text
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == _PACKAGE:
            _collect(str(node.module), found)
