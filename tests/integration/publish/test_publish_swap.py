"""What a publish does to the marts, and what it leaves alone."""

from __future__ import annotations

import datetime as dt
import itertools
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import psycopg
import pyarrow as pa
import pytest

from millpond.errors import PublishFailed, RefNotFound, TableNotFound
from millpond.lake import refs
from millpond.publish import publication
from millpond.publish.publication import publish
from millpond.publish.schemas import drop_marts
from millpond.publish.spec import MartSpec

Connection = psycopg.Connection[Any]
Write = Callable[..., None]
Spec = Callable[..., MartSpec]

DAYS = [{"day": dt.date(2026, 11, n), "readings": 280 + n} for n in range(1, 6)]


def rows(connection: Connection, table: str) -> list[tuple[Any, ...]]:
    return connection.execute(f"SELECT * FROM {table} ORDER BY 1").fetchall()  # type: ignore[arg-type]


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


def test_grants_views_indexes_comments_and_identity_survive(
    write: Write, spec: Spec, owner: Connection, reader: Connection
) -> None:
    write(mrt_days=DAYS)
    mart = spec(indexes=["readings"], description="One row per day.", comments={"readings": "How many."})
    publish([mart], ref="main", run_id="r1")
    owner.execute("CREATE VIEW marts.busy AS SELECT day FROM marts.mrt_days WHERE readings > 283")
    owner.execute("CREATE INDEX mine ON marts.mrt_days (readings DESC)")
    owner.execute("GRANT UPDATE (readings) ON marts.mrt_days TO millpond_read")
    owner.execute("COMMENT ON COLUMN marts.mrt_days.day IS 'Mine.'")

    def identity() -> list[Any]:
        return owner.execute(
            "SELECT c.oid, relacl::text, obj_description(c.oid), col_description(c.oid, 1),"
            " col_description(c.oid, 2),"
            " (SELECT array_agg(attacl::text ORDER BY attnum) FROM pg_attribute WHERE attrelid = c.oid),"
            " (SELECT array_agg(indexrelid::regclass::text ORDER BY 1) FROM pg_index WHERE indrelid = c.oid)"
            " FROM pg_class c WHERE c.oid = 'marts.mrt_days'::regclass"
        ).fetchall()

    before = identity()
    assert before[0][2:5] == ("One row per day.", "Mine.", "How many.")
    assert len(before[0][-1]) == 3
    write(mrt_days=DAYS[3:])
    publish([mart], ref="main", run_id="r2")
    assert identity() == before
    assert rows(reader, "marts.busy") == [(dt.date(2026, 11, 4),), (dt.date(2026, 11, 5),)]


def test_a_new_description_and_a_new_index_reach_an_existing_mart(
    write: Write, spec: Spec, owner: Connection
) -> None:
    write(mrt_days=DAYS)
    publish([spec(description="Old.")], ref="main", run_id="r1")
    publish([spec(description="It's new.", indexes=[["readings", "day"]])], ref="main", run_id="r2")
    found = owner.execute("SELECT obj_description('marts.mrt_days'::regclass)").fetchone()
    assert found == ("It's new.",)
    indexes = owner.execute(
        "SELECT indexname FROM pg_indexes WHERE tablename = 'mrt_days' ORDER BY 1"
    ).fetchall()
    assert indexes == [("mrt_days_pkey",), ("mrt_days_readings_day_idx",)]


def test_readers_never_see_an_empty_half_written_or_mixed_state(
    write: Write, spec: Spec, reader: Connection
) -> None:
    marts = [spec("mrt_left", key=["id"]), spec("mrt_right", key=["id"], mode="all")]

    def version(number: int) -> dict[str, Any]:
        table = pa.table({"id": range(200), "version": [number] * 200})
        return {"mrt_left": table, "mrt_right": table}

    write(**version(0))
    publish(marts, ref="main", run_id="r0")
    seen: list[tuple[Any, ...]] = []
    done = threading.Event()

    def poll() -> None:
        while not done.is_set():
            seen.extend(
                reader.execute(
                    "SELECT (SELECT count(*) FROM marts.mrt_left), (SELECT count(*) FROM marts.mrt_right),"
                    " (SELECT array_agg(DISTINCT version) FROM marts.mrt_left),"
                    " (SELECT array_agg(DISTINCT version) FROM marts.mrt_right)"
                )
            )

    polling = threading.Thread(target=poll)
    polling.start()
    try:
        for number in range(1, 16):
            write(**version(number))
            publish(marts, ref="main", run_id=f"r{number}")
    finally:
        done.set()
        polling.join()
    torn = [s for s in seen if s[:2] != (200, 200) or len(s[2]) != 1 or s[2] != s[3]]
    assert not torn
    assert len({s[2][0] for s in seen}) > 5, "the reader polled between the swaps"


