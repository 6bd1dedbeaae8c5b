"""A home's state has a version: an older one is brought to this release's, a newer one is refused."""

from __future__ import annotations

import subprocess
import sys

import psycopg
import pytest

from former_state import FORMER, SCHEMAS, assert_rows_kept, contents, recorded
from millpond.errors import HomeTooOld, MigrationFailed
from millpond.instance.home import open_instance
from millpond.lake import refs
from millpond.naming import LAYERS, MAIN_REF
from millpond.runtime import databases as module
from millpond.runtime.databases import databases
from millpond.runtime.home import Home
from millpond.runtime.migrations import migrate
from millpond.runtime.migrations.migrate import Step
from millpond.settings import process_environment

STEPS = [step.number for step in migrate.STEPS]
NEXT = STEPS[-1] + 1


def test_a_home_of_the_release_before_opens_with_every_row_and_gets_its_version(former: Home) -> None:
    before = contents()
    assert {table for table, rows in before.items() if not rows} == {"iceberg_namespace_properties"}
    assert before.keys() >= FORMER.keys()
    assert [ref.name for ref in refs.list_refs()] == ["main", "dev"]
    after = contents()
    assert len(after.pop("iceberg_namespace_properties")) == len(LAYERS)
    assert_rows_kept(before, after)
    assert not any(rows for table, rows in after.items() if table not in before)
    assert recorded() == {"catalog": STEPS, "ops": STEPS}


def test_a_home_that_an_earlier_release_left_without_some_columns_and_tables_opens_too(former: Home) -> None:
    with databases().ops.connect_as_it_is() as connection:
        connection.execute("alter table alerts drop column causes, drop column closed_by")
        connection.execute("drop table breakers")
        connection.execute("alter table backfill_partitions drop column nulled")
    with databases().catalog.connect_as_it_is() as connection:
        connection.execute("alter table lake_refs drop column kept")
    with databases().ops.connect() as connection:
        assert connection.execute("select title, causes from alerts").fetchall() == [("t", [])]
        assert connection.execute("select count(nulled) from backfill_partitions").fetchone() == (0,)
        assert connection.execute("select * from breakers").fetchall() == []
    assert [ref.name for ref in refs.list_refs()] == ["main", "dev"]


def test_a_new_home_has_main_its_layers_and_the_newest_version(bare: Home) -> None:
    assert [ref.name for ref in refs.list_refs()] == [MAIN_REF]
    rows = contents()["iceberg_namespace_properties"]
    assert sorted(str(row[0]).split(",")[1] for row in rows) == sorted(LAYERS)
    assert recorded() == {"catalog": STEPS, "ops": STEPS}


def test_many_processes_that_open_a_new_home_at_once_all_succeed(bare: Home) -> None:
    opening = (
        "from millpond.runtime.databases import databases\n"
        "import sys; getattr(databases(), sys.argv[1]).connect().close()"
    )
    started = [
        subprocess.Popen(
            [sys.executable, "-c", opening, SCHEMAS[number % 2]],
            env=process_environment(),
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(6)
    ]
    assert [process.communicate(timeout=60)[1] for process in started] == [""] * 6
    assert recorded() == {"catalog": STEPS, "ops": STEPS}


def test_a_process_asks_for_the_version_once(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    module.current_databases.clear()
    asked = []
    monkeypatch.setattr(module, "is_current", lambda connection: asked.append(connection) or True)
    for _ in range(3):
        databases().ops.connect().close()
        databases().catalog.connect().close()
    module.refuse_other_version()
    assert len(asked) == 2


def extended(monkeypatch: pytest.MonkeyPatch, *more: Step) -> None:
    """Open the home, then have this process know steps of a release to come."""
    module.refuse_other_version()
    module.current_databases.clear()
    monkeypatch.setattr(migrate, "STEPS", (*migrate.STEPS, *more))


def test_a_step_of_this_release_is_applied_on_opening_in_both_schemas(
    former: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    module.refuse_other_version()
    before = contents()
    grown = Step(
        NEXT, "silences say why", ops="alter table alert_silences add column why text not null default ''"
    )
    extended(monkeypatch, grown)
    with databases().ops.connect() as connection:
        assert connection.execute("select pattern, why from alert_silences").fetchall() == [("climate*", "")]
    assert recorded() == {"catalog": [*STEPS, NEXT], "ops": [*STEPS, NEXT]}
    after = contents()
    assert {table: len(rows) for table, rows in after.items() if table in FORMER} == {
        table: len(rows) for table, rows in before.items() if table in FORMER
    }


def test_a_step_that_takes_long_waits_for_the_upgrade_and_so_does_what_follows(
    bare: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = Step(NEXT, "rewrites", ops="create table rewritten (a int)", on_opening=False)
    extended(monkeypatch, slow, Step(NEXT + 1, "after it", ops="create table later (a int)"))
    for open_home in (
        databases().ops.connect,
        databases().catalog.connect,
        lambda: open_instance().get_ref(),
    ):
        with pytest.raises(
            HomeTooOld, match=rf"version {NEXT - 1}, but Millpond .* needs version {NEXT + 1}"
        ) as refused:
            open_home()
        assert "`millpond upgrade`" in refused.value.next_step
    assert recorded() == {"catalog": STEPS, "ops": STEPS}


def test_a_step_that_postgres_refuses_leaves_the_state_as_it_was(
    bare: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    extended(monkeypatch, Step(NEXT, "wrong", ops="create table half (a int); select 1 / 0"))
    with pytest.raises(
        MigrationFailed, match=rf"step {NEXT} \(wrong\) cannot be applied to schema ops: division"
    ) as no:
        databases().ops.connect()
    assert "rolled back" in no.value.unharmed
    with databases().ops.connect_as_it_is() as connection, pytest.raises(psycopg.errors.UndefinedTable):
        connection.execute("select * from half")
    assert recorded()["ops"] == STEPS
