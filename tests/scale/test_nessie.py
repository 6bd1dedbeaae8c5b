"""Nessie as the catalog: its branches keep what ours promise, for builds, merges, conflicts, two writers."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
import pytest
import requests
from installation import Installation, installed
from servers.stack import Stack

from millpond.errors import ConfigError, MergeConflict, RefNotFound, ServerUnreachable
from millpond.lake import housekeeping, read, refs, retirement, trino
from millpond.lake.spec import Replacement, TableSpec
from millpond.lake.tables import replace
from millpond.partitions import Window, latest_complete_day
from millpond.settings import settings
from millpond.transform.runner import build

SCHEMA = pa.schema([("day", pa.date32()), ("value", pa.int64())])
SPEC = TableSpec("raw.trial", SCHEMA, window_column="day")
OTHER = TableSpec("raw.other", SCHEMA, window_column="day")
SHARED = TableSpec("raw.shared", SCHEMA, window_column="day")
DAY = dt.date(2026, 1, 1)


@pytest.fixture(scope="module")
def lake(servers: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """An installation whose main is a new branch of Nessie's."""
    name, api = f"test-{uuid.uuid4().hex[:8]}", f"{servers.nessie_uri}/api/v2/trees"
    main = requests.get(f"{api}/main", timeout=10).json()["reference"]
    made = requests.post(api, params={"name": name, "type": "BRANCH"}, json=main, timeout=10)
    made.raise_for_status()
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("MILLPOND_CATALOG", "nessie")
        environment.setenv("MILLPOND_NESSIE_BRANCH", name)
        with installed(servers, tmp_path_factory.mktemp("home")) as found:
            yield found


def test_a_build_is_audited_on_a_branch_of_nessie_and_merged_from_there(lake: Installation) -> None:
    newest = latest_complete_day(settings().zone)
    window = Window.of_days(newest - dt.timedelta(days=1), newest)
    done = lake.run("materialize", "dlt_glucose_entries", "--partition", f"{window.start}...{window.last}")
    assert done.returncode == 0, done.stdout + done.stderr
    built = build(["stg_glucose_entries", "fct_glucose_readings"], window, ref="main", run_id="test")
    assert built.merged
    assert [ref.name for ref in refs.list_refs()] == ["main"]
    rows = read.count("main", "silver.fct_glucose_readings")
    assert rows > 0
    # Trino reads the same from Nessie, every snapshot is still known, and a second build changes nothing.
    assert trino.run_query("select count(*) from lake.silver.fct_glucose_readings")[1] == [[rows]]
    history = trino.run_query('select count(*) from lake.raw."glucose_entries$snapshots"')[1]
    assert history == [[len(read.load_table("main", "raw.glucose_entries").metadata.snapshots)]]
    before = _head(lake)
    build(["stg_glucose_entries", "fct_glucose_readings"], window, ref="main", run_id="test")
    assert _head(lake) == before


def test_a_branch_is_merged_all_at_once_or_not_at_all(lake: Installation) -> None:
    _write("main", 1, SPEC, OTHER)
    refs.create("dev", purpose="trial")
    _write("dev", 2, SPEC, OTHER)
    assert {d.table for d in refs.diff("dev")} == {"raw.trial", "raw.other"}
    assert _values("main") == [1]
    assert set(refs.merge("dev").tables) == {"raw.trial", "raw.other"}
    assert (_values("main"), _values("main", OTHER)) == ([2], [2])
    assert [ref.name for ref in refs.list_refs()] == ["main"]


def test_a_conflict_names_the_table_and_leaves_main_untouched(lake: Installation) -> None:
    _write("main", 10, SPEC, OTHER)
    refs.create("dev")
    _write("dev", 11, SPEC, OTHER)
    _write("main", 12, SPEC)
    with pytest.raises(MergeConflict, match=r"raw\.trial") as error:
        refs.merge("dev")
    assert set(error.value.tables) == {"raw.trial"}
    assert (_values("main"), _values("main", OTHER)) == ([12], [10])
    assert _values("dev") == [11]
    refs.drop("dev")


