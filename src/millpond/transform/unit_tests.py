"""Which unit tests passed with the project as it is: they depend on nothing else, so they run once."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import orjson

from millpond.runtime.home import layout
from millpond.settings import settings
from millpond.transform.manifest import Parsed


def passed_before(parsed: Parsed) -> set[str]:
    """Return the unique_ids of the unit tests that passed before."""
    try:
        return set(orjson.loads(_path(parsed).read_bytes()))
    except FileNotFoundError:
        return set()


def remember_passed(parsed: Parsed, unique_ids: Collection[str]) -> None:
    """Take note of the unit tests among `unique_ids`; what another build notes at once may be lost."""
    passed = {key for key in unique_ids if key.startswith("unit_test.")}
    if passed:
        unfinished = _path(parsed).with_suffix(".part")
        unfinished.parent.mkdir(parents=True, exist_ok=True)
        unfinished.write_bytes(orjson.dumps(sorted(passed | passed_before(parsed))))
        unfinished.rename(_path(parsed))


def _path(parsed: Parsed) -> Path:
    return layout(settings()).dbt / "unit_tests" / f"{parsed.folder.name}.json"
