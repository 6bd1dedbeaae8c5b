"""Every page says in a sentence what there is to say: of an empty home, an interrupted one, and odd data."""

from __future__ import annotations

import datetime as dt
import re
import shutil
import time
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from markdown_it import MarkdownIt
from shown_pages import Show

from alerting import alert, put
from millpond.alerts.outbox import outbox
from millpond.backfill import ledger
from millpond.backfill.plan import Chunk, Item, Plan, State
from millpond.observability.metrics import render_metrics
from millpond.partitions import Window
from millpond.runtime import postgres
from millpond.runtime.databases import databases
from millpond.runtime.home import Home, exclusive
from millpond.runtime.postmaster import data_folder
from millpond.settings import settings

pytestmark = pytest.mark.slow

_CHECKOUT = Path(__file__).parents[3]
_PAGES = _CHECKOUT / "src" / "millpond" / "dashboard" / "pages"
OPERATIONS = sorted(file.stem for file in _PAGES.glob("[!_]*.py"))
PAGES = [*OPERATIONS, "glucose", "github", "forecast"]
DAY = dt.timedelta(days=1)
TODAY = dt.datetime.now(dt.UTC).date()
ASSET = "dlt_climate_entries"


def report(instance: dg.DagsterInstance, day: dt.date, **metadata: object) -> None:
    instance.report_runless_asset_event(
        dg.AssetMaterialization(ASSET, partition=str(day), metadata=metadata)  # type: ignore[arg-type]
    )


def test_each_page_of_an_empty_home_says_what_is_not_there(home: Home, show: Show) -> None:
    assert home.root.exists()
    for page in PAGES:
        shown = show(page)
        assert shown.errors == [], page
        said = [kind for kind, _ in shown.elements if kind in ("info", "success", "caption")]
        assert len(said) > 1, "more than the period"


def test_a_page_shows_what_runs_while_a_backfill_is_at_work(recorded: dg.DagsterInstance, show: Show) -> None:
    days = [TODAY - n * DAY for n in (3, 2, 1)]
    items = tuple(Item(ASSET, day, State.MISSING, "missing", todo=True) for day in days)
    chunk = Chunk(1, (ASSET,), Window.of_days(days[0], days[-1]))
    identity = ledger.create(Plan(ASSET, "main", "code", items, (chunk,), None), {})
    report(recorded, days[0], rows_loaded=7)
    shown = show("backfills")
    assert (shown.errors, f"{identity}: {ASSET}, 0 of 3 partitions" in shown) == ([], True), shown
    assert [page for page in PAGES if show(page).errors] == []


def test_a_page_says_that_postgres_is_away_and_shows_all_once_it_is_back(
    recorded: dg.DagsterInstance, home: Home, show: Show
) -> None:
    report(recorded, TODAY, rows_loaded=7)
    assert show("overview").errors == []
    version = data_folder(home) / "PG_VERSION"
    before = version.read_text()
    with exclusive(home.run / "postgres.lock", doing="stopping Postgres"):
        postgres.stop(home)
    version.write_text("1\n")  # so that nobody can start it
    try:
        for page in PAGES:
            shown = show(page)
            assert shown.of("exception") == []
            assert len(shown.errors) == 1, (page, shown)
            assert "Next" in shown.errors[0]
    finally:
        version.write_text(before)
    shown = show("overview")
    assert (shown.errors, ASSET in shown) == ([], True)


def test_ten_thousand_alerts_are_counted_and_the_newest_shown(home: Home, show: Show) -> None:
    assert home.root.exists()
    put(*(alert(n, assets=()) for n in (1, 2)))
    with outbox() as connection:
        connection.execute(
            "insert into alerts (kind, severity, source, dedup_key, title, reason, assets, checks, partition,"
            " owners, tags, ref, job, run_id, run_url, position)"
            " select kind, severity, source || n, dedup_key || n, title, reason, assets, checks, partition,"
            " owners, tags, ref, job, run_id, run_url, position"
            " from alerts cross join generate_series(1, 4999) n"
        )
    begun = time.monotonic()
    alerts, overview = show("alerts"), show("overview")
    assert time.monotonic() - begun < 20
    assert alerts.errors + overview.errors == []
    assert alerts.of("subheader") == ["Open (10,000)", "History (10,000)"]
    assert len(alerts.elements) < 300
    assert "Open alerts: 10,000" in overview
    assert "200 problems and 9,800 more open alerts" in overview
    assert "10,000 of them reached nobody yet" in alerts


