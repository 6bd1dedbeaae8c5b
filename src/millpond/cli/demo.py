"""`millpond demo`: from an empty folder to marts, with a count of every row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    import dagster as dg
    from rich.console import Console

    from millpond.cli.demo_report import Stopwatch
    from millpond.runs.progress import RunOutcome


def demo(
    days: Annotated[int, typer.Option("--days", min=1, max=90, help="How many complete days to load.")] = 30,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document at the end.")] = False,
) -> None:
    """Load the latest complete days of every asset, from source to mart, and show the results.

    Sources without a URL use the built-in demo data: real glucose readings and real commit times, with
    meals and finger sticks that are made up. The home becomes one for demo data: a home with other data
    is refused, and real sources are refused in it. If you run it again, nothing changes.

    Example: millpond demo --days 7
    """
    import datetime as dt

    from rich.console import Console

    from millpond.cli import output
    from millpond.cli.demo_report import Report, Stopwatch
    from millpond.cli.startup import load_definitions, start_companion
    from millpond.partitions import Window, latest_complete_day
    from millpond.settings import settings

    watch, console, configured = Stopwatch(), Console(highlight=False, quiet=as_json), settings()
    last = latest_complete_day(configured.zone)
    window = Window.of_days(max(configured.start_date, last - dt.timedelta(days=days - 1)), last)
    with start_companion():
        with watch.measure("start the embedded parts"):
            _start_parts(console)
        with watch.measure("load the definitions"):
            from millpond.cli.progress import run_with_progress

            defs = load_definitions()
        report = Report(console, window)
        outcome = run_with_progress(
            _select_all(defs), window, quiet=as_json, on_event=report.take, definitions=defs
        )
    _add_stages(watch, outcome)
    with watch.measure("read the results back"):
        complete = report.print(outcome)
    if as_json:
        output.print_json({**report.as_document(outcome), "complete": complete})
    watch.print(console)
    report.print_next_steps()
    if not (outcome.success and complete):
        raise typer.Exit(1)


def _select_all(definitions: dg.Definitions) -> str:
    """Return a selection of all assets that one run can materialize for many days."""
    from millpond.runs.selection import find_single_day_assets, resolve_selection

    graph = definitions.resolve_asset_graph()
    keys = resolve_selection("*", graph)
    single = find_single_day_assets(keys, graph)
    names = [key.to_user_string() for key in keys]
    return ",".join(f'key:"{name}"' for name in names if name not in single) if single else "*"


def _start_parts(console: Console) -> None:
    from millpond.errors import ConfigError
    from millpond.ingestion.demo_home import open_demo_home
    from millpond.runtime.databases import databases
    from millpond.runtime.demo_source import ensure_demo_source
    from millpond.settings import settings, source_names

    configured = settings()
    if not source_names(configured.project):
        raise ConfigError(
            f"{configured.project} has no sources, so there is nothing to demonstrate",
            unharmed="everything; nothing was started",
            next_step="add a source to sources/, or `millpond init NAME` makes a project with one",
        )
    marts = databases().marts
    demo_sources = [n for n in source_names(configured.project) if not configured.source(n).url]
    if demo_sources:
        open_demo_home(configured)
    where = configured.iceberg_warehouse_path if configured.scale else configured.home
    console.print(f"Postgres is at {marts.host}:{marts.port}, all data is in {where}")
    if demo_sources:
        names, address = ", ".join(demo_sources), ensure_demo_source(configured)
        console.print(f"no URL is set for {names}: using the built-in demo data at {address}")


def _add_stages(watch: Stopwatch, outcome: RunOutcome) -> None:
    load, build, publish = "fetch, check and commit", "build and test the models", "publish the marts"
    stages = dict.fromkeys((load, build, publish), 0.0)
    for asset in outcome.assets:
        prefix = asset.asset[:4]
        stages[load if prefix == "dlt_" else publish if prefix == "mart" else build] += asset.seconds
    for stage, seconds in stages.items():
        watch.add(stage, seconds)
    watch.add("Dagster's run", max(0.0, outcome.seconds - sum(stages.values())))
