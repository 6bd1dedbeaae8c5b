"""Millpond: a lakehouse platform in a box.

For users: `connect`, `daily_partitions` and `write_days`. Start reading in `platform`, which lists all that
Dagster loads; docs/architecture.md has the packages in the order of their imports.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import Any

    import dagster as dg
    import duckdb
    import pyarrow as pa

    from millpond.lake.spec import TableSpec
    from millpond.partitions import Window


def connect(ref: str | None = None) -> duckdb.DuckDBPyConnection:
    """Return a DuckDB connection that shows the lake and the marts of `ref`, for notebooks and scripts.

    `ref` is a branch; by default what `MILLPOND_REF` says, main. Tables are `silver.fct_orders`, marts
    `marts.mrt_orders`. The lake is shown as it is at this moment, and nothing in it can be written. Starts
    the embedded Postgres if it does not run. Raises RefNotFound.

    Example: `millpond.connect().sql("select * from silver.fct_glucose_readings limit 5")`
    """
    from millpond.lake.duck import connect_with_marts

    return connect_with_marts(ref)


def daily_partitions() -> dg.DailyPartitionsDefinition:
    """Return the partitions of raw tables and daily models: days in the configured zone, today included.

    Example: `@dg.asset(partitions_def=millpond.daily_partitions(), deps=["fct_daily_glucose_metrics"])`
    """
    from millpond.resources.run import daily_partitions

    return daily_partitions()


def write_days(
    context: dg.AssetExecutionContext,
    table: TableSpec,
    build: Callable[[Window, str], pa.Table],
    *,
    metadata: Mapping[str, Any] | None = None,
) -> Iterator[Any]:
    """Write a daily asset of your own to a table of the lake: one commit, and a materialization for each day.

    `build(window, ref)` returns the rows of the days in `window`, which replace those in `table`; `metadata`
    is added to each day. The data version of a day is the hash of its rows, so that days which stay the same
    make nothing downstream stale. A dbt source with the asset's key reads the table.

    Example: `yield from millpond.write_days(context, TABLE, build)`
    """
    from millpond.instance.day_tables import write_days

    return write_days(context, table, build, metadata=metadata)
