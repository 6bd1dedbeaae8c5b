"""What may be declared of files: where they are, which are a table's, and how they are written."""

from __future__ import annotations

import datetime as dt
import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, field_validator, model_validator

from millpond.ingestion.part import Part
from millpond.ingestion.rest.placeholders import Template
from millpond.ingestion.window import Duration

FORMATS = {
    ".csv": "csv",
    ".tsv": "csv",
    ".txt": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".parquet": "parquet",
    ".xlsx": "excel",
    ".xls": "excel",
}
COMPRESSED = (".gz", ".zst", ".bz2", ".xz")
DATE = "{date}"
_DATE_PARTS = re.compile(r"%[YmdjHMS]")


class Folder(Part):
    """Where the files of a source are."""

    url: Template = Field(
        "{url}",
        description="a folder, absolute or below the project, or an address that fsspec opens, as s3://…",
        examples=['url: "{url}"', "url: data/drop", "url: s3://bucket/prefix"],
    )


def _encoding(name: str) -> str:
    try:
        "a".encode(name)
    except (LookupError, UnicodeError):
        raise ValueError(f"there is no encoding {name!r}; for example encoding: latin-1") from None
    return name


class Csv(Part):
    """How CSV files are written."""

    delimiter: str | None = Field(
        None,
        min_length=1,
        max_length=1,
        description="default: that of , ; tab and | under which the first line has most of the columns",
        examples=['delimiter: ";"'],
    )
    quote: str = Field(
        '"', max_length=1, description="sign around texts that hold the delimiter", examples=['quote: "\'"']
    )
    escape: str | None = Field(
        None,
        max_length=1,
        description="sign before a quote within a text; default: the quote itself",
        examples=['escape: "\\\\"'],
    )
    header: bool = Field(
        True, description="whether the first line names the fields", examples=["header: false"]
    )
    skip: int = Field(0, ge=0, description="lines before the header", examples=["skip: 2"])
    skip_footer: int = Field(
        0,
        ge=0,
        description="lines at the end that are no rows, such as a total; blank lines do not count",
        examples=["skip_footer: 1"],
    )
    comment: str | None = Field(
        None, max_length=1, description="sign that begins a comment line", examples=['comment: "#"']
    )
    null: tuple[str, ...] = Field(
        (), strict=False, description="texts that mean no value", examples=["null: [NA, n/a]"]
    )
    decimal: Literal[".", ","] = Field(".", description="sign before decimals", examples=['decimal: ","'])


class FileSet(Part):
    """The files of a table, below the source's folder."""

    path: str = Field(
        min_length=1,
        description="wildcards *, ** and ?; {date} stands for the day in the name (see date_format)",
        examples=['path: "sales_{date}.csv"', 'path: "**/*.parquet"'],
    )
    format: Literal["csv", "jsonl", "json", "parquet", "excel"] | None = Field(
        None, description="default: by the name's ending", examples=["format: csv"]
    )
    date: Literal["name", "data", "modified"] | None = Field(
        None,
        description="what says which days a file has rows of: its name, its rows (all files are read), or the"
        " time it was modified; default: name where path has {date}, else data",
        examples=["date: data"],
    )
    date_format: str = Field(
        "%Y-%m-%d", description="form of {date}, as in strftime", examples=["date_format: '%Y%m%d'"]
    )
    stable_after: Duration = Field(
        dt.timedelta(seconds=5),
        validate_default=True,
        description="how long a file must not have changed before it is read; loads wait up to 10 s for that",
        examples=["stable_after: 1m"],
    )
    encoding: Annotated[str, AfterValidator(_encoding)] = Field(
        "utf-8",
        description="charset of csv, jsonl and json files; a mark at the beginning of a file comes before it",
        examples=["encoding: latin-1"],
    )
    csv: Csv = Field(
        default_factory=Csv, description="how CSV files are written", examples=['csv: { delimiter: ";" }']
    )
    data_selector: str = Field(
        "$",
        min_length=1,
        description="JSONPath of the list of rows (json)",
        examples=["data_selector: items"],
    )
    sheet: str | None = Field(None, description="default: the first (excel)", examples=["sheet: Sales"])

    @field_validator("path")
    @classmethod
    def _stays_in_the_folder(cls, path: str) -> str:
        if path.startswith(("/", "~")) or "\\" in path or "://" in path or ".." in path.split("/"):
            raise ValueError('must be a relative path without ..; for example path: "sales_{date}.csv"')
        if unknown := [name for name in re.findall(r"{.*?}", path) if name != DATE]:
            raise ValueError(f'unknown placeholder {unknown[0]}; for example path: "sales_{{date}}.csv"')
        return path

    @field_validator("date_format")
    @classmethod
    def _names_a_day(cls, form: str) -> str:
        parts = set(_DATE_PARTS.findall(form))
        if not ({"%Y", "%j"} <= parts or {"%Y", "%m", "%d"} <= parts):
            raise ValueError("must name a whole day; for example date_format: '%Y%m%d'")
        return form

    @model_validator(mode="after")
    def _fits(self) -> FileSet:
        if (self.days_from == "name") != (DATE in self.path):
            raise ValueError(
                'date: name needs {date} in path, and {date} needs it; for example path: "sales_{date}.csv"'
            )
        if not self.format and not self.kind:
            raise ValueError(
                f"the ending of {self.path} names no format; set format, for example format: csv"
            )
        return self

    @property
    def days_from(self) -> str:
        """What says which days a file has rows of."""
        return self.date or ("name" if DATE in self.path else "data")

    @property
    def kind(self) -> str | None:
        """The format of the files."""
        name = self.path.lower()
        for ending in COMPRESSED:
            name = name.removesuffix(ending)
        return self.format or next((kind for end, kind in FORMATS.items() if name.endswith(end)), None)
