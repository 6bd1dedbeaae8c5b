"""Templates see dbt's own variables, also those that are made when they are read."""

from __future__ import annotations

import re
from typing import Any

import pyarrow as pa
import pytest
from dbt.context.base import BaseContext, Var
from dbt.context.providers import ModelContext, RuntimeProvider
from dbt.task import test as dbt_test_task

from dbt import compilation
from millpond.lake import read
from millpond.transform.dbt_patches import patch_dbt
from small_projects import Write, built, load

pytestmark = pytest.mark.usefixtures("home")

_SEEN = {
    "variable": '{{ var("start_date") }}',
    "default": '{{ var("color", "blue") }}',
    "builtin": '{{ builtins.var("start_date") }}',
    "command": "{{ flags.WHICH }} {{ context.flags.FULL_REFRESH }}",
    "arguments": '{{ invocation_args_dict["which"] }} {{ invocation_args_dict is mapping }}',
    "date": "{{ modules.datetime.date(2026, 1, 2) }}",
    "error": "{{ exceptions.raise_compiler_error is callable }} {{ exceptions | length > 20 }}",
    "override": "{{ dbt_metadata_envs() }} {{ builtins.dbt_metadata_envs | length }}",
}


def _build(write_project: Write) -> None:
    load("things", pa.table({"id": [1]}))
    columns = ", ".join(f"'{value}' as {name}" for name, value in _SEEN.items())
    write_project(
        {
            "macros/own.sql": "{% macro dbt_metadata_envs() %}mine{% endmacro %}",
            "models/seen.sql": f"select {columns}",
            "models/seen.yml": "models: [{name: seen, columns: [{name: date, data_tests: [not_null]}]}]",
        }
    )
    result, error = built(["seen"])
    assert result.merged, error


def test_a_model_reads_each_variable_of_dbt_and_the_macro_that_overrides_one(write_project: Write) -> None:
    _build(write_project)
    assert read.scan("main", "silver.seen").to_pylist() == [
        {
            "variable": "2024-01-01",
            "default": "blue",
            "builtin": "2024-01-01",
            "command": "build False",
            "arguments": "build True",
            "date": "2026-01-02",
            "error": "True True",
            "override": "mine 0",
        }
    ]


def test_the_variables_of_a_model_and_of_a_test_are_those_that_dbt_makes(
    write_project: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    patch_dbt()
    make, found = compilation.generate_runtime_model_context, dict[str, tuple[Any, Any]]()

    def make_both(model: Any, config: Any, manifest: Any) -> dict[str, Any]:
        ours = make(model, config, manifest)
        theirs = BaseContext.to_dict(ModelContext(model, config, manifest, RuntimeProvider(), None))
        for name, value in theirs["builtins"].items():
            found[f"{model.name}: {name}"] = _describe(ours["builtins"][name]), _describe(value)
        assert ours["builtins"].keys() == theirs["builtins"].keys()
        return ours

    monkeypatch.setattr(compilation, "generate_runtime_model_context", make_both)
    _build(write_project)
    assert {name.partition(":")[0] for name in found} == {"seen", "not_null_seen_date"}
    assert [name for name, (ours, theirs) in found.items() if ours != theirs] == []


@pytest.mark.parametrize("read", [True, False])
def test_a_test_runs_with_the_model_that_it_was_compiled_to(
    write_project: Write, monkeypatch: pytest.MonkeyPatch, *, read: bool
) -> None:
    patch_dbt()
    compile_in, run_in = (
        part.generate_runtime_model_context  # type: ignore[attr-defined]
        for part in (compilation, dbt_test_task)
    )
    found: list[tuple[Any, Any]] = []

    def compile_with(model: Any, config: Any, manifest: Any) -> Any:
        ours = compile_in(model, config, manifest)
        if read:
            assert "compiled_code" not in ours["model"]
        return ours

    def run_with(model: Any, config: Any, manifest: Any) -> Any:
        ours = run_in(model, config, manifest)
        theirs = BaseContext.to_dict(ModelContext(model, config, manifest, RuntimeProvider(), None))
        found.append((ours["model"], theirs["model"]))
        return ours

    monkeypatch.setattr(compilation, "generate_runtime_model_context", compile_with)
    monkeypatch.setattr(dbt_test_task, "generate_runtime_model_context", run_with)
    _build(write_project)
    ((ours, theirs),) = found
    assert ours == theirs
    assert "select" in ours["compiled_code"]


def _describe(value: Any) -> Any:
    """Return what a variable holds, without the addresses of its objects."""
    if isinstance(value, Var):
        return type(value).__name__, {name: value._merged[name] for name in sorted(value._merged)}
    if isinstance(value, dict):
        return {name: _describe(each) for name, each in value.items()}
    return re.sub(r"0x[0-9a-f]+", "", repr(value))
