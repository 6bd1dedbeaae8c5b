"""dbt's macros, made on demand, are found as dbt finds them; the summary of a graph is the one dbt makes."""

from __future__ import annotations

import inspect
import itertools
from types import SimpleNamespace
from typing import Any

import networkx as nx
import pytest
from dbt.artifacts.resources.v1.components import InjectedCTE
from dbt.clients.jinja import MacroGenerator
from dbt.clients.jinja_static import statically_extract_macro_calls
from dbt.compilation import Linker
from dbt.context.macros import MacroNamespaceBuilder
from dbt.node_types import NodeType
from dbt_common.clients import jinja

from dbt import compilation
from millpond.transform.dbt_macros import Macros, OnDemand, Variables
from millpond.transform.dbt_patches import find_with_first, parse_macros_once, patch_dbt, summarize_graph

_PACKAGES = {
    "dbt": ("ref_key", "in_dbt", "in_both", "everywhere"),
    "dbt_duckdb": ("in_both", "everywhere"),
    "shop": ("own", "utils", "everywhere"),
    "utils": ("star", "own", "everywhere"),
}
_MACROS: dict[str, dict[str, Any]] = {
    package: {name: SimpleNamespace(name=name, package_name=package) for name in names}
    for package, names in _PACKAGES.items()
}
_NAMES = {*itertools.chain(*_PACKAGES.values()), *_PACKAGES, "nowhere"}


def _make_builder(package: str) -> MacroNamespaceBuilder:
    return MacroNamespaceBuilder("shop", package, None, ["dbt_duckdb", "dbt"])  # type: ignore[arg-type]


@pytest.mark.parametrize("package", ["shop", "utils", "dbt"])
def test_each_name_leads_to_the_macro_that_dbt_finds(package: str) -> None:
    dbts = _make_builder(package).build_namespace(_MACROS, {})
    ours = Macros(_make_builder(package), _MACROS, {})
    for name in _NAMES:
        assert (name in ours) == (name in dbts)
        assert _describe(ours.get(name)) == _describe(dbts.get(name))
        for of in ("dbt", "utils", "shop"):
            found = dbts.get_from_package(of, name)
            assert _describe(ours.get_from_package(of, name)) == _describe(found)
    assert {*ours} == {*dbts}


def test_macros_come_before_variables_of_their_name_and_what_is_set_later_before_them() -> None:
    variables = Variables()
    macros = Macros(_make_builder("shop"), _MACROS, variables)
    builtins = OnDemand({"flags": "late flags", "utils": "late"}, str.upper)
    builtins.update(own="a variable", model="a model")
    variables.fill(builtins, macros)
    variables["star"] = "set later"
    assert variables["own"] is macros["own"]
    assert variables["utils"] is macros["utils"]
    assert variables["in_dbt"].context is variables
    assert (variables["model"], variables["star"]) == ("a model", "set later")
    assert (variables["flags"], variables["builtins"]["own"]) == ("LATE FLAGS", "a variable")
    assert variables["context"] is variables
    assert "nowhere" not in variables
    assert {**variables} == dict(variables.items()) == variables.copy()
    own = {*macros, "model", "star", "flags", "context", "builtins"}
    assert {*variables} == own
    assert len(variables) == len(own)


def test_the_text_of_a_macro_is_parsed_once_while_a_project_is() -> None:
    text = "{% macro outer(x) %}{{ inner(x) }}{{ shop.other() }}{% endmacro %}"
    fresh = jinja.parse(text)
    with parse_macros_once():
        found = jinja.parse(text)
        assert jinja.get_environment(None, capture_macros=True).parse(text) is found
        assert {*statically_extract_macro_calls(text, {})} == {"inner", "shop.other"}
    assert jinja.parse(text) is not found
    assert found == fresh


def test_only_what_is_read_is_made_until_all_of_it_is_needed() -> None:
    made: list[str] = []
    found = OnDemand({"a": "A", "b": "B", "c": "C"}, lambda part: made.append(part) or part)
    assert (found["b"], found.get("b"), "c" in found, bool(found)) == ("B", "B", True, True)
    assert made == ["B"]
    assert found.pop("a") == "A"
    assert found.copy() == {"b": "B", "c": "C"}
    del found["b"]
    assert [*found.values()] == ["C"]
    assert sorted(made) == ["A", "B", "C"]
    with pytest.raises(KeyError):
        found["a"]


def test_the_summary_of_a_graph_is_the_one_that_dbt_makes() -> None:
    linker = Linker()
    linker.graph = nx.DiGraph([("model.a", "model.b"), ("model.b", "test.c"), ("model.a", "test.c")])
    kinds = {name: NodeType(name.partition(".")[0]) for name in linker.graph}
    manifest: Any = SimpleNamespace(expect=lambda name: SimpleNamespace(resource_type=kinds[name]))
    assert summarize_graph(linker, manifest) == {
        0: {"name": "model.a", "type": "model", "succ": [1, 2]},
        1: {"name": "model.b", "type": "model", "succ": [2]},
        2: {"name": "test.c", "type": "test"},
    }


def _describe(found: Any) -> Any:
    """Return the package and name of a macro, or the macros of a package."""
    if hasattr(found, "macro"):
        return found.macro.package_name, found.macro.name
    return {name: _describe(each) for name, each in found.items()} if isinstance(found, dict) else found


@pytest.mark.parametrize(
    "sql",
    [
        "with a as (select 1) select * from a",
        "\n\n  WITH\n\n  a as (\n select ';' as b -- with\n) select * from a\n",
        "with a as (select 1) select * from a; -- done",
        "with recursive a as (select 1) select * from a",
        "with recursive_a as (select 1), date as (select 2) select * from date",
        'with "a" as (select 1) select * from "a"',
        "with -- first\n a as (select 1) select * from a",
        "-- with\nwith a as (select 1) select * from a",
        "/* with */ select 1 from (with a as (select 1) select * from a)",
        "without as (select 1)",
        "select 1",
    ],
)
@pytest.mark.parametrize("number", [0, 1, 2])
def test_rows_of_a_unit_test_come_first_in_a_query_as_dbt_puts_them(sql: str, number: int) -> None:
    ctes = [
        InjectedCTE(f"rows_{each}", f" __dbt__cte__{each} as (\nselect {each}\n)") for each in range(number)
    ]
    of_dbt = inspect.unwrap(compilation.inject_ctes_into_sql)
    assert find_with_first(of_dbt)(sql, ctes) == of_dbt(sql, ctes)


def test_a_macro_is_made_once_for_each_context_and_sees_what_the_context_has_now() -> None:
    patch_dbt()
    macro = SimpleNamespace(
        name="greet",
        macro_sql="{% macro greet(name) %}{{ greeting }} {{ name }}{% endmacro %}",
        unique_id="macro.acme.greet",
        depends_on_macros=[],
    )
    context: dict[str, Any] = {"greeting": "hello"}
    greet: Any = MacroGenerator(macro, context)
    first = greet.get_macro()
    assert (greet("Ada"), greet.get_macro()) == ("hello Ada", first)
    context["greeting"] = "goodbye"
    assert greet("Ada") == "goodbye Ada"
    greet.context = {"greeting": "welcome"}
    assert greet("Ada") == "welcome Ada"