def test_a_new_column_is_added_to_the_mart_and_its_views_stay(
    write: Write, spec: Spec, owner: Connection, reader: Connection
) -> None:
    write(mrt_days=DAYS)
    publish([spec()], ref="main", run_id="r1")
    owner.execute("CREATE VIEW marts.v AS SELECT * FROM marts.mrt_days")
    write(mrt_days=[{**d, "mood": "good"} for d in DAYS])
    publish([spec()], ref="main", run_id="r2")
    assert rows(reader, "marts.mrt_days")[0] == (dt.date(2026, 11, 1), 281, "good")
    assert rows(reader, "marts.v")[0] == (dt.date(2026, 11, 1), 281)


@pytest.mark.parametrize(
    ("statement", "message", "advice"),
    [
        ("ALTER COLUMN readings TYPE text", "readings as text, the model has bigint", "TYPE bigint"),
        ("ADD COLUMN note text", "a column note", "DROP COLUMN note"),
        (
            "DROP CONSTRAINT mrt_days_pkey, ADD PRIMARY KEY (readings)",
            "primary key (readings)",
            "DROP CONSTRAINT",
        ),
    ],
)
def test_an_incompatible_mart_is_left_as_it_is_and_the_error_says_what_to_do(
    statement: str, message: str, advice: str, write: Write, spec: Spec, owner: Connection
) -> None:
    write(mrt_days=DAYS, mrt_other=DAYS)
    publish([spec(), spec("mrt_other")], ref="main", run_id="r1")
    owner.execute(f"ALTER TABLE marts.mrt_days {statement}")  # type: ignore[arg-type]
    before = rows(owner, "marts.mrt_days"), rows(owner, "marts.mrt_other")
    write(mrt_days=DAYS[:1], mrt_other=DAYS[:1])
    with pytest.raises(PublishFailed) as refused:
        publish([spec("mrt_other"), spec()], ref="main", run_id="r2")
    assert message in refused.value.what
    assert advice in refused.value.next_step
    assert (rows(owner, "marts.mrt_days"), rows(owner, "marts.mrt_other")) == before


@pytest.mark.parametrize("days", [[DAYS[0], DAYS[0]], [{"day": None, "readings": 1}]], ids=["twice", "null"])
def test_a_key_that_names_no_single_row_changes_nothing(
    days: list[dict[str, Any]], write: Write, spec: Spec, owner: Connection
) -> None:
    write(mrt_days=DAYS)
    publish([spec()], ref="main", run_id="r1")
    write(
        mrt_days=pa.Table.from_pylist(
            days, schema=pa.schema([("day", pa.date32()), ("readings", pa.int64())])
        )
    )
    with pytest.raises(PublishFailed, match=r"key \(day\) of mart marts.mrt_days"):
        publish([spec()], ref="main", run_id="r2")
    assert rows(owner, "marts.mrt_days") == [tuple(d.values()) for d in DAYS]


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


def test_a_branch_that_is_dropped_during_a_publish_leaves_no_marts(
    write: Write, spec: Spec, owner: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    refs.create("dev")
    write(ref="dev", mrt_days=DAYS)
    with ThreadPoolExecutor(1) as pool:

        def drop(point: str) -> None:
            if point == "publish.copied":
                refs.drop("dev")
                dropping.append(pool.submit(drop_marts, "dev"))
                while not owner.execute("SELECT 1 FROM pg_locks WHERE NOT granted").fetchall():
                    pass

        dropping: list[Future[list[str]]] = []
        monkeypatch.setattr(publication, "reached", drop)
        publish([spec()], ref="dev", run_id="r1")
        assert dropping[0].result() == ["marts_dev.mrt_days"]
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


def test_publishes_of_one_ref_at_once_end_with_the_newest_state(
    write: Write, spec: Spec, owner: Connection
) -> None:
    write(mrt_days=DAYS)
    publish([spec()], ref="main", run_id="r0")

    def one(number: int) -> None:
        write(mrt_days=[{**d, "readings": number} for d in DAYS])
        publish([spec()], ref="main", run_id=f"r{number}")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(one, range(1, 5)))
    (published,) = publish([spec()], ref="main", run_id="last")
    assert published.rows_changed == 0, "the last publish wrote the newest state of the lake"


def test_nothing_of_a_publish_is_left_behind(write: Write, spec: Spec, owner: Connection) -> None:
    write(mrt_days=DAYS)
    publish([spec()], ref="main", run_id="r1")
    tables = owner.execute("SELECT schemaname, tablename FROM pg_tables WHERE tableowner = 'millpond_marts'")
    assert tables.fetchall() == [("marts", "mrt_days")]
