"""The data tests of the project as dbt compiled them; they are run by `audit`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class DataTest:
    """A data test as dbt compiled it; `sql` returns the rows that break it."""

    name: str
    model: str
    reads: tuple[str, ...]
    """Names of the models it reads."""
    relations: tuple[str, ...]
    """Their tables, as `sql` names them."""
    description: str
    severity: str
    fail_calc: str
    warn_if: str
    error_if: str
    sql: str


def data_tests(results: Iterable[Any], relations: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return the data tests among dbt's results of `compile`, as plain dictionaries.

    `relations` holds what SQL calls the table of each model.
    """
    return [asdict(_data_test(r.node, relations)) for r in results if r.node.resource_type == "test"]


def due(tests: Iterable[Mapping[str, Any]], built: Iterable[str], there: Iterable[str]) -> list[DataTest]:
    """Return the tests of the models `built` that read nothing but models that are `there`."""
    changed, present = set(built), set(there)
    every = (
        DataTest(**{**test, "reads": tuple(test["reads"]), "relations": tuple(test["relations"])})
        for test in tests
    )
    return [test for test in every if changed.intersection(test.reads) and present.issuperset(test.reads)]


def _data_test(node: Any, relations: Mapping[str, str]) -> DataTest:
    reads = tuple(key.split(".")[2] for key in node.depends_on.nodes if key.startswith("model."))
    return DataTest(
        name=node.name,
        model=node.attached_node.split(".")[2] if node.attached_node else reads[0],
        reads=reads,
        relations=tuple(relations[name] for name in reads),
        description=" ".join((node.description or "").split()),
        severity=node.config.severity.lower(),
        fail_calc=node.config.fail_calc,
        warn_if=node.config.warn_if,
        error_if=node.config.error_if,
        sql=node.compiled_code,
    )
