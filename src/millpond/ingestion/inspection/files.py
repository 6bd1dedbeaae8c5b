"""Looks at a folder of files: which belong together, the day in their names, how they are written."""

from __future__ import annotations

import datetime as dt
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, Final

from millpond.errors import ConfigError
from millpond.ingestion.files.columns import DATE as FILE_DATE
from millpond.ingestion.files.pattern import Pattern
from millpond.ingestion.files.place import Entry, Place, is_hidden, open_place
from millpond.ingestion.files.spec import COMPRESSED, DATE
from millpond.ingestion.inspection.fields import Field, newest_day
from millpond.ingestion.inspection.file_sample import FileSample, kind_of, sample_file
from millpond.ingestion.inspection.options import UNHARMED, Options
from millpond.ingestion.inspection.proposal import Proposal
from millpond.ingestion.inspection.roles import choose_key, choose_time
from millpond.ingestion.schema import column_name
from millpond.settings import Settings

_FORMS: Final = {
    "%Y-%m-%d": r"(19|20)\d\d-[01]\d-[0-3]\d",
    "%Y_%m_%d": r"(19|20)\d\d_[01]\d_[0-3]\d",
    "%Y/%m/%d": r"(19|20)\d\d/[01]\d/[0-3]\d",
    "%Y.%m.%d": r"(19|20)\d\d\.[01]\d\.[0-3]\d",
    "%Y%m%d": r"(?<!\d)(19|20)\d\d[01]\d[0-3]\d(?!\d)",
    "%d-%m-%Y": r"[0-3]\d-[01]\d-(19|20)\d\d",
    "%d.%m.%Y": r"[0-3]\d\.[01]\d\.(19|20)\d\d",
}
_USUAL: Final = "%Y-%m-%d"
_MOST_FILES: Final = 20_000
_FILE_DAY: Final = Field(FILE_DATE, "file_date", "date", unit="date")


@dataclass(frozen=True)
class _Set:
    pattern: Pattern
    entries: Sequence[Entry]
    others: int = 0
    """Data files in the folder that are none of them."""

    @property
    def newest(self) -> Entry:
        """The file of the latest day, else the one that was modified last."""
        return max(self.entries, key=lambda each: (self.pattern.day(each.path) or dt.date.min, each.modified))


def inspect_files(options: Options, configured: Settings) -> Proposal:
    """Return the source of the files below `options.url`.

    Raises ConfigError for what cannot be chosen, a SourceError if the folder cannot be read.
    """
    url, path = _split(options, configured)
    place = open_place(options.name, url, configured)
    files = _choose(place, path)
    newest = files.newest
    kind = kind_of(newest.path) or ""
    sample = sample_file(place, newest.path, kind)
    dated = DATE in files.pattern.path
    fields = list(sample.fields)
    time = choose_time(fields, options.time)
    if time is None and dated:
        time = _FILE_DAY
        fields.append(_FILE_DAY)
    key = choose_key(sample.fields, sample.rows, time if time in sample.fields else None, options.key)
    day = files.pattern.day(newest.path) if dated else newest_day(sample.rows, time, configured.zone)
    declared: dict[str, Any] = {"path": files.pattern.path}
    if dated and files.pattern.date_format != _USUAL:
        declared["date_format"] = files.pattern.date_format
    if kind_of(files.pattern.path) is None:
        declared["format"] = kind
    naive = time is not None and time.unit == "iso" and _is_naive(sample, time)
    return Proposal(
        source=options.name,
        table=options.free_name(options.table or _table_name(files.pattern.path)),
        connection={"files": {"url": "{url}"}},
        parts={"files": declared | sample.declared, "news": {"every": "5m"}},
        fields=fields,
        key=key,
        time=time,
        unit="local" if naive and configured.timezone != "UTC" else None,
        url=url,
        newest=day,
        notes=[
            f"files: {len(files.entries):,} like {files.pattern.path}, sampled: {newest.path}",
            *([f"left out: {files.others:,} other data files of the folder"] if files.others else []),
            f"key: {', '.join(field.column for field in key)} (unique in {len(sample.rows)} rows)",
            f"time: {_tell_time(time, dated)}",
        ],
    )


def read_by_rows(proposal: Proposal) -> Proposal:
    """Return the source in which the rows of a file say their days, where the file's name did."""
    declared = dict(proposal.parts["files"])
    form = str(declared.pop("date_format", _USUAL))
    stars = "/".join("*" for _ in form.split("/"))
    declared = {**declared, "path": declared["path"].replace(DATE, stars), "date": "data"}
    note = "days: those of the rows (date: data), as files have rows of other days than the one in their name"
    notes = [each for each in proposal.notes if not each.startswith("time: ")]
    time = f"time: {proposal.time.column}" if proposal.time else ""
    return replace(proposal, parts={**proposal.parts, "files": declared}, notes=[*notes, time, note])


