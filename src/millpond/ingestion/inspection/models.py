"""The bronze model of a proposed table: SQL, its columns, and tests of them."""

from __future__ import annotations

from functools import cache
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
_OF_TRINO: Final = frozenset(
    {
        *("constraint", "cube", "current_date", "deallocate", "describe", "escape", "extract", "grouping"),
        *("json_array", "listagg", "localtime", "natural", "normalize", "prepare", "recursive", "rollup"),
        *("skip", "trim", "uescape", "unnest", "values"),
    }
)
"""Words that Trino reserves and DuckDB does not."""
_DAILY: Final = {
    "materialized": "incremental",
    "incremental_strategy": "microbatch",
    "event_time": "_partition_date",
    "batch_size": "day",
    "begin": "{{ var('start_date') }}",
}
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


def write_mart(proposal: Proposal) -> dict[str, str]:
    """Return the files of a gold model that publishes the rows of the bronze model as they are."""
    folder, name = f"gold/{proposal.source}", proposal.table
    columns = {
        column: each for column, each in _columns(proposal).items() if column not in {"_run_id", "_loaded_at"}
    }
    key = [_renamed(each.column) for each in proposal.key]
    shown = ",\n".join(f"    {column}" for column in columns)
    sql = f"select\n{shown}\nfrom {{{{ ref('{model_name(proposal)}') }}}}\n"
    meta = {"domain": proposal.source, "key": key, "publish": {"key": key}}
    model = {
        "name": name,
        "description": f"The mart of {name} of {proposal.source}.",
        "config": {**(_DAILY if proposal.time else {}), "meta": meta},
        "columns": _listed(columns),
        "data_tests": [_key_test(name, key)],
    }
    return {f"{folder}/{name}.sql": sql, f"{folder}/{name}.yml": render({"models": [model]})}


def _columns(proposal: Proposal) -> dict[str, tuple[str, str, str]]:
    """Return the expression, type and meaning of each column."""
    found: dict[str, tuple[str, str, str]] = {}
    for field in proposal.fields:
        name = _renamed(field.column)
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
        config = {**_DAILY, **config}
        needed += [_renamed(proposal.time.column), "_partition_date"]
    model = {
        "name": name,
        "description": f"Rows of {proposal.table} of {proposal.source}, one for each {', '.join(key)}.",
        "config": config,
        "columns": _listed(columns),
        "data_tests": [
            _key_test(name, key),
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


def _listed(columns: dict[str, tuple[str, str, str]]) -> list[dict[str, str]]:
    return [
        {"name": column, "data_type": kind, **({"description": text} if text else {})}
        for column, (_, kind, text) in columns.items()
    ]


def _key_test(model: str, key: list[str]) -> dict[str, Any]:
    said = f"Each {', '.join(key)} appears once."
    return {
        "millpond.has_key": {
            "name": f"{model}_key",
            "description": said,
            "arguments": {"columns": key},
        }
    }


def _data_type(kind: str) -> str:
    found = sql_type(kind)
    return _TYPES.get(found, found)


def _renamed(column: str) -> str:
    """Return the name of a column in the models: another one where the engines read it as a word of SQL."""
    return f"{column}_value" if column in _OF_TRINO or not _is_name(column) else column


@cache
def _is_name(column: str) -> bool:
    rows = f'(select 1 as "{column}")'
    try:
        duckdb.execute(f"select {column}, 1 from {rows} where {column} is not null")  # noqa: S608 - identifiers
    except duckdb.Error:
        return False
    return True
