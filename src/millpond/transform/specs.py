"""What of a spec is computed from more than one field of dbt's: the code version, the names of owners."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

_Node = Mapping[str, Any]
_OF_DBT = frozenset({"dbt", "dbt_duckdb", "dbt_trino"})
_VARIABLE = re.compile(r"""\bvar\(\s*["'](\w+)""")


def code_version(node: _Node, document: _Node, variables: Mapping[str, object]) -> str:
    """Return a hash of what a model's rows are computed by.

    Its SQL, the macros that it reaches but for dbt's own, the content of seeds it reads, and the values of
    the `variables` that these name.
    """
    own = [macro for macro in _reached(node, document) if macro["package_name"] not in _OF_DBT]
    code = [node["raw_code"], *(macro["macro_sql"] for macro in own)]
    named = sorted(set(_VARIABLE.findall("".join(code))))
    seeds = [document["nodes"][key]["checksum"]["checksum"] for key in _seeds(node)]
    values = [f"{name}={variables.get(name)}" for name in named]
    return hashlib.sha256("\0".join([*code, *seeds, *values]).encode()).hexdigest()[:16]


def _reached(node: _Node, document: _Node) -> list[_Node]:
    """Return the macros that a node calls and those that they call, by key."""
    found: dict[str, _Node] = {}
    queue = list(node["depends_on"]["macros"])
    for key in queue:
        if key not in found and key in document["macros"]:
            found[key] = document["macros"][key]
            queue += found[key]["depends_on"]["macros"]
    return [found[key] for key in sorted(found)]


def _seeds(node: _Node) -> list[str]:
    return sorted(key for key in node["depends_on"].get("nodes", ()) if key.startswith("seed."))


def owner_names(named: str | Sequence[str] | None) -> list[str] | None:
    """Return owners as Dagster accepts them: e-mail addresses, else teams; None if there are none."""
    return [_owner_name(each) for each in ([named] if isinstance(named, str) else named or ())] or None


def _owner_name(name: str) -> str:
    if "@" in name:
        return name
    return "team:" + re.sub(r"[^\w-]+", "-", name.removeprefix("team:")).strip("-")
