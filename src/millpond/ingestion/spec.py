"""What may be declared of a source in `sources/`: where it is, and its tables."""

from __future__ import annotations

from typing import Final, Literal

from pydantic import Field, model_validator

from millpond.ingestion.files.spec import Folder
from millpond.ingestion.part import Part
from millpond.ingestion.rest.connection import Rest
from millpond.ingestion.rest.table_rules import check_window
from millpond.ingestion.sql.spec import Database
from millpond.ingestion.table_spec import KINDS, SourceTable
from millpond.ingestion.window import Identifier

__all__ = ["SourceSpec", "SourceTable"]

_DEMO_KINDS: Final = {"nightscout": "rest", "github": "rest", "meter": "files", "diary": "sql"}


class SourceSpec(Part):
    """A system that data comes from, as a file in `sources/` declares it."""

    source: Identifier = Field(description="name, the same as the file's", examples=["source: nightscout"])
    description: str = Field(
        "",
        description="what it is, for Dagster's pages",
        examples=["description: Continuous glucose monitoring"],
    )
    demo: Literal["nightscout", "github", "meter", "diary"] | None = Field(
        None,
        description="data that the demo has for it where no URL is set: over the protocol of Nightscout or"
        " GitHub, files of a meter, or the database of a diary",
        examples=["demo: nightscout"],
    )
    rest: Rest | None = Field(None, description="an HTTP API", examples=['rest: { base_url: "{url}" }'])
    files: Folder | None = Field(
        None,
        description="a folder, an S3 prefix or what else fsspec opens",
        examples=['files: { url: "{url}" }'],
    )
    sql: Database | None = Field(None, description="a database", examples=['sql: { url: "{url}" }'])
    tables: tuple[SourceTable, ...] = Field(
        min_length=1,
        strict=False,
        description="list of its tables",
        examples=["tables: [{ name: glucose_entries, … }]"],
    )

    @model_validator(mode="after")
    def _tables_are_distinct(self) -> SourceSpec:
        seen: set[str] = set()
        for table in self.tables:
            if table.name in seen:
                raise ValueError(f"two tables are called {table.name}; give each its own name")
            seen.add(table.name)
        return self

    @model_validator(mode="after")
    def _has_one_kind(self) -> SourceSpec:
        kinds = [kind for kind in KINDS if getattr(self, kind)]
        if len(kinds) > 1:
            raise ValueError(
                f"a source is of one kind, not {' and '.join(kinds)}; for example rest: {{ base_url: "
                '"{url}" }'
            )
        if self.demo and self.kind != _DEMO_KINDS[self.demo]:
            raise ValueError(
                f"demo: {self.demo} is for a source with {_DEMO_KINDS[self.demo]}; leave it out;"
                " for example demo: nightscout"
            )
        for table in self.tables:
            self._check_table(table)
        return self

    def _check_table(self, table: SourceTable) -> None:
        needed = KINDS.get(self.kind, "resource")
        given = [name for name in (*KINDS.values(), "resource") if getattr(table, name)]
        if given not in ([needed], []) or (not given and needed != "sql"):
            raise ValueError(
                f"the table {table.name} of a source with {self.kind} needs {needed}"
                + (f", not {', '.join(n for n in given if n != needed)}" if given else "")
                + f"; for example {SourceTable.model_fields[needed].examples[0]}"  # type: ignore[index]
            )
        if self.kind != "rest":
            for name in ("page",) if self.kind == "files" else ("page", "news"):
                if getattr(table, name):
                    raise ValueError(
                        f"{name} of {table.name} is for sources with rest; leave it out;"
                        f" for example {self.kind}: {{}}"
                    )
            return
        check_window(table, self.tables)

    @property
    def kind(self) -> str:
        """What the source is: rest, files, sql or python."""
        return next((kind for kind in KINDS if getattr(self, kind)), "python")

    @property
    def http(self) -> Rest:
        """The client, of a source with `rest`."""
        assert self.rest
        return self.rest

    @property
    def location(self) -> str:
        """The address of the source, with placeholders; empty where it has none."""
        if self.rest:
            return self.rest.base_url
        place = self.files or self.sql
        return place.url if place else ""
