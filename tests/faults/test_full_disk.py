"""A disk that is full while a day goes from its source to the mart: an error, the old data, no leftovers."""

from __future__ import annotations

import datetime as dt
import random
import re
import resource
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from fake_source import Entries, FakeSource, fake_source, reading
from millpond.errors import StorageFailed
from millpond.ingestion import batches
from millpond.ingestion.staging import open_staging_folder
from millpond.lake import read
from millpond.partitions import Window
from millpond.runs.run import materialize
from millpond.runtime.databases import databases
from millpond.runtime.home import Home
from millpond.settings import Settings
from processes import FORKED, start
from source_tables import load_days, raw

DAY = dt.datetime.now(dt.UTC).date() - dt.timedelta(days=2)
BEFORE, AFTER = 40, 280


def run_with(bytes_free: int, selection: str, said: Connection) -> None:
    """Materialize the day where no file may grow beyond so many bytes; say what failed and why."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (bytes_free, bytes_free))
    try:
        outcome = materialize(selection, Window.of_day(DAY))
        said.send([(f.error, f.message, f.unharmed, f.next) for f in outcome.failures])
    except BaseException as error:
        said.send([(type(error).__name__, str(error), "", "")])
        raise


def run(selection: str, bytes_free: int = resource.RLIM_INFINITY) -> Any:
    ours, theirs = FORKED.Pipe()
    process = start(run_with, bytes_free, selection, theirs)
    answer = ours.recv()
    process.join()
    return answer


def counts() -> dict[str, int]:
    with databases().marts_readonly.connect() as connection:
        found = connection.execute(
            "select sum(reading_count)::int from marts.mrt_climate_overview"
        ).fetchone()
    names = ("raw.climate_entries", "silver.fct_climate_readings")
    return {**{name: read.count("main", name) for name in names}, "mart": found[0] if found else 0}


def make_entries() -> list[dict[str, Any]]:
    """Return a day's entries, too long to be compressed."""
    text = random.Random(4)
    return [reading(n, DAY, place=text.randbytes(500).hex()) for n in range(AFTER)]


@pytest.fixture
def source(home: Home, configure: Callable[..., Settings]) -> Iterator[FakeSource]:
    with fake_source() as served:
        configure(greenhouse_url=served.url)
        yield served


def load_with(bytes_free: int, said: Connection) -> None:
    """Load more rows than stay in memory where no file may grow beyond so many bytes."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (bytes_free, bytes_free))
    batches.MEMORY = 1_000  # of this process alone, which ends
    try:
        load_days(DAY)
    except StorageFailed as error:
        said.send((error.what, error.unharmed, error.next_step))


def test_a_disk_that_is_full_while_pages_are_staged_is_no_fault_of_the_source(
    home: Home, source: FakeSource, record_property: Callable[..., None]
) -> None:
    entries = make_entries()
    source.serve = Entries(entries[:BEFORE])
    assert not load_days(DAY).failed
    source.serve = Entries(entries)
    ours, theirs = FORKED.Pipe()
    process = start(load_with, 10_000, theirs)
    what, unharmed, advice = ours.recv()
    process.join()
    assert re.fullmatch(r"climate_entries.*: the staging folder .* has no space left: .*", what)
    assert (unharmed, "free space" in advice) == ("the tables; nothing was loaded", True)
    assert len(raw()) == BEFORE
    assert [*home.staging.iterdir()] == []
    assert not load_days(DAY).failed
    assert len(raw()) == AFTER
    record_property("seen", what)


def stage_with(bytes_free: int, root: Path, said: Connection) -> None:
    """Stage more rows than stay in memory where no file may grow beyond so many bytes."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (bytes_free, bytes_free))
    rows = pa.table({"id": pa.array(range(100_000), pa.int64())})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batches, "MEMORY", rows.nbytes * 2)
        try:
            with open_staging_folder(root, "sales") as folder:
                batches.StagedBatches(folder).take([lambda: iter([rows] * 5)], 1)
        except StorageFailed as error:
            said.send((error.what, error.unharmed))


