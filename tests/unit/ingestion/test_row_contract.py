"""The row contract in SQL: what each type takes, which rule is named, where a value is found in a row."""

from __future__ import annotations

import datetime as dt
import json
from collections import Counter
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from millpond.ingestion.reader import FetchResult
from millpond.ingestion.rest.pages import PAYLOAD
from millpond.ingestion.schema import column_name, name_added_columns
from millpond.ingestion.spec import SourceTable
from millpond.ingestion.validated_rows import Counts
from millpond.ingestion.validation import validate_rows
from millpond.naming import LINEAGE_COLUMNS
from millpond.partitions import Window

DAY = dt.date(2026, 11, 1)
NOON = "2026-11-01T12:00:00Z"


def table(columns: dict[str, Any], **more: Any) -> SourceTable:
    return SourceTable.model_validate(
        {
            "name": "things",
            "key": ["id"],
            "event_time": {"column": "at", "unit": "iso"},
            "endpoint": {"path": "things"},
            "window": {"reach": {"rows": 10, "days": 10}},
            "columns": {"id": {}, "at": {"type": "timestamp"}} | columns,
            "quarantine": {"fail_above": 1},
        }
        | more
    )


def fetched(files: list[Path], rows: int) -> FetchResult:
    return FetchResult(files, rows, 1, [DAY])


def judge(
    folder: Path, spec: SourceTable, rows: list[Any], days: int = 1, zone: str = "UTC"
) -> tuple[list[dict[str, Any]], list[dict[str, Any]], dict[dt.date, Counts]]:
    """Return the good rows, the bad ones, and the counts of each day."""
    texts = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    file = folder / "rows.parquet"
    pq.write_table(pa.table({PAYLOAD: texts, "_seq": pa.array(range(len(texts)), pa.int64())}), file)
    window, now = Window.of_days(DAY, DAY + dt.timedelta(days - 1)), dt.datetime.now(dt.UTC)
    with validate_rows(
        spec, fetched([file], len(texts)), window, ZoneInfo(zone), {}, folder / "judged"
    ) as found:
        good, bad = (part(window, "run", now) for part in (found.good, found.bad))
        assert isinstance(good, pa.Table)
        assert isinstance(bad, pa.Table)
        bare = good.drop_columns(list(LINEAGE_COLUMNS)).sort_by("id")
        return bare.to_pylist(), bad.sort_by("payload").to_pylist(), found.counts


@pytest.mark.parametrize(
    ("kind", "sent", "expected"),
    [
        ("string", "x", "x"),
        ("string", "", ""),
        ("string", 5, "5"),
        ("string", True, "true"),
        ("string", "{not json", "{not json"),
        ("int", 5, 5),
        ("int", "5", 5),
        ("int", 5.0, 5),
        ("int", 2**63 - 1, 2**63 - 1),
        ("number", 1.5, 1.5),
        ("number", "-1e-3", -0.001),
        ("bool", True, True),
        ("bool", "false", False),
        ("timestamp", "2026-11-01T12:00:00+02:00", dt.datetime(2026, 11, 1, 10, tzinfo=dt.UTC)),
        ("timestamp", "2026-11-01 12:00:00.123456", dt.datetime(2026, 11, 1, 12, 0, 0, 123456, dt.UTC)),
        ("date", "2026-02-28", dt.date(2026, 2, 28)),
        ("json", {"a": [1, "x"]}, '{"a":[1,"x"]}'),
        ("json", "x", '"x"'),
        ("json", 1, "1"),
        *[(kind, None, None) for kind in ("string", "int", "number", "bool", "timestamp", "date", "json")],
    ],
)
def test_each_type_takes_its_values(tmp_path: Path, kind: str, sent: Any, expected: Any) -> None:
    good, bad, _ = judge(tmp_path, table({"v": {"type": kind}}), [{"id": "1", "at": NOON, "v": sent}])
    assert bad == []
    assert good[0]["v"] == expected


