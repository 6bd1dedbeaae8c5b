"""What a raw table goes through day by day, and the histories that dbt's snapshots keep of it."""

from __future__ import annotations

import datetime as dt

import pyarrow as pa

from millpond.lake import read
from millpond.settings import settings
from millpond.transform.manifest import load_project
from millpond.transform.results import BuildResult
from small_projects import built, load

T0, T1, T2, T3 = (dt.datetime(2026, 1, day) for day in (1, 2, 3, 4))
_SNAPSHOT = (
    "{{% snapshot {name} %}} {{{{ config(unique_key='id', {config}) }}}}"
    " select * from {{{{ source('raw', 'people') }}}} {{% endsnapshot %}}"
)
CONFIGS = {
    "kept": "strategy='timestamp', updated_at='updated_at'",
    "ended": "strategy='timestamp', updated_at='updated_at', hard_deletes='invalidate'",
    "recorded": "strategy='timestamp', updated_at='updated_at', hard_deletes='new_record'",
    "checked": "strategy='check', check_cols=['name']",
    "renamed": "strategy='check', check_cols='all', updated_at='updated_at',"
    " snapshot_meta_column_names={'dbt_valid_from': 'valid_from', 'dbt_valid_to': 'valid_to',"
    " 'dbt_scd_id': 'key'}",
}
FILES = {
    "models/sources.yml": "sources: [{name: raw, schema: raw, tables: [{name: people}]}]",
    **{
        f"snapshots/{name}.sql": _SNAPSHOT.format(name=name, config=config)
        for name, config in CONFIGS.items()
    },
}
Person = tuple[int, str, dt.datetime]


def live_through_changes() -> None:
    """Change the raw table as sources do, take the snapshots each time: each keeps what dbt says it keeps."""
    snapshot((1, "a", T1), (2, "b", T1))
    assert {name: history(name) for name in CONFIGS} == {name: {"1 a now", "2 b now"} for name in CONFIGS}
    before = {name: read.scan("main", f"silver.{name}").to_pylist() for name in CONFIGS}
    again = snapshot((1, "a", T1), (2, "b", T1))
    assert [model.model for model in again.models if model.written.changed] == []
    assert {name: read.scan("main", f"silver.{name}").to_pylist() for name in CONFIGS} == before

    snapshot((1, "A", T2), (3, "c", T2))
    changed = {"1 a ended", "1 A now", "3 c now"}
    assert history("kept") == history("checked") == history("renamed") == changed | {"2 b now"}
    assert history("ended") == changed | {"2 b ended"}
    assert history("recorded") == changed | {"2 b ended", "2 b deleted now"}

    snapshot((1, "A", T2), (2, "b", T3), (3, "c", T2))
    assert history("kept") == changed | {"2 b ended", "2 b now"}
    assert history("checked") == changed | {"2 b now"}
    assert history("ended") == changed | {"2 b ended", "2 b now"}
    assert history("recorded") == changed | {"2 b ended", "2 b deleted ended", "2 b now"}

    snapshot((1, "late", T0), (2, "b", T3), (3, "c", T2))
    assert history("ended") == changed | {"2 b ended", "2 b now"}
    assert history("checked") == {"1 a ended", "1 A ended", "1 late now", "2 b now", "3 c now"}

    rows = read.scan("main", "silver.kept").to_pylist()
    periods = {(row["dbt_valid_from"], row["dbt_valid_to"]) for row in rows if row["id"] == 1}
    assert periods == {(T1, T2), (T2, None)}
    assert {"key", "valid_from", "valid_to"} <= set(read.scan("main", "silver.renamed").column_names)


def snapshot(*rows: Person) -> BuildResult:
    """Make the raw table hold `rows` and take every snapshot that the project has of it."""
    load("people", people(*rows))
    result, text = built(list(load_project(settings()).models()))
    assert result.merged, text
    return result


def people(*rows: Person) -> pa.Table:
    """Return the rows of the raw table."""
    names = ("id", "name", "updated_at")
    return pa.Table.from_pylist([dict(zip(names, row, strict=True)) for row in rows])


def history(name: str) -> set[str]:
    """Return the rows of a snapshot in short; fails if two are alike."""
    rows = read.scan("main", f"silver.{name}").to_pylist()
    short = [
        f"{row['id']} {row['name']}"
        + (" deleted" if row.get("dbt_is_deleted") == "True" else "")
        + (" now" if row.get("dbt_valid_to", row.get("valid_to")) is None else " ended")
        for row in rows
    ]
    assert len(set(short)) == len(short), short
    return set(short)
