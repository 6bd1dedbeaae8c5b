"""Dagster's web pages, the runbook, our backfills: `python -m millpond.cli.pages`, arguments as Dagster's."""

from __future__ import annotations

from millpond.backfill.page_records import LedgerRecords
from millpond.internals.dagster_on_demand import webserver_cli
from millpond.resources.command_backfills import show_backfills
from millpond.resources.page_backfills import launch_in_few_runs
from millpond.resources.runbook_page import serve_runbook


def begin() -> None:
    """Be Dagster's web pages, with the runbook and the backfills of commands; the arguments are Dagster's."""
    serve_runbook()
    launch_in_few_runs()
    show_backfills(LedgerRecords())
    webserver_cli()  # type: ignore[no-untyped-call]


if __name__ == "__main__":
    begin()
