"""Gold tables in the lake and marts in Postgres, as the tests of publishing need them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pytest
from mart_rows import Connection, Spec, Write

from millpond.lake.tables import Replacement, TableSpec, replace
from millpond.publish.spec import MartColumn, MartSpec, PublishDeclaration
from millpond.runtime.databases import databases
from millpond.runtime.home import Home


@pytest.fixture
def write(home: Home) -> Write:
    """Return a function that makes `gold.<name>` hold exactly the given rows."""

    def written(ref: str = "main", **tables: pa.Table | list[dict[str, Any]]) -> None:
        data = {n: t if isinstance(t, pa.Table) else pa.Table.from_pylist(t) for n, t in tables.items()}
        replace(
            [Replacement(TableSpec(f"gold.{n}", t.schema), t, None) for n, t in data.items()],
            ref=ref,
            run_id="test",
        )

    return written


@pytest.fixture
def spec() -> Spec:
    """Return a function that declares a mart: `spec("mrt_days", key=["day"])`."""

    def declared(
        name: str = "mrt_days",
        *,
        description: str = "",
        comments: dict[str, str] | None = None,
        **publish: Any,
    ) -> MartSpec:
        return MartSpec(
            name=name,
            table=f"gold.{name}",
            declared=PublishDeclaration.model_validate({"key": ["day"], **publish}),
            description=description,
            columns=tuple(MartColumn(name=n, description=d) for n, d in (comments or {}).items()),
        )

    return declared


@pytest.fixture
def owner(home: Home) -> Iterator[Connection]:
    """A connection of the role that owns the marts."""
    with databases().marts.connect(autocommit=True) as connection:
        yield connection


@pytest.fixture
def reader(home: Home) -> Iterator[Connection]:
    """A connection of the role for BI tools."""
    with databases().marts_readonly.connect(autocommit=True) as connection:
        yield connection