@pytest.mark.parametrize(
    ("kind", "sent", "reason"),
    [
        ("int", "0x10", "v is no whole number"),
        ("int", 2**63, "v is no whole number"),
        ("int", 1e400, "v is no whole number"),
        ("number", "1,5", "v is no number"),
        ("number", [1.5], "v is no number"),
        ("bool", 1, "v is neither true nor false"),
        ("bool", "yes", "v is neither true nor false"),
        ("timestamp", "yesterday", "v is no time"),
        ("timestamp", "infinity", "v is no time"),
        ("timestamp", 1793491200, "v is no time"),
        ("date", "2026-02-30", "v is no date"),
        ("date", "2026-11-01T12:00:00Z", "v is no date"),
        ("string", ["x"], "v is no text but an object or a list"),
        ("string", {}, "v is no text but an object or a list"),
    ],
)
def test_each_type_refuses_what_it_is_not(tmp_path: Path, kind: str, sent: Any, reason: str) -> None:
    rows = [{"id": "1", "at": NOON, "v": sent}]
    good, bad, _ = judge(tmp_path, table({"v": {"type": kind, "on_bad": "quarantine"}}), rows)
    assert (good, [row["reason"] for row in bad]) == ([], [reason])
    good, bad, counts = judge(tmp_path, table({"v": {"type": kind}}), rows)
    assert (good[0]["v"], bad, counts[DAY].nulled) == (None, [], {reason: 1})


def test_an_object_can_be_taken_whole_and_in_parts(tmp_path: Path) -> None:
    spec = table(
        {
            "actor": {"type": "json"},
            "login": {"field": "actor.login"},
            "deep": {"field": "actor.team.name"},
            "team": {"field": "actor.team", "type": "json"},
            "other": {"field": "repo.na\"me'"},
        }
    )
    actor = {"login": "cat", "team": {"name": "x"}}
    rows = [
        {"id": "1", "at": NOON, "actor": actor, "repo": {"na\"me'": "r"}},
        {"id": "2", "at": NOON, "actor": "gone", "repo": [1]},
        {"id": "3", "at": NOON},
    ]
    good, bad, _ = judge(tmp_path, spec, rows)
    assert bad == []
    assert [[row[n] for n in ("actor", "login", "deep", "team", "other")] for row in good] == [
        ['{"login":"cat","team":{"name":"x"}}', "cat", "x", '{"name":"x"}', "r"],
        ['"gone"', None, None, None, None],
        [None] * 5,
    ]


def test_a_value_can_be_required_under_a_condition(tmp_path: Path) -> None:
    spec = table({"kind": {}, "total": {"type": "number", "required_when": "kind = 'sale' and id <> '3'"}})
    rows = [{"id": str(n), "at": NOON, "kind": kind} for n, kind in enumerate(["sale", "gift", None, "sale"])]
    _, bad, _ = judge(tmp_path, spec, rows)
    assert [(row["row_key"], row["reason"]) for row in bad] == [("0", "total is missing")]


def test_a_key_of_several_columns_is_one_key(tmp_path: Path) -> None:
    spec = table({"part": {}}, key=["id", "part"])
    rows = [{"id": i, "part": p, "at": NOON} for i, p in ("ab", "ab", "aB", "Ab")] + [{"id": "a", "at": NOON}]
    good, bad, counts = judge(tmp_path, spec, rows)
    assert len(good) == 3
    assert counts[DAY].duplicate == 1
    assert [row["reason"] for row in bad] == ["part is missing"]


@pytest.mark.parametrize(
    ("kind", "same", "other"),
    [
        ("int", [1, 1.0, "01", "1"], 2),
        ("number", [1, 1.0, "1e0", "1.00"], 1.5),
        ("number", [0, -0.0, "0"], 1),
        ("timestamp", ["2026-11-01T00:00:00.0000001Z", "2026-11-01T00:00:00.00000010Z"], NOON),
        ("timestamp", ["2026-11-01T00:00:00Z"], "2026-11-01T00:00:00.0000001Z"),
        (
            "timestamp",
            ["2026-11-01T00:00:00Z", "2026-11-01 01:00:00+01", "2026-11-01T00:00:00.000+00:00"],
            NOON,
        ),
        ("date", ["2026-11-01"], "2026-11-02"),
        ("bool", [True, "true"], False),
        ("string", ["1"], "01"),
    ],
)
def test_keys_are_compared_as_their_type(tmp_path: Path, kind: str, same: list[Any], other: Any) -> None:
    spec = table({"nr": {"type": kind}}, key=["nr"])
    rows = [{"id": str(n), "nr": nr, "at": NOON} for n, nr in enumerate([*same, other])]
    good, _, counts = judge(tmp_path, spec, rows)
    assert [row["id"] for row in good] == [str(len(same) - 1), str(len(same))]
    assert counts[DAY].duplicate == len(same) - 1


