"""`millpond reconcile`: a day's rows from the source to Postgres, as recorded and as they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from millpond.naming import pluralize

if TYPE_CHECKING:
    from millpond.quality.reconciliation import Line


def reconcile(
    partition: Annotated[
        str | None,
        typer.Option("--partition", "-p", help="A day, YYYY-MM-DD; default: the latest complete day."),
    ] = None,
    ref: Annotated[str | None, typer.Option("--ref", help="Branch; default: MILLPOND_REF.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False,
) -> None:
    """Compare a day in every table with what its run recorded, and every mart with its table.

    Rows are counted and hashed again, so that a change past Millpond is found. For raw tables, the
    rows of the source are those loaded, quarantined and dropped. Exits with 1 if anything differs.

    Example: millpond reconcile --partition 2026-11-01
    """
    from millpond.cli import output
    from millpond.cli.arguments import check_ref_and_days, parse_window, require_ref
    from millpond.definitions import defs
    from millpond.instance.home import open_instance
    from millpond.observability.assets import list_assets
    from millpond.partitions import latest_complete_day
    from millpond.quality.reconciliation import find_tables, reconcile_day
    from millpond.settings import settings

    day = latest_complete_day(settings().zone)
    if partition:
        text = partition
        day = check_ref_and_days(ref, lambda: parse_window(text)).last
    on = require_ref(ref)
    marts = find_tables()[1]
    with open_instance() as instance:
        lines = list(reconcile_day(instance, list_assets(defs), marts, day, on))
    if as_json:
        output.print_json({"day": day, "ref": on, "lines": lines})
    else:
        rows = [(line.asset, line.state, line.rows_recorded, line.rows) for line in lines]
        output.print_rows_as_table(("asset", "state", "recorded", "there now"), rows, title=f"{day} on {on}")
        for line in lines:
            for text in filter(None, (_format(line), line.why)):
                output.print_text(f"{line.asset}: {text}")
    if wrong := [line.asset for line in lines if line.state == "differs"]:
        if not as_json:
            typer.echo(f"Next: millpond materialize {wrong[0]} --partition {day}")
        raise typer.Exit(1)


def _format(line: Line) -> str:
    """Return what became of the rows of the source."""
    if not line.loaded:
        return ""
    served, quarantined, twice, outside = line.loaded.values() if len(line.loaded) == 4 else (None,) * 4
    parts = {"quarantined": quarantined, "twice": twice, "outside": outside}
    others = ", ".join(f"{rows} {what}" for what, rows in parts.items() if rows)
    return f"{pluralize(served or 0, 'row')} in the source{f', {others}' if others else ''}"
