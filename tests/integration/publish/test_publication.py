"""What a publish does to the marts, what it leaves alone, and what it leaves behind when it fails."""

from __future__ import annotations

import datetime as dt
import itertools
from typing import Any

import psycopg
import pyarrow as pa
import pytest
from mart_rows import DAYS, Connection, Spec, Write, rows

from millpond.errors import PublishFailed, RefNotFound, TableNotFound
from millpond.lake import refs
from millpond.publish.publication import publish


def test_a_mart_equals_its_gold_table(write: Write, spec: Spec, reader: Connection) -> None:
    write(mrt_days=DAYS)
    (published,) = publish([spec()], ref="main", run_id="r1")
    assert rows(reader, "marts.mrt_days") == [tuple(d.values()) for d in DAYS]
    assert (published.rows_lake, published.rows_postgres, published.rows_changed) == (5, 5, 5)
    assert published.snapshot_id is not None
    assert published.bytes > 0


@pytest.mark.parametrize("mode", ["changes", "all"])
def test_what_was_added_changed_and_removed_in_the_lake_is_so_in_the_mart(
    mode: str, write: Write, spec: Spec, reader: Connection
) -> None:
    write(mrt_days=DAYS)
    publish([spec(mode=mode)], ref="main", run_id="r1")
    after = [*DAYS[1:3], {**DAYS[3], "readings": 1}, {"day": dt.date(2026, 12, 1), "readings": None}]
    write(
        mrt_days=pa.Table.from_pylist(
            after, schema=pa.schema([("day", pa.date32()), ("readings", pa.int64())])
        )
    )
    (published,) = publish([spec(mode=mode)], ref="main", run_id="r2")
    assert rows(reader, "marts.mrt_days") == [tuple(d.values()) for d in after]
    assert published.rows_changed == {"changes": 4, "all": 5}[mode]


def test_an_unchanged_mart_is_not_written(write: Write, spec: Spec, owner: Connection) -> None:
    write(mrt_days=DAYS)
    (first,) = publish([spec()], ref="main", run_id="r1")
    before = rows(owner, "(SELECT xmin::text, ctid::text, * FROM marts.mrt_days) AS m")
    (second,) = publish([spec()], ref="main", run_id="r2")
    assert second.rows_changed == 0
    assert second.content_hash == first.content_hash
    assert rows(owner, "(SELECT xmin::text, ctid::text, * FROM marts.mrt_days) AS m") == before


def test_rows_changed_by_hand_are_put_right(write: Write, spec: Spec, owner: Connection) -> None:
    write(mrt_days=DAYS)
    publish([spec()], ref="main", run_id="r1")
    owner.execute("UPDATE marts.mrt_days SET readings = readings + 1 WHERE day = '2026-11-02'")
    owner.execute("UPDATE marts.mrt_days SET readings = readings - 1 WHERE day = '2026-11-03'")
    owner.execute("DELETE FROM marts.mrt_days WHERE day = '2026-11-04'")
    (published,) = publish([spec()], ref="main", run_id="r2")
    assert published.rows_changed == 3
    assert rows(owner, "marts.mrt_days") == [tuple(d.values()) for d in DAYS]


@pytest.mark.parametrize("mode", ["changes", "all"])
@pytest.mark.parametrize("days", [[DAYS[0], DAYS[0]], [{"day": None, "readings": 1}]], ids=["twice", "null"])
def test_a_key_that_names_no_single_row_changes_nothing(
    days: list[dict[str, Any]], mode: str, write: Write, spec: Spec, owner: Connection
) -> None:
    wrong = pa.Table.from_pylist(days, schema=pa.schema([("day", pa.date32()), ("readings", pa.int64())]))
    write(mrt_days=DAYS, mrt_new=wrong)
    publish([spec()], ref="main", run_id="r1")
    with pytest.raises(PublishFailed, match=r"key \(day\) of mart marts.mrt_new"):
        publish([spec("mrt_new", mode=mode)], ref="main", run_id="r1")
    assert owner.execute("SELECT to_regclass('marts.mrt_new')").fetchone() == (None,)
    write(mrt_days=wrong)
    with pytest.raises(PublishFailed, match=r"key \(day\) of mart marts.mrt_days"):
        publish([spec(mode=mode)], ref="main", run_id="r2")
    assert rows(owner, "marts.mrt_days") == [tuple(d.values()) for d in DAYS]


