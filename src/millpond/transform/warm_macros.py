"""Compiles the macros that builds and tests call, which dbt does when a process first calls them."""

from __future__ import annotations

from collections.abc import Iterable

from dbt.contracts.graph.manifest import Manifest

from millpond.internals.dbt import template_cache

_CALLED = (
    *("millpond.replace_in_lake", "millpond.materialization_table_{adapter}"),
    *("millpond.materialization_incremental_{adapter}", "dbt.materialization_test_default"),
    *("dbt.create_schema", "dbt.list_schemas", "dbt.list_relations_without_caching"),
)
"""What dbt itself calls in a build."""
_RARE = ("dbt.get_create_sql", "dbt.load_cached_relation", "dbt.materialization_incremental_{adapter}")
"""What the above call for stored failures and for models that are no tables of ours."""


def compile_macros(manifest: Manifest) -> None:
    """Keep the compiled templates of what each build calls, and of the tests' own macros."""
    adapter = manifest.metadata.adapter_type
    tests = (node for node in manifest.nodes.values() if node.resource_type.value == "test")
    called = {*_name(_CALLED, adapter), *(macro for test in tests for macro in test.depends_on.macros)}
    for macro in _find_called(manifest, called, frozenset(_name(_RARE, adapter))):
        template_cache.get_node_template(manifest.macros[macro])


def _name(macros: Iterable[str], adapter: str | None) -> list[str]:
    return [f"macro.{each.format(adapter=adapter)}" for each in macros]


def _find_called(manifest: Manifest, called: Iterable[str], rare: frozenset[str]) -> set[str]:
    """Return these macros and those that they call."""
    found: set[str] = set()
    waiting = list(called)
    while waiting:
        name = waiting.pop()
        if name in manifest.macros and name not in found | rare:
            found.add(name)
            waiting += manifest.macros[name].depends_on.macros
    return found
