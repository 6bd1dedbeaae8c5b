"""How long the dashboard takes over a year of history: its queries, and its first page in a browser.

    python bench/dashboard.py [--assets 30] [--days 365] [--runs 50000] [--repeat 5] [--no-browser]

Fills Dagster's storage of a home of its own, which is removed at the end, with `--runs` runs spread over
`--days` days; each run makes one day of a third of the assets and evaluates their checks. Prints the median
and the slowest of each query, for a period of 30 days and for all of it; then how long Chromium takes from
the address to the whole first page: as the first visitor after the start, in a new window, and again.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

NOW = dt.datetime.now(dt.UTC)


def main() -> None:
    parser = argparse.ArgumentParser(description="Time the dashboard's queries over a long history.")
    parser.add_argument("--assets", type=int, default=30)
    parser.add_argument("--days", type=int, default=365)
    parser.add_argument("--runs", type=int, default=50_000)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--no-browser", action="store_true")
    asked = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="millpond-bench-"))
    os.environ["MILLPOND_HOME"] = str(folder / "home")
    os.environ["MILLPOND_PROJECT"] = str(folder)
    _write_project(folder, asked.assets)
    try:
        _measure(asked)
        if not asked.no_browser:
            _measure_page(asked)
    finally:
        from millpond.runtime.down import down
        from millpond.settings import settings

        down(settings())
        shutil.rmtree(folder, ignore_errors=True)


def _write_project(folder: Path, assets: int) -> None:
    """Write a project with daily assets in four layers."""
    for name in ("dagster.yaml", "workspace.yaml"):
        shutil.copy(Path(__file__).parents[1] / name, folder)
    (folder / "dbt").mkdir()
    (folder / "sources").mkdir()
    (folder / "dbt" / "dbt_project.yml").write_text("name: bench\nversion: 1.0.0\nprofile: millpond\n")
    (folder / "pyproject.toml").write_text('[tool.millpond]\ndefinitions = "bench_assets"\n')
    (folder / "bench_assets.py").write_text(
        f"""
import datetime as dt
import dagster as dg
import millpond

def build(number):
    @dg.asset(
        name=f"asset_{{number:02}}",
        partitions_def=millpond.daily_partitions(),
        group_name=("raw", "bronze", "silver", "gold")[number % 4],
        owners=["team:bench"],
        freshness_policy=dg.FreshnessPolicy.time_window(fail_window=dt.timedelta(days=1)),
    )
    def made(): ...
    return made

