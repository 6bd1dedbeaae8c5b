"""A source that is proposed: its file, as short as it can be."""

from __future__ import annotations

import datetime as dt
import re
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final

import yaml
from pydantic import ValidationError

from millpond.errors import ConfigError
from millpond.ingestion.inspection.fields import Field
from millpond.ingestion.json_schema import FILE
from millpond.ingestion.schema import MOST_ADDED
from millpond.ingestion.spec import SourceSpec, SourceTable

_WIDTH: Final = 120
DAILY: Final = "0 6 * * *"
HOURLY: Final = "0 * * * *"
MOST_LINES: Final = 12
"""Lines of a file whose columns are left to the source, where it knows their types."""
_PLAIN: Final = re.compile(r"[A-Za-z_][\w./()-]*( [\w./()-]+)*")


@dataclass(frozen=True)
class Proposal:
    """A source with one table, as it was found.

    `connection` is the part that says where the source is, `parts` the keys of the table between `key` and
    `columns`. `url`, `user` and `token` go to the environment. `notes` say why something is as it is.
    """

    source: str
    table: str
    connection: Mapping[str, Any]
    parts: Mapping[str, Any]
    fields: Sequence[Field]
    key: Sequence[Field]
    time: Field | None
    url: str | None = None
    user: str | None = None
    token: str | None = None
    unit: str | None = None
    """Unit of the time where it is another than that of its field."""
    newest: dt.date | None = None
    """The newest day before today that rows of the sample are of."""
    notes: list[str] = field(default_factory=list)
    comments: Sequence[str] = ()
    """Lines below the table that may be used in place of what it says."""

    suffix: ClassVar[str] = ".yaml"

    def declared(self) -> Sequence[Field]:
        """Return the fields that the file names: all, unless it gets long and a load adds them anyway."""
        if len(self._write(self.fields).splitlines()) <= MOST_LINES:
            return self.fields
        added = [f for f in self.fields if f.reflected and f not in (*self.key, self.time)][:MOST_ADDED]
        return [field for field in self.fields if field not in added]

    def content(self) -> dict[str, Any]:
        """Return what the file says."""
        return self._content(self.declared())

    def _content(self, fields: Sequence[Field]) -> dict[str, Any]:
        unit = (self.unit or self.time.unit) if self.time else None
        when = {"column": self.time.column} if self.time else {}
        when |= {"unit": unit} if unit not in (None, "iso") else {}
        table = {
            "name": self.table,
            "key": [each.column for each in self.key],
            **({"event_time": when} if when else {"load": "whole"}),
            **self.parts,
            "columns": {each.column: each.content() for each in fields},
        }
        return {"source": self.source, **self.connection, "tables": [table]}

    def text(self) -> str:
        """Return the file in `sources/`."""
        return self._write(self.declared())

    def _write(self, fields: Sequence[Field]) -> str:
        comments = "".join(f"    # {line}\n" for line in self.comments)
        return f"# yaml-language-server: $schema={FILE}\n{render(self._content(fields))}{comments}"

    def table_text(self) -> str:
        """Return the table as it stands in the file below `tables:`."""
        return self.text().partition("\ntables:\n")[2]

    def spec(self) -> SourceSpec:
        """Return the source as Millpond reads it; raises ConfigError where it does not."""
        try:
            return SourceSpec.model_validate(yaml.safe_load(self.text()))
        except ValidationError as error:
            said = error.errors(include_url=False)[0]["msg"].removeprefix("Value error, ")
            raise ConfigError(
                f"no source can be proposed for {self.source}: {said}",
                unharmed="everything; nothing was written",
                next_step="write the file in sources/ by hand; `millpond sources schema` describes each key",
            ) from None

    def table_spec(self) -> SourceTable:
        """Return the table as Millpond reads it."""
        return self.spec().tables[0]


def render(content: Mapping[str, Any], indent: str = "") -> str:
    """Return a mapping as YAML: what fits into a line stands in one."""
    lines: list[str] = []
    for key, value in content.items():
        line = f"{indent}{_flow(key)}: {_flow(value)}"
        if isinstance(value, list) and value and all(isinstance(each, Mapping) for each in value):
            lines.append(f"{indent}{key}:\n")
            for each in value:
                if key == "columns" and len(row := f"{indent}  - {_flow(each)}\n") <= _WIDTH:
                    lines.append(row)
                    continue
                block = render(each, f"{indent}    ")
                lines.append(f"{indent}  - {block[len(indent) + 4 :]}")
        elif isinstance(value, Mapping) and value and len(line) > _WIDTH and key == "columns":
            parts = [f"{_flow(name)}: {_flow(each)}," for name, each in value.items()]
            text = " ".join(each.replace(" ", "\0") for each in parts)
            lines += _wrap(f"{indent}columns: {{ ", f"{text[:-1]} }}", indent)
        elif isinstance(value, Mapping) and value and len(line) > _WIDTH:
            lines.append(f"{indent}{key}:\n{render(value, f'{indent}  ')}")
        else:
            lines.append(f"{line}\n")
    return "".join(lines)


def _wrap(begin: str, text: str, indent: str) -> list[str]:
    """Return a flow mapping as lines, broken between its keys."""
    found = textwrap.wrap(
        begin.replace(" ", "\0") + text,
        _WIDTH,
        subsequent_indent=f"{indent}  ",
        break_long_words=False,
        break_on_hyphens=False,
    )
    return [each.replace("\0", " ") + "\n" for each in found]


def _flow(value: Any) -> str:
    if isinstance(value, Mapping):
        inner = ", ".join(f"{_flow(key)}: {_flow(each)}" for key, each in value.items())
        return f"{{ {inner} }}" if inner else "{}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(_flow(each) for each in value)}]"
    if isinstance(value, str):
        plain = _PLAIN.fullmatch(value) and yaml.safe_load(value) == value
        return value if plain else yaml.safe_dump(value, default_style='"', width=10_000).strip()
    return yaml.safe_dump(value).split("\n")[0]
