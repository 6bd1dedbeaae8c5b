"""Addresses in alerts, as the people who get them reach them."""

from __future__ import annotations

from millpond.runtime.dagster_parts import dagster_url
from millpond.settings import Settings, settings


def pages(configured: Settings) -> str:
    """Return the base address of Dagster's pages: the public one, else the local one."""
    return configured.public_url or dagster_url(configured)


def runbook_page(kind: str) -> str:
    """Return the address of the runbook's entry for this kind of alert."""
    configured = settings()
    return f"{configured.runbook_url or f'{pages(configured)}/runbook'}#{kind}"
