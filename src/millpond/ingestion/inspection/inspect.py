"""Picks how to look at a source by its kind, and what of it is shown first."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from typing import Any, Final

from millpond.errors import ConfigError
from millpond.ingestion.inspection.options import UNHARMED, Options
from millpond.ingestion.inspection.proposal import Proposal
from millpond.ingestion.inspection.sample import Sample, take_sample
from millpond.ingestion.reader import Reader, open_reader
from millpond.ingestion.reading import load_sources
from millpond.ingestion.results import WHOLE
from millpond.partitions import Window, latest_complete_day
from millpond.settings import Settings
from millpond.settings.sources import SourceSettings

KINDS: Final = ("rest", "file", "sql", "python")


def inspect(options: Options, configured: Settings) -> Proposal:
    """Return what is proposed for a source, with the account and password of the address that was typed.

    Raises ConfigError for what cannot be chosen, a SourceError if the source cannot be read.
    """
    found, (user, token) = _inspect(options, configured), options.account
    return replace(found, user=found.user or user, token=found.token or token)


def _inspect(options: Options, configured: Settings) -> Proposal:
    if options.kind == "sql":
        from millpond.ingestion.inspection.sql import inspect_sql

        return inspect_sql(options, with_address(configured, options.name, options.url))
    if options.kind == "rest":
        from millpond.ingestion.inspection.rest import inspect_rest

        return inspect_rest(options, configured)
    if options.kind == "file":
        from millpond.ingestion.inspection.files import inspect_files

        return inspect_files(options, configured)
    if options.kind == "python":
        from millpond.ingestion.inspection.python import propose_python

        return propose_python(options, configured)
    raise AssertionError(options.kind)


def check_kind(kind: str) -> None:
    """Raise ConfigError if there is no such kind of source."""
    if kind not in KINDS:
        raise ConfigError(
            f"there is no kind {kind!r}", unharmed=UNHARMED, next_step=f"choose among {', '.join(KINDS)}"
        )


def with_address(
    configured: Settings, name: str, url: str | None, token: str | None = None, user: str | None = None
) -> Settings:
    """Return the settings with the address, and the credential, of a source that they do not know yet."""
    known = configured.source(name).model_dump(exclude_none=True)
    given: dict[str, Any] = {"url": url, "token": token, "user": user}
    found = SourceSettings(**{**known, **{key: value for key, value in given.items() if value}})
    return configured.model_copy(update={"sources": {**configured.sources, name: found}})


def table_names(configured: Settings) -> dict[str, str]:
    """Return the raw tables that sources of the project declare, each with its source."""
    return {table.name: source.source for source in load_sources(configured) for table in source.tables}


def open_proposed(proposal: Proposal, configured: Settings) -> Reader:
    """Return the reader of what is proposed."""
    there = with_address(configured, proposal.source, proposal.url, proposal.token, proposal.user)
    spec = proposal.spec()
    return open_reader(spec, spec.tables[0], there)


def propose(options: Options, configured: Settings) -> tuple[Proposal, Sample]:
    """Return what is proposed for a source, and what a load of its newest days would find. Raises as both."""
    proposal = inspect(options, configured)
    sample = sample_newest(open_proposed(proposal, configured), proposal.newest, configured)
    if sample.total.outside and "{date}" in str(proposal.parts.get("files", {}).get("path", "")):
        from millpond.ingestion.inspection.files import read_by_rows

        proposal = read_by_rows(proposal)
        sample = sample_newest(open_proposed(proposal, configured), proposal.newest, configured)
    return proposal, sample


def sample_newest(reader: Reader, newest: dt.date | None, configured: Settings, limit: int = 5) -> Sample:
    """Return a sample of the newest day that has rows, and the two days before it."""
    if not reader.table.has_days:
        return take_sample(reader, WHOLE, configured, limit)
    last = newest or latest_complete_day(configured.zone)
    return take_sample(reader, Window.of_days(last - dt.timedelta(days=2), last), configured, limit)