def test_a_transaction_older_than_a_new_mart_reads_all_its_rows(
    write: Write, spec: Spec, reader: Connection
) -> None:
    write(mrt_days=DAYS)
    publish([spec()], ref="main", run_id="r1")
    with reader.transaction():
        reader.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        rows(reader, "marts.mrt_days")
        write(mrt_days=DAYS[:3], mrt_new=DAYS)
        published = publish([spec(), spec("mrt_new")], ref="main", run_id="r2")
        assert (
            rows(reader, "marts.mrt_days") == rows(reader, "marts.mrt_new") == [(*d.values(),) for d in DAYS]
        )
    assert [(p.name, p.rows_changed) for p in published] == [("mrt_days", 2), ("mrt_new", 5)]


def test_text_that_postgres_cannot_hold_is_refused_by_name(
    write: Write, spec: Spec, owner: Connection
) -> None:
    write(mrt_notes=[{"day": 1, "note": "a"}])
    publish([spec("mrt_notes")], ref="main", run_id="r1")
    write(mrt_notes=[{"day": 1, "note": "a\0b"}])
    with pytest.raises(PublishFailed, match=r"mrt_notes.*note"):
        publish([spec("mrt_notes")], ref="main", run_id="r2")
    assert rows(owner, "marts.mrt_notes") == [(1, "a")]


def test_a_trigger_that_falsifies_rows_is_noticed_before_readers_see_it(
    write: Write, spec: Spec, owner: Connection
) -> None:
    write(mrt_days=DAYS)
    publish([spec()], ref="main", run_id="r1")
    owner.execute(
        "CREATE FUNCTION marts.lie() RETURNS trigger LANGUAGE plpgsql AS"
        " 'BEGIN NEW.readings := NEW.readings + 1; RETURN NEW; END'"
    )
    owner.execute(
        "CREATE TRIGGER lie BEFORE UPDATE ON marts.mrt_days FOR EACH ROW EXECUTE FUNCTION marts.lie()"
    )
    write(mrt_days=[{**d, "readings": 1} for d in DAYS])
    with pytest.raises(PublishFailed, match=r"would differ from gold\.mrt_days: counts"):
        publish([spec()], ref="main", run_id="r2")
    assert rows(owner, "marts.mrt_days") == [tuple(d.values()) for d in DAYS]


def test_a_branch_is_published_to_a_schema_of_its_own(write: Write, spec: Spec, reader: Connection) -> None:
    write(mrt_days=DAYS)
    publish([spec()], ref="main", run_id="r1")
    refs.create("dev")
    write(ref="dev", mrt_days=DAYS[:2])
    publish([spec()], ref="dev", run_id="r2")
    assert len(rows(reader, "marts.mrt_days")) == 5
    assert len(rows(reader, "marts_dev.mrt_days")) == 2


def test_a_missing_gold_table_is_named(home: object, spec: Spec) -> None:
    with pytest.raises(TableNotFound, match=r"gold\.mrt_days"):
        publish([spec()], ref="main", run_id="r1")


@pytest.mark.parametrize(("ref", "error"), [("dev", TableNotFound), ("nowhere", RefNotFound)])
def test_a_publish_that_fails_leaves_no_schema(
    ref: str, error: type[Exception], home: object, spec: Spec, owner: Connection
) -> None:
    refs.create("dev")
    with pytest.raises(error):
        publish([spec()], ref=ref, run_id="r1")
    schemas = owner.execute("SELECT nspname FROM pg_namespace WHERE nspowner = 'millpond_marts'::regrole")
    assert schemas.fetchall() == [("marts",)]


def test_an_empty_gold_table_makes_an_empty_mart(write: Write, spec: Spec, reader: Connection) -> None:
    write(mrt_days=pa.table({"day": pa.array([], pa.date32()), "f": pa.array([], pa.float64())}))
    (published,) = publish([spec()], ref="main", run_id="r1")
    assert published.rows_postgres == 0
    assert rows(reader, "marts.mrt_days") == []


def test_the_role_for_reading_cannot_write(write: Write, spec: Spec, reader: Connection) -> None:
    write(mrt_days=DAYS)
    publish([spec()], ref="main", run_id="r1")
    for setting, statement in itertools.product(
        ("on", "off"),
        ("DELETE FROM marts.mrt_days", "CREATE TABLE marts.mine (i int)", "DROP TABLE marts.mrt_days"),
    ):
        reader.execute(f"SET default_transaction_read_only = {setting}")
        with pytest.raises((psycopg.errors.ReadOnlySqlTransaction, psycopg.errors.InsufficientPrivilege)):
            reader.execute(statement)  # type: ignore[arg-type]


def test_nothing_of_a_publish_is_left_behind(write: Write, spec: Spec, owner: Connection) -> None:
    write(mrt_days=DAYS)
    publish([spec()], ref="main", run_id="r1")
    tables = owner.execute("SELECT schemaname, tablename FROM pg_tables WHERE tableowner = 'millpond_marts'")
    assert tables.fetchall() == [("marts", "mrt_days")]