def test_a_disk_that_is_full_while_rows_beyond_memory_are_staged_is_named(
    tmp_path: Path, record_property: Callable[..., None]
) -> None:
    ours, theirs = FORKED.Pipe()
    process = start(stage_with, 50_000, tmp_path, theirs)
    what, unharmed = ours.recv()
    process.join()
    assert re.match(r"sales: the staging folder .* has no space left: ", what)
    assert unharmed == "the tables; nothing was loaded"
    assert [*tmp_path.iterdir()] == []
    record_property("seen", what)


def give_no_room(patch: pytest.MonkeyPatch) -> None:
    """Let DuckDB hold little in memory, and next to nothing in its folder for temporary files."""
    connect = duckdb.connect

    def connect_without_room(*arguments: Any, **options: Any) -> duckdb.DuckDBPyConnection:
        connection = connect(*arguments, **options)
        connection.execute(
            "set memory_limit = '10MB'; set max_temp_directory_size = '512KB'; set threads = 1"
        )
        return connection

    patch.setattr(duckdb, "connect", connect_without_room)


def make_long_entries() -> list[dict[str, Any]]:
    """Return a day's entries that are more, together, than DuckDB may hold there."""
    return [reading(n, DAY, device=random.Random(n).randbytes(20_000).hex()) for n in range(AFTER)]


def test_a_load_for_whose_temporary_files_there_is_no_room_leaves_the_day_as_it_was(
    home: Home, source: FakeSource, monkeypatch: pytest.MonkeyPatch, record_property: Callable[..., None]
) -> None:
    source.serve = Entries(make_entries()[:BEFORE])
    assert not load_days(DAY).failed
    source.serve = Entries(make_long_entries())
    with monkeypatch.context() as patch:
        give_no_room(patch)
        with pytest.raises(StorageFailed) as refused:
            load_days(DAY)
    said = rf"climate_entries-{DAY}.*: the rows have room neither in memory nor in the staging folder"
    assert re.match(said, refused.value.what)
    assert "Possible solutions" not in refused.value.what
    assert "free space on its disk" in refused.value.next_step
    assert len(raw()) == BEFORE
    assert [*home.staging.glob("load-*")] == []
    assert not load_days(DAY).failed
    assert len(raw()) == AFTER
    record_property("seen", refused.value.what.splitlines()[0])


def build_without_room(selection: str, said: Connection) -> None:
    with pytest.MonkeyPatch.context() as patch:
        give_no_room(patch)
        run_with(resource.RLIM_INFINITY, selection, said)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_build_for_whose_temporary_files_there_is_no_room_leaves_the_former_models(
    home: Home, source: FakeSource, record_property: Callable[..., None]
) -> None:
    source.serve = Entries(make_entries()[:BEFORE])
    assert run("dlt_climate_entries*") == []
    source.serve = Entries(make_long_entries())
    assert run("dlt_climate_entries") == []
    before = counts()
    ours, theirs = FORKED.Pipe()
    process = start(build_without_room, "stg_climate_entries*", theirs)
    ((error, message, unharmed, advice),) = ours.recv()
    process.join()
    assert error == "AuditFailed"
    assert "could not be built: Out of Memory Error" in message
    assert "nothing of this run is in it" in unharmed
    assert f"free space on the disk of {home.staging}" in advice
    assert counts() == before
    assert run("stg_climate_entries*") == []
    assert {*counts().values()} == {AFTER}
    record_property("seen", message.splitlines()[0])


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("bytes_free", "reason"),
    [(100_000, "files of bronze.stg_climate_entries could not be"), (0, "the disk is full")],
)
def test_a_disk_that_is_full_while_models_are_built_leaves_the_former_ones(
    home: Home, source: FakeSource, bytes_free: int, reason: str, record_property: Callable[..., None]
) -> None:
    entries = make_entries()
    source.serve = Entries(entries[:BEFORE])
    assert run("dlt_climate_entries*") == []
    source.serve = Entries(entries)
    assert run("dlt_climate_entries") == []
    before = counts()
    ((error, message, unharmed, advice),) = run("stg_climate_entries*", bytes_free)
    assert error in ("AuditFailed", "StorageFailed")
    assert reason in message
    assert "nothing of this run is in it" in unharmed
    assert "free space" in advice
    assert counts() == before
    assert run("stg_climate_entries*") == []
    assert {*counts().values()} == {AFTER}
    record_property("seen", message.splitlines()[0])
