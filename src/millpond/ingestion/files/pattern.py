"""Which files are a table's: wildcards in their paths, and the day in their names."""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from millpond.ingestion.files.place import is_hidden
from millpond.ingestion.files.spec import DATE

_DIGITS: Final = {"Y": 4, "m": 2, "d": 2, "j": 3, "H": 2, "M": 2, "S": 2}
_ISO: Final = "%Y-%m-%d"
"""The form that most names have, which Python reads at once."""
_TOKEN: Final = re.compile(r"\{date\}|\*\*/|\*\*|\*|\?|[^*?{]+|.")
_WILD: Final = re.compile(r"[*?]|\{date\}")


@dataclass(frozen=True)
class Pattern:
    """Paths with the wildcards *, ** (any number of folders) and ?, and {date} in the form `date_format`."""

    path: str
    date_format: str

    @property
    def folder(self) -> str:
        """The folder below which all paths are."""
        found = _WILD.search(self.path)
        return self.path[: found.start() if found else None].rpartition("/")[0]

    @property
    def depth(self) -> int | None:
        """How many folders below `folder` paths may lead; None: any number."""
        below = self.path.removeprefix(self.folder).lstrip("/").replace(DATE, self.date_format)
        return None if "**" in below else below.count("/")

    def matches(self, path: str) -> bool:
        """Return whether a file is one of the table's; hidden and temporary ones are not, unless named."""
        return self._regex.fullmatch(path) is not None and not self._is_hidden(path)

    def day(self, path: str) -> dt.date | None:
        """Return the day in the name of a file that matches; None if there is none, or it does not exist."""
        found = self._regex.fullmatch(path)
        if not found or "date" not in self._regex.groupindex:
            return None
        text = found["date"]
        try:
            if self.date_format == _ISO and text.isascii():
                return dt.date.fromisoformat(text)
            return dt.datetime.strptime(text, self.date_format).date()  # noqa: DTZ007 - a day
        except ValueError:
            return None

    def _is_hidden(self, path: str) -> bool:
        named = self.path.split("/")
        return any(
            is_hidden(part) and not any(_says(each, part) for each in named) for part in path.split("/")
        )

    @cached_property
    def _regex(self) -> re.Pattern[str]:
        found, dated = [], False
        for token in _TOKEN.findall(self.path):
            if token == DATE:
                found.append("(?P=date)" if dated else f"(?P<date>{_date_regex(self.date_format)})")
                dated = True
            else:
                wild = {"**/": "(?:[^/]+/)*", "**": ".*", "*": "[^/]*", "?": "[^/]"}
                found.append(wild.get(token) or re.escape(token))
        return re.compile("".join(found), re.DOTALL)


def _says(named: str, part: str) -> bool:
    """Return whether the pattern `named` asks for what makes `part` hidden: how it begins, or ends."""
    return (part[0] in "._" and named[:1] == part[0]) or (
        part[0] not in "._" and named.rpartition(".")[2].lower() == part.rpartition(".")[2].lower()
    )


def _date_regex(form: str) -> str:
    parts = re.split(r"%(.)", form)
    found = [re.escape(parts[0])]
    for directive, text in zip(parts[1::2], parts[2::2], strict=True):
        found += [rf"\d{{{_DIGITS[directive]}}}" if directive in _DIGITS else "[^/]+?", re.escape(text)]
    return "".join(found)
