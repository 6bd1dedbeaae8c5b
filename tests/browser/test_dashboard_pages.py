"""The dashboard in a browser: whole, legible and by itself, in light and dark, on a desk and on a phone."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, expect
from served_days import BAD, WEEK

from millpond.alerts.alert import Alert
from millpond.alerts.outbox import list_alerts
from millpond.runtime.dashboard_part import DASHBOARD, await_dashboard, dashboard_url
from millpond.runtime.home import layout
from millpond.runtime.processes import find_process
from millpond.settings import process_environment, settings
from waiting import until

pytestmark = [pytest.mark.slow, pytest.mark.browser, pytest.mark.timeout(900)]

_PAGES = Path(__file__).parents[2] / "src" / "millpond" / "dashboard" / "pages"
_OWN = Path(__file__).parents[2] / "dashboards"
PAGES = sorted(file.stem for folder in (_PAGES, _OWN) for file in folder.glob("[!_]*.py"))
COLLAPSED = 'data-testid="stSidebarContent"'
"""Streamlit's sidebar, which a phone folds away: nothing in it can be reached then, though it scrolls."""
VIEWS = [("light", 1280, 900), ("dark", 1280, 900), ("light", 390, 844), ("dark", 390, 844)]
"""Colour scheme, width and height in pixels; the last two are a phone's."""


@pytest.fixture(scope="module")
def dashboard(address: str) -> str:
    """The address of the dashboard of `millpond up`, over a few days of data and one that failed."""
    days = f"{WEEK.start}...{WEEK.last}"
    subprocess.run(
        [sys.executable, "-m", "millpond.cli.main", "materialize", "*", "--range", days],
        env=process_environment(),
        check=True,
        timeout=300,
    )
    command = ["materialize", "dlt_climate_entries", "--partition", str(BAD)]
    refused = subprocess.run(
        [sys.executable, "-m", "millpond.cli.main", *command],
        env=process_environment(),
        timeout=300,
        check=False,
    )
    assert refused.returncode == 1, "the day with too many bad rows is refused"
    home = layout(settings())
    process = find_process(home, DASHBOARD)
    assert process
    assert await_dashboard(process.port, lambda: process.alive, 600)
    return dashboard_url(settings())


class Watched:
    """A page of the dashboard, and what went wrong in it."""

    def __init__(self, page: Page, base: str) -> None:
        self.page, self.base = page, base
        self.errors: list[str] = []
        self.foreign: list[str] = []
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", self._note)
        page.on("request", self._ask)

    def _note(self, message: ConsoleMessage) -> None:
        # Streamlit looks for its server below the path of the page before it looks at the root.
        looks_for_server = "_stcore/" in message.location.get("url", "") and "404" in message.text
        if message.type == "error" and not looks_for_server:
            self.errors.append(message.text)

    def _ask(self, request: Request) -> None:
        if not request.url.startswith((self.base, "data:", "blob:")):
            self.foreign.append(request.url)

    def open(self, path: str) -> None:
        """Open a page of the dashboard and wait until it is complete."""
        self.page.goto(f"{self.base}{path}")
        self.settle()

    def settle(self) -> None:
        """Wait until the script of the page has run."""
        expect(self.page.get_by_text("ref main").first).to_be_visible()
        expect(self.page.locator("[data-testid=stApp][data-test-script-state=notRunning]")).to_be_attached()


@pytest.fixture
def watched(browser: Browser, dashboard: str, request: pytest.FixtureRequest) -> Iterator[Watched]:
    scheme, width, height = getattr(request, "param", VIEWS[0])
    expect.set_options(timeout=120_000)
    context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": height})
    found = Watched(context.new_page(), dashboard)
    yield found
    assert (found.errors, found.foreign) == ([], [])
    context.close()


@pytest.mark.parametrize(
    ("watched", "name"),
    [(view, name) for name in PAGES for view in (VIEWS if name == "overview" else (VIEWS[0], VIEWS[-1]))],
    indirect=["watched"],
    ids=lambda value: value if isinstance(value, str) else f"{value[0]}-{value[1]}",
)
def test_each_page_is_whole_and_accessible(
    watched: Watched, name: str, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> None:
    watched.open("/" if name == "overview" else f"/{name}")
    expect(watched.page.get_by_role("heading", level=1)).to_be_visible()
    folder = tmp_path_factory.getbasetemp() / "dashboard"
    folder.mkdir(exist_ok=True)
    watched.page.screenshot(path=folder / f"{request.node.callspec.id}.png")
    assert watched.page.get_by_text("cannot be shown").count() == 0
    wide = watched.page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
    assert wide <= 0, "the page scrolls sideways"
    results = Axe().run(watched.page).response
    serious = [
        (each["id"], node["html"][:200])
        for each in results["violations"]
        if each["impact"] in ("serious", "critical")
        for node in each["nodes"]
        if COLLAPSED not in node["html"]
    ]
    assert serious == []


def test_filters_are_in_the_address_on_every_page(watched: Watched) -> None:
    page = watched.page
    watched.open("/runs?days=7&layer=raw&refresh=60")
    expect(page.get_by_text("layer raw")).to_be_visible()
    page.get_by_test_id("stSidebar").get_by_role("link", name="Overview").click()
    expect(page.get_by_role("heading", level=1, name="Overview")).to_be_visible()
    expect(page.get_by_text("layer raw")).to_be_visible()
    page.wait_for_url("**/?days=7&layer=raw&refresh=60")
    watched.open("/runs?days=8&owner=%3Cimg%20src%3Dhttp%3A%2F%2Felsewhere%3E")
    expect(page.get_by_text("Parts of the address were ignored: days is 7")).to_be_visible()
    expect(page.get_by_text("there is no owner <img src=http://elsewhere>")).to_be_visible()


QUESTIONS = [
    ("What failed?", "Failed runs ("),
    ("Which days are missing?", "Days that need something ("),
    ("What is late?", "No asset is late."),
    ("What was quarantined, and why?", "Quarantined rows ("),
    ("Was anyone notified?", "log: delivered"),
]


def list_open_alerts() -> list[tuple[Alert, dict[str, str]]]:
    return list_alerts(everything=False, kind=None, limit=10)


def test_the_questions_of_a_person_on_call_are_one_click_away(watched: Watched) -> None:
    page = watched.page
    watched.open("/")
    failed = page.get_by_text(f"{BAD} failed: ").first
    expect(failed).to_be_visible()
    expect(page.get_by_text("owner team:growing").first).to_be_visible()
    until(lambda: any("delivered" in told.values() for _, told in list_open_alerts()), 120)
    for question, answer in QUESTIONS:
        page.get_by_test_id("stMain").get_by_role("link", name=question).click()
        expect(page.get_by_text(answer).first).to_be_visible()
        page.get_by_test_id("stSidebar").get_by_role("link", name="Overview").click()
        expect(page.get_by_role("heading", level=1, name="Overview")).to_be_visible()


def test_a_problem_leads_to_its_asset_in_dagster(watched: Watched) -> None:
    watched.open("/")
    link = watched.page.get_by_test_id("stMain").get_by_role("link", name="dlt_climate_entries").first
    assert (link.get_attribute("href") or "").endswith("/assets/dlt_climate_entries")
