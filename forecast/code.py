"""Hashes: of values as JSON, and of the code that a stage runs."""

from __future__ import annotations

import hashlib
import json
import re
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

_IMPORT = re.compile(r"^[ \t]*from (forecast[.\w]*) import\b", re.MULTILINE)


def hash_json(value: Any) -> str:
    """Return the SHA-256 of a value as JSON with sorted keys."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


@cache
def hash_code(module: str) -> str:
    """Return the SHA-256 over the text of a module and of all that it imports from this package."""
    found: dict[str, str] = {}
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found[name], imported = _read_module(name)
            waiting += imported
    return hash_json(found)


@cache
def _read_module(module: str) -> tuple[str, tuple[str, ...]]:
    """Return the text of a module, and the modules of this package that it imports."""
    spec = find_spec(module)
    text = Path(spec.origin).read_text(encoding="utf-8") if spec and spec.origin else ""
    return text, tuple(_IMPORT.findall(text))
