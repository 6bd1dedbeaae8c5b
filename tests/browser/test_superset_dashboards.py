"""Superset's dashboards in a real browser, over the marts of a demo: installed, opened, exported, stopped."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Response, expect

from millpond.settings import process_environment
from project_folders import make_example
from superset_api import SupersetApi

pytestmark = [pytest.mark.slow, pytest.mark.browser, pytest.mark.timeout(600)]

BUNDLE = Path(__file__).parents[2] / "bi"
PIXEL = "gateway.scarf.sh"
"""Superset's tracking pixel: the browser must not load it, and says so."""
DASHBOARDS = {
    "glucose": ("Glucose", ["Current glucose", "Ambulatory profile", "Mean glucose by hour and weekday"]),
    "github": ("GitHub activity", ["Current streak", "Activity over time", "Events by category"]),
}


@dataclass(frozen=True)
class Superset:
    """A home with a week of demo data in which Superset runs."""

    project: Path
    home: Path
    status: dict[str, Any]

    def run(self, *words: str) -> Any:
        """Run `millpond … --json` for this home; return what it prints."""
        return run(self.project, self.home, *words)

    @property
    def password(self) -> str:
        return Path(self.status["password_file"]).read_text()

    def sign_in(self) -> SupersetApi:
        return SupersetApi(self.status["address"], self.password)


def run(project: Path, home: Path, *words: str) -> Any:
    here = {"MILLPOND_PROJECT": str(project), "MILLPOND_HOME": str(home), "MILLPOND_SUPERSET_PORT": "0"}
    done = subprocess.run(
        [sys.executable, "-m", "millpond.cli.main", *words, "--json"],
        env=process_environment(**here),
        cwd=project,
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def superset(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Superset]:
    folder = tmp_path_factory.mktemp("superset")
    folder.chmod(0o711)
    project, home = folder / "project", folder / "home"
    make_example(project)
    try:
        run(project, home, "demo", "--days", "7")
        yield Superset(project, home, run(project, home, "bi", "up"))
    finally:
        stopped = run(project, home, "down")["stopped"]
    assert any(line.startswith("superset ") for line in stopped), stopped


@pytest.fixture
def signed_in(browser: Browser, superset: Superset) -> Iterator[Page]:
    """A page of an administrator, in which nothing went wrong but that the pixel was blocked."""
    context = browser.new_context(
        base_url=superset.status["address"], viewport={"width": 1600, "height": 1700}
    )
    context.set_default_timeout(120_000)
    expect.set_options(timeout=120_000)
    page, wrong = context.new_page(), list[str]()

    def answered(response: Response) -> None:
        if response.status >= 400:
            wrong.append(f"{response.status} {response.url}")

    page.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("response", answered)
    # The session is a cookie: an anonymous answer that arrives after the login would end it again.
    page.goto("/login/", wait_until="networkidle")
    page.locator("#username").fill(superset.status["user"])
    page.locator("#password").fill(superset.password)
    page.locator("button[type=submit]").click()
    page.wait_for_url("**/welcome/**")
    yield page
    assert [text for text in wrong if PIXEL not in text] == []
    context.close()


@pytest.mark.parametrize("slug", DASHBOARDS)
def test_each_dashboard_shows_all_of_its_charts_over_the_demos_marts(
    signed_in: Page, superset: Superset, slug: str, tmp_path: Path
) -> None:
    title, charts = DASHBOARDS[slug]
    assert f"{superset.status['address']}/superset/dashboard/{slug}/" in superset.status["dashboards"]
    signed_in.goto(f"/superset/dashboard/{slug}/")
    expect(signed_in.get_by_text(title, exact=True).first).to_be_visible()
    cells = signed_in.locator(".dashboard-component-chart-holder")
    wanted = (BUNDLE / "dashboards" / f"{slug}.yaml").read_text().count("sliceName:")
    expect(cells).to_have_count(wanted)
    shown = signed_in.locator(".dashboard-component-chart-holder canvas, .superset-legacy-chart-big-number")
    expect(shown).to_have_count(wanted)
    for name in charts:
        expect(signed_in.get_by_text(name).first).to_be_visible()
    for word in ("Data error", "Unexpected error", "No results were returned", "N/A"):
        expect(signed_in.get_by_text(word)).to_have_count(0)
    assert re.search(r"\d", cells.first.inner_text())
    signed_in.screenshot(path=tmp_path / f"{slug}.png")
    assert (tmp_path / f"{slug}.png").stat().st_size > 50_000


def test_the_same_are_pages_of_the_dashboard(browser: Browser, superset: Superset, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "millpond.cli.main", "dashboard", "--port", "0", "--no-browser"]
    here = {"MILLPOND_PROJECT": str(superset.project), "MILLPOND_HOME": str(superset.home)}
    expect.set_options(timeout=120_000)
    with subprocess.Popen(
        command, env=process_environment(**here), stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout
            told = next(line for line in process.stdout if line.startswith("the dashboard: "))
            page = browser.new_page(viewport={"width": 1400, "height": 1600})
            for name, figures, charts in (
                ("glucose", ("In range, 7 days", "mg/dL"), 5),
                ("github", ("Streak",), 3),
            ):
                page.goto(f"{told.split()[2]}/{name}")
                for figure in figures:
                    expect(page.get_by_text(figure).first).to_be_visible()
                expect(page.locator(".js-plotly-plot")).to_have_count(charts)
                page.screenshot(path=tmp_path / f"{name}.png")
            page.close()
        finally:
            process.terminate()
            assert process.wait(60) == 0, "it ends its server, and says that it stopped"


def test_an_edit_in_superset_changes_one_file_and_what_is_imported_changes_none(superset: Superset) -> None:
    session, file = superset.sign_in(), superset.project / "bi" / "charts" / "glucose_now.yaml"
    chart = session.find_id("chart", "slice_name", "Current glucose")
    answer = session.put(f"/api/v1/chart/{chart}", json={"description": "Of one device"})
    assert answer.status_code == 200, answer.text
    assert superset.run("bi", "export") == {"changed": ["bi/charts/glucose_now.yaml"]}
    assert "description: Of one device" in file.read_text()
    assert superset.run("bi", "status")["imported"] is True
    shutil.copy(BUNDLE / "charts" / "glucose_now.yaml", file)
    assert superset.run("bi", "status")["imported"] is False


def test_the_marts_cannot_be_written_from_sql_lab(superset: Superset) -> None:
    session = superset.sign_in()
    assert session.execute("select count(*) from marts.mrt_glucose_readings").status_code == 200
    for statement in ("delete from marts.mrt_glucose_readings", "create table marts.x (a int)"):
        refused = session.execute(statement)
        assert refused.status_code >= 400, refused.text
    assert oct((superset.home / "superset" / "secret_key").stat().st_mode)[-3:] == "600"
