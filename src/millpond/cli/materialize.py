"""`millpond materialize`: one run of any assets over a day or a range, in this process."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from millpond.runs.progress import RunOutcome


def materialize(
    selection: Annotated[
        str | None,
        typer.Argument(help='Assets as Dagster selects them: name, "name*", "+name", group:gold, "*".'),
    ] = None,
    partition: Annotated[
        str | None,
        typer.Option("--partition", "-p", help="A day, YYYY-MM-DD; default: the latest complete day."),
    ] = None,
    range_: Annotated[str | None, typer.Option("--range", "-r", help="Days A...B, both included.")] = None,
    ref: Annotated[
        str | None, typer.Option("--ref", help="Branch to read and write; default: MILLPOND_REF.")
    ] = None,
    accept_shrink: Annotated[
        bool,
        typer.Option(
            "--accept-shrink",
            help="Also load days that have far fewer rows now, unless the source no longer serves them.",
        ),
    ] = False,
    accept_wiped: Annotated[
        bool, typer.Option("--accept-wiped", help="Also load days that were wiped, which are left out else.")
    ] = False,
    dbt_select: Annotated[
        str | None,
        typer.Option("--dbt-select", help="Models as dbt selects them, in place of SELECTION: tag:nightly."),
    ] = None,
    dbt_exclude: Annotated[
        str | None, typer.Option("--dbt-exclude", help="Models to leave out of --dbt-select.")
    ] = None,
    full_refresh: Annotated[
        bool,
        typer.Option("--full-refresh", help="Replace daily models' tables, with all their days."),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the outcome as JSON.")] = False,
) -> None:
    """Materialize assets for a day or a range of days, as one ordinary Dagster run.

    Running a day again makes it equal to its source; unchanged content commits nothing. A day that would lose
    all or more than half of its rows is held back and fails, see `millpond sources held`.
    Days that a source no longer serves are skipped and listed; that is not a failure. Days that were wiped,
    or are older than the retention of their table, are left out, and named at the end; if nothing else would
    be loaded, nothing is started.
    Exit codes: 0 what could be done is done, 1 something failed, 2 refused.

    Examples: millpond materialize "dlt_glucose_entries*" --partition 2026-11-01
              millpond materialize "*" --range 2026-08-01...2026-10-31
              millpond materialize "fct_glucose_readings*" --ref dev
              millpond materialize 'key:"stg_glucose_entries" or key:"fct_glucose_readings"'
              millpond materialize "dlt_glucose_entries*" --partition 2026-11-01 --accept-shrink
              millpond materialize "stg_glucose_entries*" --full-refresh
              millpond materialize --dbt-select "fct_glucose_readings+" --dbt-exclude tag:static
    """
    from millpond.cli.arguments import check_ref_and_days, parse_window, require_ref
    from millpond.cli.reload import print_notice
    from millpond.cli.startup import (
        AssetNames,
        dismiss_unneeded_companion,
        load_definitions,
        start_companion,
    )
    from millpond.partitions import Window, latest_complete_day
    from millpond.runtime.garbage import collect_rarely
    from millpond.settings import settings

    if (selection is None) == (dbt_select is None) or (dbt_exclude and not dbt_select):
        raise typer.BadParameter("name assets either by SELECTION or by --dbt-select")
    _refuse_together(accept_shrink and "--accept-shrink", accept_wiped and "--accept-wiped")
    _refuse_together(bool(partition) and "--partition", bool(range_) and "--range")
    if full_refresh and (partition or range_):
        raise typer.BadParameter("--full-refresh covers all days: leave out --partition and --range")
    configured = settings()
    print_notice(ref)
    if text := partition or range_:
        window = check_ref_and_days(ref, lambda: parse_window(text))
    else:
        window = Window.of_day(latest_complete_day(configured.zone))
    names = AssetNames.now()
    if selection:
        names.refuse_unknown(selection)
    refused: dict[str, str] = {}
    with collect_rarely(), start_companion(needed=_may_build(selection)):
        on = require_ref(ref)  # before slow imports
        from millpond.cli.progress import run_with_progress

        defs = load_definitions()
        from millpond.resources.run import FULL_REFRESH_TAG, accept_tags
        from millpond.runs.selection import resolve_selection

        if dbt_select:
            from millpond.transform.dbt_selection import select_assets

            chosen = select_assets(dbt_select, dbt_exclude)
            selection, refused = ",".join(chosen.keys), chosen.refused
            if not as_json:
                print_refused(refused)
        assert selection
        graph = defs.resolve_asset_graph()
        names.keep(key.to_user_string() for key in graph.get_all_asset_keys())
        keys = resolve_selection(selection, graph)
        tags = accept_tags(accept_shrink, accept_wiped)
        if full_refresh:
            from millpond.transform.plan import plan_full_refresh

            plan = plan_full_refresh([key.to_user_string() for key in keys], on)
            for name in plan.kept:
                typer.echo(f"{name} stays as it is: its config says full_refresh: false", err=True)
            selection, window = ",".join(f'key:"{name}"' for name in plan.assets), plan.window or window
            tags |= {FULL_REFRESH_TAG: "true"}
        dismiss_unneeded_companion(key.to_user_string() for key in keys)
        outcome = run_with_progress(
            selection,
            window,
            quiet=as_json,
            definitions=defs,
            ref=on,
            tags=tags,
            refuse_nothing=True,
        )
    if as_json:
        _print_json(outcome, refused)
    if not outcome.success:
        raise typer.Exit(1)


_LOADS_OR_PUBLISHES = re.compile(r"(dlt_\w+|marts/\w+)(,(dlt_\w+|marts/\w+))*")


def _may_build(selection: str | None) -> bool:
    """Return whether models may be selected; if not, no process imports dbt. Not relied on for results."""
    return selection is None or not _LOADS_OR_PUBLISHES.fullmatch(selection.replace(" ", ""))


def _refuse_together(one: str | bool | None, other: str | bool | None) -> None:
    if one and other:
        raise typer.BadParameter(f"{one} and {other} cannot be combined")


def print_refused(refused: Mapping[str, str]) -> None:
    """Print on stderr which selected models are not assets, and why."""
    for unique_id, reason in refused.items():
        typer.echo(f"{unique_id} is not built: {reason}", err=True)


def _print_json(outcome: RunOutcome, refused: Mapping[str, str]) -> None:
    import json
    from dataclasses import asdict

    typer.echo(json.dumps(asdict(outcome) | {"refused": refused}, indent=2))
