"""What others built on a mart stays: grants, views, indexes, comments, the table itself."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from mart_rows import DAYS, Connection, Spec, Write, rows

from millpond.errors import PublishFailed
from millpond.publish.publication import publish


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
