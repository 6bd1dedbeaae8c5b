"""The demo data of sources that are no servers, as files in a demo home: the meter's exports and the diary.

They hold what happened up to now, as the demo source serves it, and are written again as time goes by.
"""

from __future__ import annotations

import datetime as dt
import os
import sqlite3
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

from millpond.runtime.demo_source import meals
from millpond.runtime.home import exclusive, layout
from millpond.settings import Settings

_METER, _DIARY, _STAMP = "meter", "diary.db", "written"
_HEADER: Final = "record_id,measured_at,glucose_mg_dl,marker,meter\n"
_SERIAL: Final = "demo-meter"
_CURRENT_MS: Final = 60_000
"""How long files are current."""
_CREATE: Final = """
    create table entries (
        id integer primary key, recorded_at integer not null, meal text not null, carbs_g integer,
        insulin_units real, updated_at integer not null
    )
"""
_ADDRESSES: Final[dict[str, Callable[[Path], str]]] = {
    "meter": lambda folder: str(folder / _METER),
    "diary": lambda folder: f"sqlite:///{folder / _DIARY}",
}


def write_demo_files(settings: Settings, demo: str) -> str:
    """Return the address of the data `demo` (`meter`, `diary`) in this home, which reaches up to the present.

    Costs next to nothing where it is current. Files are replaced whole, so no reader sees a part of one.
    """
    home, now = layout(settings), int(time.time() * 1000)
    folder, of = home.root / "demo_data", f"{settings.timezone} {settings.start_date}"
    stamp = folder / _STAMP
    if not _is_current(_read_stamp(stamp, of, now), now):
        with exclusive(home.run / "demo-data.lock", doing="writing the demo's files"):
            since = _read_stamp(stamp, of, now)
            if not _is_current(since, now):
                (folder / _METER).mkdir(mode=0o700, parents=True, exist_ok=True)
                _write_meter(folder / _METER, settings, since, now)
                _replace(folder / _DIARY, lambda file: _write_diary(file, settings, now))
                _replace(stamp, lambda file: file.write_text(f"{now} {of}"))
    return _ADDRESSES[demo](folder)


def _read_stamp(stamp: Path, of: str, now: int) -> int | None:
    """Return when the files were written last; None if never, for other settings, or after `now`."""
    if not stamp.exists():
        return None
    written, _, kind = stamp.read_text().partition(" ")
    return int(written) if kind == of and int(written) <= now else None


def _is_current(written: int | None, now: int) -> bool:
    return written is not None and now - written < _CURRENT_MS


def _write_meter(folder: Path, settings: Settings, since: int | None, now: int) -> None:
    """Write a file for each day with rows since the last time, else since the start date."""
    zone, first = settings.zone, settings.start_date
    if since is not None:
        first = max(first, _to_local(since, zone).date())
    replay, sticks = meals.finger_sticks()
    days: dict[dt.date, list[str]] = defaultdict(list)
    for index, ms in replay.newest_first(_to_ms(first, zone), now + 1):
        stick, at = sticks[index], _to_local(ms, zone)
        line = f"{ms // 1000},{at:%Y-%m-%d %H:%M:%S},{stick.glucose_mg_dl},{stick.marker},{_SERIAL}\n"
        line = f"{ms // 1000},{at:%Y-%m-%d %H:%M:%S}\n" if stick.is_cut else line
        days[at.date()] += [line] * (2 if stick.is_twice else 1)
    for day, lines in days.items():
        file, text = folder / f"meter_{day}.csv", _HEADER + "".join(reversed(lines))
        ended = min(_to_ms(day + dt.timedelta(days=1), zone), now - _CURRENT_MS) / 1000

        def write(new: Path, text: str = text, ended: float = ended) -> None:
            new.write_text(text)
            os.utime(new, (ended, ended))  # the meter's, and not that of a file that may still be written

        if not file.exists() or file.read_text() != text:
            _replace(file, write)
    if since is None:
        for file in {*folder.iterdir()} - {folder / f"meter_{day}.csv" for day in days}:
            file.unlink()


def _write_diary(file: Path, settings: Settings, now: int) -> None:
    replay, entries = meals.meals()
    rows = []
    for index, ms in replay.newest_first(_to_ms(settings.start_date, settings.zone), now + 1):
        entry = entries[index]
        carbs, updated = entry.carbs_g, ms
        if entry.corrected_g is not None and ms + entry.delay_ms <= now:
            carbs, updated = entry.corrected_g, ms + entry.delay_ms
        rows.append((ms // 1000, ms, entry.name, carbs, entry.insulin_units, updated))
    file.unlink(missing_ok=True)
    with sqlite3.connect(file, isolation_level=None) as database:
        database.execute("pragma journal_mode = off")
        database.execute("pragma synchronous = off")
        database.execute("begin")
        database.execute(_CREATE)
        database.executemany("insert into entries values (?, ?, ?, ?, ?, ?)", rows)
        database.execute("create index entries_recorded_at on entries (recorded_at)")
        database.execute("commit")
    database.close()


def _replace(file: Path, write: Callable[[Path], object]) -> None:
    new = file.with_name(f".{file.name}.{os.getpid()}.{threading.get_ident()}")
    write(new)
    new.replace(file)


def _to_ms(day: dt.date, zone: ZoneInfo) -> int:
    return int(dt.datetime.combine(day, dt.time(), zone).timestamp() * 1000)


def _to_local(ms: int, zone: ZoneInfo) -> dt.datetime:
    return dt.datetime.fromtimestamp(ms / 1000, zone)