def test_a_branch_left_behind_is_listed_and_dropped_also_if_nessie_lost_it(lake: Installation) -> None:
    _write("main", 20, SPEC)
    for name in ("left", "lost"):
        refs.create(name, run_id="killed", purpose="audit")
    address = f"{lake.servers.nessie_uri}/api/v2/trees/lost"
    reference = requests.get(address, timeout=10).json()["reference"]
    requests.delete(f"{address}@{reference['hash']}", timeout=10).raise_for_status()
    assert {ref.name for ref in refs.list_refs()} == {"main", "left", "lost"}
    with pytest.raises(RefNotFound):
        read.list_tables("lost")
    for name in ("left", "lost"):
        refs.drop(name)
    assert [ref.name for ref in refs.list_refs()] == ["main"]
    assert requests.get(address.replace("lost", "left"), timeout=10).status_code == 404


def test_two_writers_of_one_table_both_get_their_days_in(lake: Installation) -> None:
    days = [DAY + dt.timedelta(days=n) for n in range(4)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda day: _write("main", day.day, SPEC, day=day), days))
    rows = read.scan("main", "raw.trial").to_pylist()
    assert sorted((row["day"], row["value"]) for row in rows) == [(day, day.day) for day in days]


def test_a_write_of_somebody_else_is_seen_and_one_that_came_first_is_not_lost(lake: Installation) -> None:
    _write("main", 30, SHARED)
    trino.run_query("insert into lake.raw.shared values (date '2026-02-01', 31)")
    assert _values("main", SHARED) == [30, 31]
    _write("main", 32, SHARED)
    assert _values("main", SHARED) == [31, 32]


def test_a_nessie_that_does_not_answer_is_named_and_main_is_as_it_was(lake: Installation) -> None:
    _write("main", 40, SPEC)
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("MILLPOND_NESSIE_URI", "http://127.0.0.1:9")
        settings.cache_clear()
        with pytest.raises(ServerUnreachable, match="Nessie at"):
            _write("main", 41, SPEC)
    settings.cache_clear()
    assert 40 in _values("main")


def test_a_branch_for_main_that_nessie_lacks_is_named(lake: Installation) -> None:
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("MILLPOND_NESSIE_BRANCH", "absent")
        settings.cache_clear()
        with pytest.raises(ConfigError, match="no branch 'absent'"):
            read.list_tables("main")
    settings.cache_clear()


def test_no_file_is_swept_as_nessie_may_lead_to_it(lake: Installation) -> None:
    said = lake.run("maintain", "remove_orphan_files", "--dry-run")
    assert said.returncode == 0, said.stdout + said.stderr
    assert "nessie-gc" in said.stdout
    assert housekeeping.remove_orphans(dry_run=True) == []


def _write(ref: str, value: int, *specs: TableSpec, day: dt.date = DAY) -> None:
    rows = pa.Table.from_pylist([{"day": day, "value": value}], SCHEMA)
    replace([Replacement(spec, rows, Window.of_day(day)) for spec in specs], ref=ref, run_id="test")


def _values(ref: str, spec: TableSpec = SPEC) -> list[int]:
    return sorted(read.scan(ref, spec.name)["value"].to_pylist())


def _head(lake: Installation) -> str:
    address = f"{lake.servers.nessie_uri}/api/v2/trees/{settings().nessie_branch}"
    return str(requests.get(address, timeout=10).json()["reference"]["hash"])


def test_a_table_is_retired_brought_back_and_renamed_there_too(lake: Installation) -> None:
    former, latter = "raw.former", "raw.latter"
    rows = pa.table({"day": [DAY], "value": [1]}, schema=SCHEMA)
    replace([Replacement(TableSpec(former, SCHEMA, "day"), rows, None)], ref="main", run_id="test")
    retirement.retire(former, ref="main")
    assert "former" not in str(trino.run_query("show tables from lake.raw")[1])
    retirement.restore(former, ref="main")
    assert trino.run_query(f"select value from lake.{former}")[1] == [[1]]
    retirement.rename(former, latter, ref="main")
    assert read.scan("main", latter).to_pylist() == rows.to_pylist()
    assert trino.run_query(f"select value from lake.{latter}")[1] == [[1]]
    assert "former" not in str(trino.run_query("show tables from lake.raw")[1])
