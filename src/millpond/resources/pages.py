"""Dagster's web pages and the runbook: `python -m millpond.resources.pages`, arguments as Dagster's."""

from __future__ import annotations

from dagster_webserver.cli import main

from millpond.resources.runbook_page import serve_runbook

if __name__ == "__main__":
    serve_runbook()
    main()  # type: ignore[no-untyped-call]
