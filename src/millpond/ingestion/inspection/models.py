"""The bronze model of a proposed table: SQL, its columns, and tests of them."""

from __future__ import annotations

from typing import Any, Final

import duckdb

from millpond.ingestion.columns import sql_type
from millpond.ingestion.inspection.proposal import Proposal, render

_SQL: Final = """\
with

source as (
    select * from {{{{ source('raw', '{table}') }}}}
),

renamed as (
    select
{columns}
    from source
)

select * from renamed
"""
_TYPES: Final = {"timestamptz": "timestamp with time zone"}
_LINEAGE: Final = {
    "_partition_date": ("date", "Day the row belongs to."),
    "_run_id": ("varchar", "Run that loaded the raw row."),
    "_loaded_at": ("timestamp with time zone", "When the raw row was loaded."),
}


def model_name(proposal: Proposal) -> str:
    """Return the name of the bronze model."""
    return f"stg_{proposal.table}"


def write_models(proposal: Proposal) -> dict[str, str]:
    """Return the files of the bronze model by their path below the folder of the dbt project's models."""
    folder, name = f"bronze/{proposal.source}", model_name(proposal)
    columns = _columns(proposal)
    shown = ",\n".join(
        f"        {source}" if source == column else f"        {source} as {column}"
        for column, (source, _, _) in columns.items()
    )
    return {
        f"{folder}/{name}.sql": _SQL.format(table=proposal.table, columns=shown),
        f"{folder}/{name}.yml": _properties(proposal, columns),
    }


def _columns(proposal: Proposal) -> dict[str, tuple[str, str, str]]:
    """Return the expression, type and meaning of each column."""
    found: dict[str, tuple[str, str, str]] = {}
    for field in proposal.fields:
        name = f"{field.column}_value" if field.column in _reserved() else field.column
        quoted = f'"{field.column}"' if name != field.column else name
        found[name] = (quoted, _data_type(field.type), "")
    if proposal.time and proposal.time.unit in {"ms", "s"} and "event_at" not in found:
        factor = "" if proposal.time.unit == "ms" else " * 1000"
        made = f"{{{{ millpond.timestamp_from_epoch_ms('{proposal.time.column}{factor}') }}}}"
        found["event_at"] = (made, "timestamp with time zone", "Instant of the row, UTC.")
    for name, (kind, text) in _LINEAGE.items():
        if proposal.time or name != "_partition_date":
            found[name] = (name, kind, text)
    return found


def _properties(proposal: Proposal, columns: dict[str, tuple[str, str, str]]) -> str:
    name, key = model_name(proposal), [_renamed(each.column) for each in proposal.key]
    raw: dict[str, Any] = {"meta": {"dagster": {"asset_key": [f"dlt_{proposal.table}"]}}}
    config: dict[str, Any] = {"meta": {"domain": proposal.source, "key": key}}
    needed = [*key]
    if proposal.time:
        raw = {"event_time": "_partition_date", **raw}
        config = {
            "materialized": "incremental",
            "incremental_strategy": "microbatch",
            "event_time": "_partition_date",
            "batch_size": "day",
            "begin": "{{ var('start_date') }}",
            **config,
        }
        needed += [_renamed(proposal.time.column), "_partition_date"]
    model = {
        "name": name,
        "description": f"Rows of {proposal.table} of {proposal.source}, one for each {', '.join(key)}.",
        "config": config,
        "columns": [
            {"name": column, "data_type": kind, **({"description": text} if text else {})}
            for column, (_, kind, text) in columns.items()
        ],
        "data_tests": [
            {
                "millpond.has_key": {
                    "name": f"{name}_key",
                    "description": f"Each {', '.join(key)} appears once.",
                    "arguments": {"columns": key},
                }
            },
            {
                "millpond.rows_satisfy": {
                    "name": f"{name}_complete",
                    "description": "Each row has its key" + (", time and day." if proposal.time else "."),
                    "arguments": {"rules": [f"{each} is not null" for each in dict.fromkeys(needed)]},
                }
            },
        ],
    }
    source = {"name": "raw", "database": "lake", "schema": "raw"}
    listed = [{"name": each.column, "data_type": _data_type(each.type)} for each in proposal.fields] + [
        {"name": name, "data_type": columns[name][1]} for name in _LINEAGE if name in columns
    ]
    source |= {"tables": [{"name": proposal.table, "config": raw, "columns": listed}]}  # type: ignore[dict-item]
    return render({"sources": [source], "models": [model]})


def _data_type(kind: str) -> str:
    found = sql_type(kind)
    return _TYPES.get(found, found)


def _renamed(column: str) -> str:
    return f"{column}_value" if column in _reserved() else column


def _reserved() -> frozenset[str]:
    rows = duckdb.sql("select keyword_name from duckdb_keywords() where keyword_category = 'reserved'")
    return frozenset(name for (name,) in rows.fetchall())