defs = dg.Definitions(assets=[build(number) for number in range({assets})])
"""
    )


def _measure_page(asked: argparse.Namespace) -> None:
    from playwright.sync_api import Browser, BrowserContext, sync_playwright

    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    program = os.environ.get("MILLPOND_TEST_CHROMIUM") or next(filter(None, map(shutil.which, names)), None)

    def visit(context: BrowserContext, query: str) -> float:
        page = context.new_page()
        begun = time.monotonic()
        page.goto(f"{address}/{query}")
        page.get_by_text("Assets", exact=True).wait_for()
        page.locator("[data-testid=stDataFrame] canvas").first.wait_for()
        page.locator("[data-testid=stApp][data-test-script-state=notRunning]").wait_for()
        took = time.monotonic() - begun
        page.close()
        return took

    def tell(what: str, took: list[float]) -> None:
        print(f"{what:32} {statistics.median(took):7.3f} s  slowest {max(took):7.3f} s")

    begun = time.monotonic()
    command = [sys.executable, "-m", "millpond.cli.main", "dashboard", "--port", "0", "--no-browser"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert server.stdout
    try:
        said = next(line for line in server.stdout if line.startswith("the dashboard: "))
        address = said.split()[2]
        print(f"the dashboard is ready in {time.monotonic() - begun:.1f} s")
        with sync_playwright() as playwright:
            browser: Browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
            tell("first page, first visitor", [visit(browser.new_context(), "")])
            for query, period in (("", "30 days"), ("?days=365", "365 days")):
                context = browser.new_context()
                tell(f"first page, {period}, new window", [visit(context, query)])
                tell(f"first page, {period}, again", [visit(context, query) for _ in range(asked.repeat)])
            browser.close()
    finally:
        server.terminate()
        server.wait()


def _measure(asked: argparse.Namespace) -> None:
    from millpond.instance.home import open_instance
    from millpond.observability.assets import Asset
    from millpond.observability.checks import read_check_states, read_pass_rates
    from millpond.observability.durations import read_durations
    from millpond.observability.freshness import read_freshness
    from millpond.observability.health import read_health
    from millpond.observability.partitions import read_days
    from millpond.observability.runs import compare_runs, count_runs, list_runs

    assets = [
        Asset(
            f"asset_{n:02}", ("raw", "bronze", "silver", "gold")[n % 4], daily=True, fail=dt.timedelta(days=1)
        )
        for n in range(asked.assets)
    ]
    with open_instance() as instance:
        begun = time.monotonic()
        counts = _fill(instance, asked)
        print(f"filled in {time.monotonic() - begun:.0f} s: {counts}")
        for span in (30, asked.days):
            first = NOW.date() - dt.timedelta(days=span - 1)
            since = dt.datetime.combine(first, dt.time(), dt.UTC)
            days = [first + dt.timedelta(days=n) for n in range(span)]
            queries: dict[str, Callable[[], Any]] = {
                "first page": lambda f=first: read_health(instance, assets, f, NOW.date(), NOW, dt.UTC),
                "runs by day": lambda s=since: count_runs(instance, s, NOW, "UTC"),
                "latest runs": lambda s=since: list_runs(instance, s, NOW),
                "runs compared": lambda s=since: compare_runs(instance, s, NOW),
                "days": lambda d=days: read_days(instance, assets, d),
                "durations": lambda s=since: read_durations(instance, assets, s),
                "checks now": lambda s=since: read_check_states(instance, assets, s),
                "pass rates": lambda s=since: read_pass_rates(instance, assets, s),
                "freshness": lambda: read_freshness(instance, assets, NOW),
            }
            for name, query in queries.items():
                took = []
                for _ in range(asked.repeat):
                    begun = time.monotonic()
                    query()
                    took.append(time.monotonic() - begun)
                print(
                    f"{span:4} days  {name:14} {statistics.median(took):7.3f} s  slowest {max(took):7.3f} s"
                )


def _fill(instance: Any, asked: argparse.Namespace) -> dict[str, int]:
    """Write runs, events and checks as Dagster writes them, in four statements."""
    from sqlalchemy import text

    from millpond.instance.record import connection

    entries = [
        {"label": "rows_loaded", "entry_data": {"value": 288}},
        {"label": "rows_quarantined", "entry_data": {"value": 1}},
        {"label": "seconds", "entry_data": {"value": 0.5}},
        {"label": "quarantine_reasons", "entry_data": {"data": {"price is missing": 1}}},
    ]
    event = {"dagster_event": {"event_specific_data": {"materialization": {"metadata_entries": entries}}}}
    event["user_message"] = "x" * 1500  # type: ignore[assignment]
    evaluation = {"dagster_event": {"event_specific_data": {"blocking": True, "metadata": {}}}}
    values = {
        "runs": asked.runs,
        "assets": asked.assets,
        "days": asked.days,
        "event": json.dumps(event),
        "evaluation": json.dumps(evaluation),
        "now": NOW.replace(tzinfo=None),
        "body": "x" * 2000,
    }
    moment = "cast(:now as timestamp) - (:runs - run) * (:days * interval '1 day' / :runs)"
    statements = [
        f"""insert into runs (run_id, pipeline_name, status, run_body, create_timestamp, update_timestamp,
              start_time, end_time)
            select 'run-' || run, 'millpond', case when run % 50 = 0 then 'FAILURE' else 'SUCCESS' end, :body,
              {moment}, {moment}, extract(epoch from {moment}), extract(epoch from {moment}) + 5
            from generate_series(1, :runs) run""",
        f"""insert into event_logs
              (run_id, event, dagster_event_type, timestamp, step_key, asset_key, partition)
            select 'run-' || run, case when kind = 'ASSET_MATERIALIZATION' then :event else '{{}}' end, kind,
              {moment}, 'step', '["asset_' || lpad(asset::text, 2, '0') || '"]',
              to_char({moment}, 'YYYY-MM-DD')
            from generate_series(1, :runs) run
            cross join generate_series(0, :assets - 1) asset
            cross join unnest(array['ASSET_MATERIALIZATION_PLANNED', 'ASSET_MATERIALIZATION']) kind
            where asset % 3 = run % 3 order by run, kind desc, asset""",
        f"""insert into asset_check_executions (asset_key, check_name, run_id, execution_status,
              evaluation_event, create_timestamp)
            select '["asset_' || lpad(asset::text, 2, '0') || '"]', 'key', 'run-' || run, 'SUCCEEDED',
              :evaluation, {moment}
            from generate_series(1, :runs) run cross join generate_series(0, :assets - 1) asset
            where asset % 3 = run % 3 order by run""",
        """insert into asset_keys (asset_key, last_materialization_timestamp)
            select '["asset_' || lpad(asset::text, 2, '0') || '"]', :now
            from generate_series(0, :assets - 1) asset""",
    ]
    with connection(instance) as conn:
        for statement in statements:
            conn.execute(text(statement), values)
        conn.commit()
        conn.exec_driver_sql("commit")
        counts = {
            table: conn.execute(text(f"select count(*) from {table}")).scalar_one()
            for table in ("runs", "event_logs", "asset_check_executions")
        }
        conn.exec_driver_sql("analyze")
    return counts


if __name__ == "__main__":
    main()