def _tell_time(time: Field | None, dated: bool) -> str:
    if time is None:
        return "none, so the table is loaded whole each time"
    if time is _FILE_DAY:
        return "the day in the file's name"
    return time.column + (", and the day in the file's name says which file to read" if dated else "")


def _split(options: Options, configured: Settings) -> tuple[str, str | None]:
    """Return folder and path below it; an address may lead to a file."""
    url = options.address("./data/drop").rstrip("/")
    there = configured.project / Path(url.removeprefix("file://")).expanduser()
    if options.path is None and ("://" not in url or url.startswith("file://")) and there.is_file():
        folder, _, name = url.rpartition("/")
        return folder or ".", name
    if options.path is None and "://" in url and kind_of(url):
        folder, _, name = url.rpartition("/")
        return folder, name
    return url, options.path


def _choose(place: Place, path: str | None) -> _Set:
    found = list(islice((e for e in place.entries("", None) if not _is_left_out(e.path)), _MOST_FILES))
    patterns = _patterns(path) if path else _proposed(found)
    sets = [_Set(each, [e for e in found if each.matches(e.path)]) for each in patterns]
    sets = sets if path else _merge_packed(sets, found)
    best = max(sets, key=lambda each: len(each.entries), default=None)
    if best is None or not best.entries:
        names = ", ".join(e.path for e in found[:8]) or "none"
        raise ConfigError(
            f"no files are like {path}" if path else "the folder has no data files",
            unharmed=UNHARMED,
            next_step=f'name them by --path, for example --path "sales_{{date}}.csv"; there are {names}',
        )
    rivals = {each.pattern.path for each in sets if len(each.entries) == len(best.entries)}
    if not path and len(rivals) > 1:
        raise ConfigError(
            "the folder has files of several tables",
            unharmed=UNHARMED,
            next_step=f'choose one: --path "{min(rivals)}"; there are {", ".join(sorted(rivals)[:8])}',
        )
    return replace(best, others=len(found) - len(best.entries))


def _merge_packed(sets: Sequence[_Set], found: Sequence[Entry]) -> list[_Set]:
    """Return `sets` in which files and compressed files of one name are together, where * takes no others."""
    together: dict[Pattern, list[_Set]] = {}
    for each in sets:
        plain = Pattern(_unpacked(each.pattern.path), each.pattern.date_format)
        together.setdefault(plain, []).append(each)
    merged: list[_Set] = []
    for plain, parts in together.items():
        wide = Pattern(f"{plain.path}*", plain.date_format)
        entries = [entry for each in parts for entry in each.entries]
        if len(parts) == 1 or len(entries) != sum(wide.matches(entry.path) for entry in found):
            merged += parts
        else:
            merged.append(_Set(wide, entries))
    return merged


def _unpacked(path: str) -> str:
    return next((path.removesuffix(end) for end in COMPRESSED if path.lower().endswith(end)), path)


def _is_left_out(path: str) -> bool:
    return any(map(is_hidden, path.split("/"))) or kind_of(path) is None


def _patterns(path: str) -> list[Pattern]:
    if DATE in path:
        return [Pattern(path, form) for form in _FORMS]
    general = _generalise(path)
    return [general.as_pattern if DATE in general.pattern and "*" not in path else Pattern(path, _USUAL)]


@dataclass(frozen=True)
class _General:
    pattern: str
    form: str

    @property
    def as_pattern(self) -> Pattern:
        return Pattern(self.pattern, self.form)


def _generalise(path: str) -> _General:
    """Return `path` with {date} in place of a day, or with * in place of a number where there is none."""
    for form, regex in _FORMS.items():
        if match := re.search(regex, path):
            return _General(f"{path[: match.start()]}{DATE}{path[match.end() :]}", form)
    return _General(re.sub(r"\d+(?=[^/]*$)", "*", path), _USUAL)


def _proposed(found: Iterable[Entry]) -> list[Pattern]:
    counted = Counter(_generalise(entry.path) for entry in found)
    return [each.as_pattern for each, _ in counted.most_common()]


def _table_name(path: str) -> str:
    name = path.rpartition("/")[2]
    for ending in COMPRESSED:
        name = name.removesuffix(ending)
    name = name.rstrip("*").rpartition(".")[0].replace(DATE, "").replace("*", "")
    if not column_name(name):
        name = next((part for part in reversed(path.split("/")[:-1]) if column_name(part)), "")
        name = name.replace(DATE, "")
    return column_name(name)


def _is_naive(sample: FileSample, time: Field) -> bool:
    values = [str(row.get(time.name)) for row in sample.rows[:50]]
    return not any(re.search(r"(Z|[+-]\d\d:?\d\d)$", value.strip()) for value in values)
