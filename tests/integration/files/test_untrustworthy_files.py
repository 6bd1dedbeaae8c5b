"""Files that lie, change, end early or lead elsewhere leave their days as they were, and are named."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import time
from collections.abc import Callable
from pathlib import Path

import dagster as dg
import pyarrow as pa
import pytest
from file_sources import DAY, NEXT, Drop, bad_sales, sales

from millpond.errors import SourceMalformed, SourceMissing, SourceUnreachable
from millpond.ingestion.assets import build_assets
from millpond.ingestion.files import contents
from millpond.ingestion.files.place import LocalFolder

GOOD = "id,at\n" + "".join(f"{n},2026-01-05T10:00:00Z\n" for n in range(1000))
PACKED: dict[str, Callable[[bytes], bytes]] = {
    "gz": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "zst": lambda content: pa.compress(content, codec="zstd", asbytes=True),
}


@pytest.mark.parametrize("ending", PACKED)
def test_an_archive_is_read_and_one_that_is_cut_off_fails_its_day(drop: Drop, ending: str) -> None:
    packed = PACKED[ending](GOOD.encode())
    drop.put(f"sales_2026-01-05.csv.{ending}", packed)
    drop.put(f"sales_2026-01-06.csv.{ending}", packed[: len(packed) // 2])
    loaded = drop.load(drop.spec(f"sales_{{date}}.csv.{ending}"), DAY, NEXT)
    assert len(sales("id")) == 1000
    assert list(loaded.failed) == [NEXT]
    assert isinstance(loaded.failed[NEXT], SourceMalformed | SourceUnreachable)
    assert f"sales_2026-01-06.csv.{ending}" in str(loaded.failed[NEXT])


def test_an_archive_is_read_to_its_last_member(drop: Drop) -> None:
    head, rest = GOOD[:9000].encode(), GOOD[9000:].encode()
    drop.put("sales_2026-01-05.csv.gz", gzip.compress(head) + gzip.compress(rest))
    assert not drop.load(drop.spec("sales_{date}.csv.gz")).failed
    assert len(sales("id")) == 1000


def test_a_damaged_parquet_file_fails_its_day(drop: Drop) -> None:
    drop.put("sales_2026-01-05.parquet", b"PAR1 and nothing more")
    error = drop.load(drop.spec("sales_{date}.parquet")).failed[DAY]
    assert isinstance(error, SourceMalformed)
    assert "cut off or damaged" in str(error)


def test_a_file_that_is_young_is_not_loaded(drop: Drop) -> None:
    drop.put("sales_2026-01-05.csv", GOOD)
    error = drop.load(drop.spec("sales_{date}.csv", stable_after="1h")).failed[DAY]
    assert isinstance(error, SourceUnreachable)
    assert "may not be whole" in str(error)


@pytest.mark.parametrize("change", ["grows", "is replaced", "is deleted"])
def test_a_file_that_changes_while_it_is_read_fails_its_day(
    drop: Drop, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    file = drop.put("sales_2026-01-05.csv", GOOD)
    read = contents.read_csv

    def reading(*given: object) -> object:
        yield from read(*given)  # type: ignore[arg-type]
        if change == "grows":
            with file.open("a") as more:
                more.write("2000,2026-01-05T10:00:00Z\n")
        elif change == "is replaced":
            drop.put(file.name, GOOD)
        else:
            file.unlink()

    monkeypatch.setattr(contents, "read_csv", reading)
    error = drop.load(drop.spec("sales_{date}.csv")).failed[DAY]
    assert isinstance(error, SourceUnreachable)
    assert ("was deleted" if change == "is deleted" else "is being written") in str(error)
    assert sales() == []


def test_links_out_of_the_folder_hidden_and_temporary_files_are_left_out(
    drop: Drop, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    secret = tmp_path / "secret.csv"
    secret.write_text(GOOD)
    (drop.folder / "leads_out.csv").symlink_to(secret)
    (drop.folder / "folder").symlink_to(tmp_path)
    (drop.folder / "to_itself.csv").symlink_to(drop.folder / "to_itself.csv")
    os.mkfifo(drop.folder / "pipe.csv")
    (drop.folder / os.fsdecode(b"caf\xe9.csv")).write_text(GOOD)
    for name in (".hidden.csv", "_part.csv", "x.csv.part", "~lock.csv~", ".dir/y.csv", "_temporary/z.csv"):
        drop.put(name, GOOD)
    drop.put("real/a.csv", "id,at\n5000,2026-01-05T10:00:00Z\n")
    (drop.folder / "inside.csv").symlink_to(drop.folder / "real" / "a.csv")
    assert not drop.load(drop.spec("**/*.csv")).failed
    assert sales("id") == [5000]
    assert "its name is not UTF-8" in caplog.text
    assert "leads_out.csv is a link that leads out" in caplog.text
    assert "secret" not in str(sales())
    place = LocalFolder(drop.folder)
    with pytest.raises(FileNotFoundError):
        place.open("../secret.csv")


def test_a_missing_folder_is_an_error_which_no_retry_follows_and_no_empty_day(drop: Drop) -> None:
    drop.put("a.csv", GOOD)
    spec = drop.spec("*.csv", table={"allow_empty": True})
    assert not drop.load(spec).failed
    drop.folder.rename(drop.folder.with_name("unmounted"))
    assert isinstance(drop.load(spec).failed[DAY], SourceMissing)
    assert len(sales("id")) == 1000
    result = dg.materialize(build_assets([spec]), partition_key=str(DAY), raise_on_error=False)
    kinds = [event.event_type for event in result.all_events]
    assert dg.DagsterEventType.STEP_FAILURE in kinds
    assert dg.DagsterEventType.STEP_UP_FOR_RETRY not in kinds


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "utf-16", "utf-16-le", "shift_jis"])
def test_texts_are_read_in_the_declared_encoding(drop: Drop, encoding: str) -> None:
    text = "日本" if encoding == "shift_jis" else "Zürich"
    drop.put("a.csv", f"id,at,note\n1,2026-01-05T10:00:00Z,{text}\n".encode(encoding))
    assert not drop.load(drop.spec("*.csv", encoding=encoding)).failed
    assert sales("note") == [text]


def test_a_bad_line_of_another_day_is_not_counted_for_the_day_asked_for(drop: Drop) -> None:
    first = "".join(f"{n},2026-01-05T10:00:00Z\n" for n in range(30))
    second = "".join(f"{n},2026-01-06T10:00:00Z\n" for n in range(30, 60))
    drop.put("all.csv", "id,at\n" + first + "a,b,c\n" + first + second)
    assert not drop.load(drop.spec("*.csv"), NEXT).failed
    assert bad_sales() == []
    assert not drop.load(drop.spec("*.csv"), DAY).failed
    assert [row["payload"] for row in bad_sales("payload", "reason")] == ["a,b,c"]


def test_values_and_names_that_look_like_sql_stay_texts(drop: Drop) -> None:
    evil = "'); drop table raw.sales; --"
    drop.put(f"o'{evil.replace('/', '')}.csv", f'id,at,"no""te"\n1,2026-01-05T10:00:00Z,"{evil}"\n')
    columns = {
        "id": {"type": "int"},
        "at": {"type": "timestamp"},
        "note": {"type": "string", "field": 'no"te'},
    }
    assert not drop.load(drop.spec("*.csv", columns)).failed
    assert sales("note") == [evil]


def test_a_file_is_read_again_only_if_it_is_changed_or_has_rows_of_the_day(
    drop: Drop, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    real = LocalFolder.open
    monkeypatch.setattr(LocalFolder, "open", lambda self, path: opened.append(path) or real(self, path))
    drop.put("a.csv", "id,at\n1,2026-01-05T10:00:00Z\n")
    drop.put("b.csv", "id,at\n2,2026-01-06T10:00:00Z\n")
    spec = drop.spec("*.csv")
    assert not drop.load(spec, DAY).failed
    opened.clear()
    assert not drop.load(spec, DAY).failed
    assert opened == ["a.csv"]
    time.sleep(0.01)
    drop.put("b.csv", "id,at\n2,2026-01-05T10:00:00Z\n")
    opened.clear()
    assert not drop.load(spec, DAY).failed
    assert opened == ["a.csv", "b.csv"]
    assert sales("id") == [1, 2]