def test_parts_of_a_key_may_hold_any_sign_and_stay_apart(tmp_path: Path) -> None:
    spec = table({"a": {}, "b": {}}, key=["a", "b"])
    pairs = [("x\x1fy", "z"), ("x", "y\x1fz"), ("x\x1e1y", "z"), ("x\x1e", "z"), ("x", "\x1ez")]
    rows = [{"id": str(n), "a": a, "b": b, "at": NOON} for n, (a, b) in enumerate(pairs)]
    good, _, counts = judge(tmp_path, spec, rows)
    assert len(good) == len(pairs)
    assert counts[DAY].duplicate == 0


@pytest.mark.parametrize(
    ("kind", "old", "new"),
    [
        ("int", 9, 10),
        ("int", "9", "10"),
        ("number", "9.5", 10),
        ("timestamp", "2026-11-01T09:00:00+02:00", "2026-11-01T08:00:00Z"),
        ("timestamp", "2026-11-01T09:00:00.5Z", "2026-11-01T10:00:00Z"),
        ("date", "2026-11-09", "2026-11-10"),
        ("string", "2026-11-01T09:00:00+02:00", "2026-11-01T08:00:00Z"),
        ("string", "a10", "a9"),
        ("int", None, 1),
    ],
)
def test_versions_are_compared_as_their_type(tmp_path: Path, kind: str, old: Any, new: Any) -> None:
    spec = table({"v": {"type": kind}, "text": {}}, version="v")
    rows = [{"id": "1", "at": NOON, "v": v, "text": text} for v, text in ((new, "new"), (old, "old"))]
    for order in (rows, rows[::-1]):
        good, _, counts = judge(tmp_path, spec, order)
        assert [row["text"] for row in good] == ["new"]
        assert counts[DAY].duplicate == 1


def test_a_row_belongs_to_the_day_of_the_zone_and_an_instant_to_one_day_only(tmp_path: Path) -> None:
    moments = [
        "2026-10-31T22:59:59.999999Z",
        "2026-10-31T23:00:00Z",
        "2026-11-01T22:59:59.999999Z",
        "2026-11-01T23:00:00Z",
    ]
    rows = [{"id": str(n), "at": at} for n, at in enumerate([*moments, "2026-11-02T23:00:00Z"])]
    good, _, counts = judge(tmp_path, table({}), rows, days=2, zone="Europe/Berlin")
    assert [row["id"] for row in good] == ["1", "2", "3"]
    assert [(c.good, c.outside) for c in counts.values()] == [(2, 1), (1, 1)]


@pytest.mark.parametrize(
    ("zone", "first"),
    [
        ("Europe/Berlin", dt.date(2026, 10, 23)),
        ("Europe/Berlin", dt.date(2026, 3, 27)),
        ("Australia/Lord_Howe", dt.date(2026, 4, 3)),
        ("America/Sao_Paulo", dt.date(2018, 11, 2)),  # where a day begins at one o'clock
        ("Asia/Kathmandu", dt.date(1969, 12, 30)),
    ],
)
def test_days_are_those_of_the_zone_where_a_clock_changes(tmp_path: Path, zone: str, first: dt.date) -> None:
    window = Window.of_days(first, first + dt.timedelta(4))
    begin, end = window.bounds(ZoneInfo(zone))
    steps = int((end - begin) / dt.timedelta(minutes=15))
    moments = [begin + dt.timedelta(minutes=15) * n for n in range(steps)]
    file = tmp_path / "rows.parquet"
    texts = [json.dumps({"id": str(moment), "at": moment.isoformat()}) for moment in moments]
    pq.write_table(pa.table({PAYLOAD: texts, "_seq": pa.array(range(steps), pa.int64())}), file)
    with validate_rows(
        table({}), fetched([file], steps), window, ZoneInfo(zone), {}, tmp_path / "judged"
    ) as found:
        days = Counter(moment.astimezone(ZoneInfo(zone)).date() for moment in moments)
        assert {day: counts.good for day, counts in found.counts.items()} == days


