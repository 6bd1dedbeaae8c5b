"""What goes wrong with the servers of the profile scale: the part is named, main untouched, a retry works."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import pyarrow as pa
import pytest
from installation import Installation, installed, refusing_writes
from servers.stack import Stack

from millpond.errors import EmbeddedPartError, ServerUnreachable, StorageFailed
from millpond.lake import files, housekeeping, read, refs, tables, trino
from millpond.lake.spec import Replacement, TableSpec
from millpond.partitions import Window, latest_complete_day
from millpond.resources.steps import TRANSIENT
from millpond.settings import settings
from millpond.transform.build import ModelWrite
from millpond.transform.results import BuildResult
from millpond.transform.runner import build

MODELS = ("stg_glucose_entries", "fct_glucose_readings")
SPEC = TableSpec("raw.trial", pa.schema([("day", pa.date32()), ("value", pa.int64())]), window_column="day")
DAY = dt.date(2026, 1, 1)


@pytest.fixture(scope="module")
def loaded(servers: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """An installation with two raw days."""
    with installed(servers, tmp_path_factory.mktemp("home")) as found:
        window = _window()
        days = f"{window.start}...{window.last}"
        done = found.run("materialize", "dlt_glucose_entries", "--partition", days)
        assert done.returncode == 0, done.stdout + done.stderr
        yield found


@pytest.fixture
def untouched(loaded: Installation) -> Iterator[Installation]:
    """The installation; after the test main is as it was before, and no audit branch is left."""
    before = _main()
    yield loaded
    assert _main() == before
    assert [ref.name for ref in refs.list_refs()] == ["main"]


def test_trino_that_is_down_is_named_and_then_the_same_build_works(untouched: Installation) -> None:
    servers = untouched.servers
    servers.trino.kill()
    try:
        with pytest.raises(ServerUnreachable, match=r"Trino at http://127\.0\.0\.1") as error:
            _built()
    finally:
        servers.restart(servers.trino)
    assert "every ref" in error.value.unharmed
    assert isinstance(error.value, TRANSIENT)
    refs.create("dev")
    try:
        assert _built(ref="dev").merged
        assert read.count("dev", "silver.fct_glucose_readings") > 0
    finally:
        trino.drop_catalog("dev")
        refs.drop("dev")


def test_trino_that_ends_between_two_models_leaves_nothing_behind(untouched: Installation) -> None:
    servers = untouched.servers
    with pytest.raises(ServerUnreachable, match="Trino at"):
        _built(lambda _: servers.trino.kill())
    servers.restart(servers.trino)
    # A restarted Trino has forgotten its catalogs; reading makes the one of main anew.
    assert trino.run_query("select count(*) from raw.glucose_entries")[1][0][0] > 0


def test_trino_that_ends_in_the_middle_of_a_query_is_named_and_the_next_one_works(
    untouched: Installation,
) -> None:
    servers, numbers = untouched.servers, "(select * from unnest(sequence(1, 10000)))"
    long = f"select count(*) from {numbers} cross join {numbers} cross join {numbers}"
    running = "select count(*) from system.runtime.queries where state = 'RUNNING' and query = ?"
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(trino.run_query, long)
        while not trino.run_query(running, parameters=[long])[1][0][0]:
            assert not asked.done(), asked.exception()
        servers.trino.kill()
        with pytest.raises(ServerUnreachable, match="Trino at"):
            asked.result(300)
    servers.restart(servers.trino)
    assert trino.run_query("select count(*) from raw.glucose_entries")[1][0][0] > 0


def test_s3_that_refuses_writes_is_named_by_a_load_and_by_a_build(untouched: Installation) -> None:
    servers = untouched.servers
    with refusing_writes(servers.s3, servers.restart):
        with pytest.raises(StorageFailed, match=r"raw\.trial"):
            _written()
        with pytest.raises(StorageFailed, match="could not read or write the files in s3://"):
            _built()


def test_expired_keys_are_named_and_new_ones_work(
    untouched: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert trino.run_query("select count(*) from raw.glucose_entries")[1][0][0] > 0
    with monkeypatch.context() as expired:
        expired.setenv("MILLPOND_S3_SECRET_KEY", "expired")
        settings.cache_clear()
        with pytest.raises(StorageFailed) as error:
            _written()
        assert "MILLPOND_S3_ACCESS_KEY" in error.value.next_step
        with pytest.raises(StorageFailed):
            _built()
    settings.cache_clear()
    assert files.lake_io().new_input(_main()["raw.glucose_entries"]).exists()


def test_a_catalog_of_trino_with_keys_of_the_past_is_made_anew(
    untouched: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    trino.drop_catalog("main")
    with monkeypatch.context() as expired:
        expired.setenv("MILLPOND_S3_SECRET_KEY", "expired")
        settings.cache_clear()
        trino.open_catalog("main")
    settings.cache_clear()
    assert trino.run_query("select count(*) from raw.glucose_entries")[1][0][0] > 0


def test_postgres_that_is_down_is_named(untouched: Installation) -> None:
    servers = untouched.servers
    servers.postgres.kill()
    try:
        with pytest.raises(EmbeddedPartError, match=r"Postgres at 127\.0\.0\.1"):
            _written()
    finally:
        servers.restart(servers.postgres)


def test_a_branch_that_a_killed_build_left_goes_with_its_catalog(untouched: Installation) -> None:
    refs.create("audit_left", run_id="killed")
    trino.open_catalog("audit_left")
    refs.keep("audit_left", "killed")
    assert [ref.name for ref in housekeeping.drop_old_branches(dt.timedelta(0))] == ["audit_left"]
    assert "lake_audit_left" not in [name for (name,) in trino._run_statement("show catalogs")]


@cache
def _window() -> Window:
    last = latest_complete_day(settings().zone)
    return Window.of_days(last - dt.timedelta(days=1), last)


def _built(on_event: Callable[[ModelWrite], None] = lambda _: None, ref: str = "main") -> BuildResult:
    return build(MODELS, _window(), ref=ref, run_id="trial", on_event=on_event)


def _written() -> None:
    rows = pa.table({"day": [DAY], "value": [1]}, schema=SPEC.schema)
    tables.replace([Replacement(SPEC, rows, Window.of_day(DAY))], ref="main", run_id="trial")


def _main() -> dict[str, str]:
    return {name: read.load_table("main", name).metadata_location for name in read.list_tables("main")}
