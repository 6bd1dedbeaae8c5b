from __future__ import annotations

from pathlib import Path

from millpond.settings import settings
from millpond.transform.invocation import invoke
from millpond.transform.manifest import ParsedProject


def test_every_unit_test_of_the_models_passes_without_a_lake(
    parsed: ParsedProject, unit_database: Path
) -> None:
    ran = invoke(
        ["test", "--select", "test_type:unit", "--no-write-json"],
        settings=settings(),
        target="unit",
        manifest=parsed.load_manifest(),
        variables={"unit_database": str(unit_database)},
    )
    assert ran.exception is None
    results = ran.result.results
    assert len(results) >= 31
    assert {r.node.name: r.message for r in results if r.status != "pass"} == {}
