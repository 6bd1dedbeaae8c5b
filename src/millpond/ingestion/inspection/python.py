"""A source in Python: a file with a function that yields rows, to be changed into your own."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final

from millpond.ingestion.inspection.fields import Field
from millpond.ingestion.inspection.options import Options
from millpond.ingestion.inspection.proposal import Proposal
from millpond.ingestion.reading import read_source
from millpond.ingestion.spec import SourceSpec
from millpond.partitions import latest_complete_day
from millpond.settings import Settings

_CODE: Final = '''\
"""{source}: rows that Python code yields. Replace the function's body by your own, or use a dlt resource."""

import datetime as dt
from collections.abc import Iterator
from typing import Any

from millpond.ingestion.spec import SourceSpec


def {table}(start: dt.datetime, end: dt.datetime) -> Iterator[dict[str, Any]]:
    """Yield the rows from `start` up to `end`; `url`, `user` and `token` may be parameters too."""
    at = start
    while at < end:
        yield {{"id": int(at.timestamp()), "at": at.isoformat(), "value": at.hour / 2}}
        at += dt.timedelta(hours=1)


source = SourceSpec.model_validate(
    {{
        "source": "{source}",
        "tables": [
            {{
                "name": "{table}",
                "key": ["id"],
                "event_time": {{"column": "at"}},
                "resource": {table},
                "cadence": {{"cron": "0 6 * * *"}},
                "columns": {{"id": "int", "at": "timestamp", "value": "number"}},
            }}
        ],
    }}
)
'''


@dataclass(frozen=True)
class PythonProposal(Proposal):
    """A source as a Python file."""

    suffix: ClassVar[str] = ".py"

    def text(self) -> str:
        """Return the file in `sources/`."""
        return _CODE.format(source=self.source, table=self.table)

    def spec(self) -> SourceSpec:
        """Return the source as Millpond reads it."""
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / f"{self.source}.py"
            file.write_text(self.text(), encoding="utf-8")
            return read_source(file)


def propose_python(options: Options, configured: Settings) -> Proposal:
    """Return a source whose function yields a row an hour."""
    columns = [("id", "int", None), ("at", "timestamp", "iso"), ("value", "number", None)]
    fields = [Field(name, name, kind, unit=unit) for name, kind, unit in columns]
    return PythonProposal(
        source=options.name,
        table=options.free_name(options.table or options.name),
        connection={},
        parts={},
        fields=fields,
        key=fields[:1],
        time=fields[1],
        url=options.url,
        newest=latest_complete_day(configured.zone),
        notes=["an example that yields a row an hour: put your own code into it"],
    )