def test_only_rows_to_which_something_happens_are_noted_apart(tmp_path: Path) -> None:
    clean = [{"id": str(n), "at": NOON, "v": n} for n in range(50)]
    odd = [{"id": "0", "at": NOON, "v": 1}, {"id": "bad", "at": NOON, "v": "x"}]
    for rows, replaced, noted in ((clean, 0, 0), ([*clean, *odd], 1, 2)):
        file = tmp_path / "rows.parquet"
        places = pa.array(range(len(rows)), pa.int64())
        pq.write_table(pa.table({PAYLOAD: list(map(json.dumps, rows)), "_seq": places}), file)
        with validate_rows(
            table({"v": {"type": "int"}}),
            fetched([file], len(rows)),
            Window.of_day(DAY),
            ZoneInfo("UTC"),
            {},
            tmp_path / "judged",
        ) as found:
            there = {
                name
                for (name,) in found.connection.execute("select table_name from duckdb_tables()").fetchall()
            }
            assert ("duplicates" in there) == (replaced > 0)
            for name, number in (("split", len(rows)), ("duplicates", replaced), ("verdicts", noted)):
                if name in there:
                    assert found.connection.table(name).count("*").fetchall() == [(number,)]


def test_rows_without_a_time_count_for_the_day_of_the_row_before_or_the_first_with_one(
    tmp_path: Path,
) -> None:
    rows = [
        {"id": "0"},
        {"id": "1", "at": "2026-11-02T12:00:00Z"},
        {"id": "2"},
        {"id": "3", "at": NOON},
        {"id": "4"},
    ]
    _, bad, counts = judge(tmp_path, table({}), rows, days=2)
    assert {row["row_key"]: row["_partition_date"].day for row in bad} == {"0": 2, "2": 2, "4": 1}
    assert [c.rows for c in counts.values()] == [2, 3]


def test_of_rows_without_a_key_only_exact_copies_are_duplicates(tmp_path: Path) -> None:
    rows = [{"at": NOON, "x": 1}, {"at": NOON, "x": 1}, {"at": NOON, "x": 2}]
    _, bad, counts = judge(tmp_path, table({}), rows)
    assert (len(bad), counts[DAY].duplicate) == (2, 1)


def test_an_empty_load_has_all_days_and_all_columns(tmp_path: Path) -> None:
    with validate_rows(
        table({"v": {"type": "int"}}), fetched([], 0), Window.of_day(DAY), ZoneInfo("UTC"), {}, tmp_path
    ) as found:
        good = found.good(Window.of_day(DAY), "run", dt.datetime.now(dt.UTC))
        assert isinstance(good, pa.Table)
        assert good.column_names == ["id", "at", "v", *LINEAGE_COLUMNS]
        assert found.counts == {DAY: Counts()}


@pytest.mark.parametrize(
    ("field", "name"),
    [
        ("sysTime", "sys_time"),
        ("Größe in cm", "grosse_in_cm"),
        ("_v", "_v"),
        ("__v", "_v"),
        ("3d", "_3d"),
        ("a.b-c", "a_b_c"),
        ('x"; drop table y', "x_drop_table_y"),
        ("名前", ""),
        ("", ""),
        ("x" * 100, ""),
    ],
)
def test_an_unknown_field_becomes_a_plain_column_name(field: str, name: str) -> None:
    assert column_name(field) == name


def test_unknown_fields_that_would_collide_are_left_out(tmp_path: Path) -> None:
    spec = table({"state": {"field": "theState"}})
    fields = {"id", "at", "theState", "State", "STATE", "new", "New", "_run_id", "TheState"}
    added, left_out = name_added_columns(spec, fields)
    assert added == {"new": "New"}
    assert left_out == ["STATE", "State", "TheState", "_run_id", "new"]