def test_marts_without_rows_and_with_nothing_but_nulls_are_shown(home: Home, show: Show) -> None:
    assert home.root.exists()
    columns = {
        "mrt_glucose_overview": "reading_date date, avg_glucose_mg_dl float, avg_glucose_7d_mg_dl float,"
        " time_below_range_pct float, time_in_range_pct float, time_above_range_pct float,"
        " time_in_range_7d_pct float, gmi_7d_pct float, coefficient_of_variation float",
        "mrt_github_activity_overview": "event_date date, total_events int, events_7d_avg float,"
        " active_streak_days int, code_contributions int, collaborations int, social_events int,"
        " documentation_events int, other_events int, activity_level text",
        "mrt_glucose_hourly_patterns": "hour_of_day int, day_of_week int, median_glucose_mg_dl float",
        "mrt_meal_response": "response_date date, meal_count int, carbs_g int, avg_glucose_rise_mg_dl float,"
        " avg_glucose_rise_7d_mg_dl float, max_peak_glucose_mg_dl int",
        "mrt_forecast_quality": "target_date date, model_hash text, answered_count int, mae_mg_dl float,"
        " same_as_now_mae_mg_dl float, linear_mae_mg_dl float, low_count int, expected_low_count float",
    }
    with databases().marts.connect() as connection:
        for name, declared in columns.items():
            connection.execute(f"create table marts.{name} ({declared})")
        connection.execute("grant usage on schema marts to public")
        connection.execute("grant select on all tables in schema marts to public")
    for page in ("glucose", "github"):
        shown = show(page)
        assert (shown.errors, len(shown.of("info"))) == ([], 1)
    with databases().marts.connect() as connection:
        for name, date in (
            ("mrt_glucose_overview", "reading_date"),
            ("mrt_github_activity_overview", "event_date"),
            ("mrt_forecast_quality", "target_date"),
            ("mrt_meal_response", "response_date"),
        ):
            connection.execute(f"insert into marts.{name} ({date}) values (%s)", (TODAY,))
    for page in ("glucose", "github", "forecast"):
        shown = show(page)
        assert (shown.errors, "None" in str(shown.of("metric"))) == ([], False)
    assert "Error, model: –" in show("forecast")


NASTY = "<img src=x onerror=alert(1)> **b** [a](http://elsewhere) $x$"


def test_names_and_texts_that_are_html_are_shown_as_they_are(
    recorded: dg.DagsterInstance, show: Show
) -> None:
    put(alert(1, title=NASTY, reason=NASTY, next_step=NASTY, owners=(NASTY,), assets=(NASTY,)))
    report(
        recorded,
        TODAY,
        rows_loaded=7,
        rows_quarantined=1,
        quarantine_reasons={NASTY: 1},
    )
    for page in OPERATIONS:
        shown = show(page)
        assert shown.errors == []
        html = "".join(MarkdownIt("commonmark").render(text) for text in shown.sentences)
        assert [tag for tag in ("<img", "<strong>b", 'href="http://elsewhere') if tag in html] == []
    assert NASTY in show("alerts")
    assert NASTY in show("quality")


ODD: list[dict[str, Any]] = [
    {"rows_loaded": "many", "rows_quarantined": "some", "seconds": "long", "quarantine_reasons": "why"},
    {"rows_loaded": float("nan"), "seconds": float("inf"), "rows_quarantined": float("nan")},
    {"rows_loaded": -1, "quarantine_reasons": {"a": "b", "c": None, "d": {"e": 1}}, "seconds": None},
    {"rows_loaded": {"a": 1}, "rows_quarantined": [1], "seconds": True, "note": "\udcff\x00"},
]


def test_metadata_of_ones_own_breaks_no_page(recorded: dg.DagsterInstance, show: Show) -> None:
    for n, metadata in enumerate(ODD):
        report(recorded, TODAY - n * DAY, **metadata)
    assert [(page, shown.errors) for page in OPERATIONS if (shown := show(page)).errors] == []
    assert f'millpond_asset_age_seconds{{asset="{ASSET}"}}' in render_metrics()


def test_a_person_on_call_reads_what_failed_is_missing_late_quarantined_and_unheard(
    recorded: dg.DagsterInstance, show: Show
) -> None:
    days = dg.DailyPartitionsDefinition("2024-01-01")

    @dg.asset(name="dlt_market_events", partitions_def=days)
    def closed() -> None:
        raise ValueError("the market is closed\nand more")

    @dg.asset(name=ASSET, partitions_def=days)
    def secret() -> None:
        raise ValueError("kitchen-sensor-of-ada is no integer")

    for broken in (closed, secret):
        dg.materialize([broken], partition_key=str(TODAY - 9 * DAY), instance=recorded, raise_on_error=False)
    report(recorded, TODAY - 9 * DAY, rows_loaded=7)
    report(
        recorded, TODAY - 7 * DAY, rows_loaded=6, rows_quarantined=1, quarantine_reasons={"device:type": 1}
    )
    put(alert(1, title="dlt_market_events failed"))
    runs = show("runs")
    assert "dlt_market_events" in runs
    assert "the market is closed" in runs
    assert "kitchen-sensor" not in runs
    assert f"hidden, as {ASSET} has sensitive columns" in runs
    assert f"{TODAY - 6 * DAY}...{TODAY - 2 * DAY} not there in time" in show("freshness")
    shown = show("days")
    for state in ("late 5", "missing 2", "quarantined 1"):
        assert state in shown
    assert "Quarantined rows (1)" in show("quality")
    assert "1 of them reached nobody yet" in show("alerts")
    assert "late" in show("overview")


def test_the_page_that_the_documentation_shows_draws_its_mart(home: Home, show: Show) -> None:
    assert home.root.exists()
    (code,) = re.findall(r"```python\n(.*?)```", (_CHECKOUT / "docs" / "dashboard.md").read_text(), re.DOTALL)
    with databases().marts.connect() as connection:
        connection.execute("create table marts.mrt_orders (order_date date, revenue float)")
        connection.execute("insert into marts.mrt_orders values (%s, 41.5)", (TODAY,))
        connection.execute("grant usage on schema marts to public")
        connection.execute("grant select on all tables in schema marts to public")
    folder = settings().project / "dashboards"
    shared = folder.readlink()
    folder.unlink()
    try:
        folder.mkdir()
        (folder / "orders.py").write_text(code)
        shown = show("orders")
    finally:
        shutil.rmtree(folder)
        folder.symlink_to(shared)
    assert (shown.errors, shown.of("title")) == ([], ["Orders"])
    (chart,) = shown.of("plotly_chart")
    assert "41.5" in chart
