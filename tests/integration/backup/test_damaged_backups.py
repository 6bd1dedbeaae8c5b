"""What a backup refuses and notices: damage, other homes, newer releases, and being interrupted."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from lake_readings import found, write
from millpond.backup.create import back_up
from millpond.backup.record import read_list, read_record
from millpond.backup.restore import restore
from millpond.errors import BackupDamaged, BackupRefused, HomeTooNew
from millpond.runtime.databases import databases
from millpond.runtime.home import Home
from millpond.settings import Settings

Run = Callable[..., tuple[int, str, str]]
Configure = Callable[..., Settings]
Change = Callable[[Path], None]


def ignore(_: str) -> None:
    pass


def make(folder: Path, *, with_data: bool = True) -> Path:
    back_up(folder, with_data=with_data, report=ignore)
    return folder


@pytest.fixture
def backup(home: Home, tmp_path: Path) -> Path:
    """A backup of a lake with one table."""
    write({0: [1]})
    return make(tmp_path / "backup")


@pytest.fixture
def new_home(place: Path, configure: Configure) -> Callable[[], Path]:
    """A function that makes an empty home that of the settings."""
    return lambda: configure(home=place / "restored", postgres_port=0).home


def change_record(folder: Path, **values: Any) -> None:
    path = folder / "backup.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def find_data_file(folder: Path) -> Path:
    return next(folder.glob("data-*/**/*.parquet"))


def cut(path: Path) -> None:
    path.write_text(path.read_text()[:20])


def flip_a_byte(folder: Path) -> None:
    content = bytearray(find_data_file(folder).read_bytes())
    content[len(content) // 2] ^= 1
    find_data_file(folder).write_bytes(content)


def name_a_file_outside(folder: Path) -> None:
    """Change a backup as somebody would who wants to write beside the home of whoever restores it."""
    listed = next(folder.rglob("files.jsonl"))
    first, *others = listed.read_bytes().splitlines(keepends=True)
    path = json.loads(first)["path"]
    changed = first.replace(path.encode(), f"data-{'0' * 12}/../../../planted".encode())
    listed.write_bytes(b"".join([changed, *others]))
    change_record(folder, list_sha256=hashlib.sha256(listed.read_bytes()).hexdigest())


DAMAGE: dict[str, tuple[Change, type[Exception]]] = {
    ".parquet: its content": (flip_a_byte, BackupDamaged),
    ".parquet: No such file": (lambda folder: find_data_file(folder).unlink(), BackupDamaged),
    "files.jsonl": (lambda folder: next(folder.rglob("files.jsonl")).unlink(), BackupDamaged),
    "backup.json": (lambda folder: cut(folder / "backup.json"), BackupDamaged),
    "no complete backup": (lambda folder: (folder / "backup.json").unlink(), BackupRefused),
    "a file outside of the backup": (name_a_file_outside, BackupDamaged),
    "Millpond 9.1": (lambda folder: change_record(folder, format=99, millpond="9.1"), BackupRefused),
    "is older": (lambda folder: change_record(folder, versions={"catalog": 99}), HomeTooNew),
    "profile scale": (lambda folder: change_record(folder, profile="scale"), BackupRefused),
}


def test_a_backup_that_is_not_what_was_made_is_named_and_leaves_the_home_empty(
    backup: Path, new_home: Callable[[], Path], tmp_path: Path
) -> None:
    there = new_home()
    for says, (change, error) in DAMAGE.items():
        changed = shutil.copytree(backup, tmp_path / "changed")
        change(changed)
        with pytest.raises(error, match=says):
            restore(changed, ignore)
        assert not there.exists() or {path.name for path in there.iterdir()} <= {".restoring.lock"}
        shutil.rmtree(changed)


def test_folders_that_are_no_place_for_a_backup_are_refused(home: Home, tmp_path: Path) -> None:
    write({0: [1]})
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "one.txt").write_text("dear")
    for folder, says in (
        (tmp_path / "letters", "holds no backup"),
        (home.root / "backup", "inside the home"),
    ):
        with pytest.raises(BackupRefused, match=says):
            make(folder)
    backup = make(tmp_path / "backup")
    with databases().catalog.connect() as connection:
        connection.execute("update lake_refs set created_at = now() where name = 'main'")
    with pytest.raises(BackupRefused, match="of another home"):
        make(backup)


def test_an_interrupted_backup_leaves_the_one_before_and_the_next_one_goes_on(
    backup: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = read_record(backup)
    write({1: [2]})

    def fail(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("millpond.backup.create.write_record", fail)
    with pytest.raises(KeyboardInterrupt):
        make(backup)
    monkeypatch.undo()
    assert read_record(backup) == before
    assert read_list(backup, before)
    made = back_up(backup, with_data=True, report=ignore)
    assert (made.copied_files, made.record.lake_rows) == (0, 2)
    assert [path.name for path in backup.glob("state-*")] == [made.record.state]
    with databases().catalog.connect() as connection:
        assert connection.execute("select name from lake_pins").fetchall() == []


@pytest.mark.slow
def test_a_backup_is_verified_without_its_home_and_what_differs_is_named(
    backup: Path, run: Run, monkeypatch: pytest.MonkeyPatch, place: Path
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(place))
    servers = {p.pid for p in psutil.process_iter(["name"]) if p.info["name"] == "postgres"}
    code, out, err = run("backup", "verify", str(backup), "--json")
    assert (code, json.loads(out)["success"]) == (0, True), err
    record = json.loads((backup / "backup.json").read_text())
    record["tables"][0]["hash"], record["rows"]["catalog"]["catalog.lake_refs"] = "0" * 32, 7
    change_record(backup, **record)
    code, out, err = run("backup", "verify", str(backup))
    assert code == 1, err
    assert "raw.readings on main has 1 rows of other values" in out
    assert "catalog: catalog.lake_refs has 1 rows, not 7" in out
    assert not list(place.glob("millpond-verify*"))
    left = {p.pid for p in psutil.process_iter(["name", "cmdline"]) if "millpond-verify" in str(p.info)}
    assert not left - servers


@pytest.mark.slow
def test_a_backup_without_data_needs_the_same_warehouse_and_all_its_files(
    home: Home, tmp_path: Path, place: Path, configure: Configure
) -> None:
    kept = configure(iceberg_warehouse_path=tmp_path / "warehouse").warehouse
    write({0: [1]})
    backup = make(tmp_path / "backup", with_data=False)
    assert not list(backup.glob("data-*/**/*.parquet"))
    configure(home=place / "restored", postgres_port=0)
    away = tmp_path / "away.parquet"
    data = next(kept.rglob("*.parquet"))
    shutil.move(data, away)
    with pytest.raises(BackupDamaged, match="1 of 4 files"):
        restore(backup, ignore)
    shutil.move(away, data)
    restore(backup, ignore)
    assert found() == {0: [1]}


@pytest.mark.slow
@pytest.mark.parametrize("when", ["load_databases", "adapt_databases", "_move_into_place"])
def test_a_restore_that_is_killed_is_repeated(backup: Path, new_home: Callable[[], Path], when: str) -> None:
    there = new_home()
    child = os.fork()
    if child == 0:
        import millpond.backup.restore as module

        setattr(module, when, lambda *_: os._exit(9))
        try:
            restore(backup, ignore)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    assert (there / "restoring").exists()
    assert restore(backup, ignore).record.lake_rows == 1
    assert found() == {0: [1]}
    assert not (there / "restoring").exists()
