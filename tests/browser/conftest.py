"""Dagster's pages in a real browser, over `millpond up` and a source that serves what a test gives it."""

from __future__ import annotations

import datetime as dt
import shutil
import subprocess
import sys
from collections.abc import Iterator

import dagster as dg
import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright
from served_days import BAD, READINGS, WEEK

from fake_source import Entries, Events, FakeSource, event, fake_source, reading
from millpond.instance.home import open_instance
from millpond.runtime.down import down
from millpond.runtime.supervised_parts import dagster_url
from millpond.settings import process_environment, settings
from project_folders import sources_at

SECONDS = 180
"""How long a page may take to show what a test waits for, on a machine with better things to do."""

_BROWSER = "MILLPOND_TEST_CHROMIUM"
_CANDIDATES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_PATH = process_environment().get(_BROWSER)
"""Read before the tests' own environment leaves it out."""


def chromium() -> str:
    """Return the browser's path; fails the test where there is none, rather than passing it over."""
    found = _PATH or next(filter(None, map(shutil.which, _CANDIDATES)), None)
    if found is None:
        pytest.fail(
            "these tests need Chromium: `make browser` installs it, or set MILLPOND_TEST_CHROMIUM to one",
            pytrace=False,
        )
    return found


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    flags = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--disable-background-networking"]
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=chromium(), args=flags)
        yield found
        found.close()


@pytest.fixture(scope="session")
def source() -> Iterator[FakeSource]:
    with fake_source() as server:
        rows = [reading(n, day) for day in WEEK.days for n in range(READINGS)]
        rows += [reading(n, BAD, lux=None if n % 2 else 100) for n in range(READINGS)]
        entries, noon = Entries(rows), dt.time(12, tzinfo=dt.UTC)
        days = [WEEK.start - dt.timedelta(days=1), *WEEK.days]
        made = [event(n, dt.datetime.combine(day, noon)) for n, day in enumerate(days)]
        events = Events(made, server.url)
        server.serve = lambda request: (events if "events" in request.path else entries)(request)
        yield server


@pytest.fixture(scope="session")
def address(browser: Browser, source: FakeSource) -> Iterator[str]:
    """The address of Dagster's pages, with every part up and automation paused.

    Of two runs that overlap, Dagster shows the check of the one that was planned last, which may not be the
    check of the last materialization.
    """
    with sources_at(source.url), pytest.MonkeyPatch.context() as environment:
        environment.setenv("MILLPOND_DAGSTER_PORT", "0")
        environment.setenv("MILLPOND_CATALOG_PORT", "0")
        environment.setenv("MILLPOND_DASHBOARD", "true")
        environment.setenv("MILLPOND_DASHBOARD_PORT", "0")
        settings.cache_clear()
        for command in (["up", "--detach"], ["automation", "pause"]):
            subprocess.run(
                [sys.executable, "-m", "millpond.cli.main", *command],
                env=process_environment(),
                check=True,
                timeout=240,
            )
        yield dagster_url(settings())
        down(settings())
    settings.cache_clear()


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Page]:
    """A page whose address is Dagster's, and in which nothing went wrong that the pages would show."""
    expect.set_options(timeout=SECONDS * 1000)
    context = browser.new_context(base_url=address, viewport={"width": 1600, "height": 1000})
    context.set_default_timeout(SECONDS * 1000)
    errors: list[str] = []
    found = context.new_page()
    found.on("pageerror", lambda error: errors.append(str(error)))
    yield found
    assert found.get_by_text("PythonError").count() == 0
    assert errors == []
    context.close()


@pytest.fixture
def recorded(address: str) -> Iterator[dg.DagsterInstance]:
    with open_instance() as found:
        yield found
