"""`millpond sources check` and `preview`: what a load of a source would find, with nothing written."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from millpond.settings import Settings

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]
Day = Annotated[str | None, typer.Option("--day", help="The day, YYYY-MM-DD; default: the latest complete.")]


def check(
    name: Annotated[str, typer.Argument(help="Source as its file in sources/ is called, for example shop.")],
    day: Day = None,
    as_json: AsJson = False,
) -> None:
    """Check a source step by step: file, address, reachable, authorised, shape, contract of its rows.

    The rows of one day are read and validated; nothing is written. Exits with 1 if a step fails.

    Example: millpond sources check nightscout
    """
    from millpond.cli import output
    from millpond.cli.sensitive import hide_details
    from millpond.ingestion.inspection.check import check_source
    from millpond.settings import settings

    steps = hide_details(check_source(_file(name, settings()), _day(day), settings()))
    if as_json:
        output.print_json(steps)
    else:
        for step in steps:
            place = f" {step.table}" if step.table else ""
            typer.echo(f"{step.state:<8}{step.name}{place}" + (f": {step.detail}" if step.detail else ""))
            if step.next_step:
                typer.echo(f"        Next: {step.next_step}")
    if any(step.state == "failed" for step in steps):
        raise typer.Exit(1)


def preview(
    name: Annotated[str, typer.Argument(help="Table, source.table, or a source that has one table.")],
    day: Day = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000, help="Rows to show.")] = 10,
    quarantined: Annotated[
        bool, typer.Option("--quarantined", help="Show the rows that break the contract, and why.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show rows as they would be loaded, and how many are good, quarantined, duplicates or out of range.

    Nothing is written. Exits with 1 if a load would refuse the rows, with the reason.

    Examples: millpond sources preview nightscout
              millpond sources preview nightscout.glucose_entries --day 2026-11-01 --limit 3
    """
    from millpond.cli import output
    from millpond.cli.sensitive import hide_sample
    from millpond.cli.sources_sample import as_object, print_counts, print_quarantined, print_rows
    from millpond.ingestion.inspection.sample import take_sample
    from millpond.ingestion.reader import open_reader
    from millpond.ingestion.reading import find_table, load_sources
    from millpond.ingestion.results import WHOLE
    from millpond.partitions import Window
    from millpond.settings import settings

    sources = load_sources(settings())
    of_one = {source.source: source.tables[0].name for source in sources if len(source.tables) == 1}
    source, index = find_table(sources, of_one.get(name, name.rpartition(".")[2]))
    table = source.tables[index]
    window = Window.of_day(_day(day)) if table.has_days else WHOLE
    sample = hide_sample(
        take_sample(open_reader(source, table, settings()), window, settings(), limit), table
    )
    if as_json:
        output.print_json({"source": source.source, "table": table.name, **as_object(sample)})
    else:
        print_counts(sample)
        typer.echo("")
        print_quarantined(sample) if quarantined else print_rows(sample)
    if sample.failed:
        raise typer.Exit(1)


def _day(text: str | None) -> dt.date:
    from millpond.cli.arguments import parse_window
    from millpond.partitions import latest_complete_day
    from millpond.settings import settings

    return parse_window(text).start if text else latest_complete_day(settings().zone)


def _file(name: str, configured: Settings) -> Path:
    from millpond.errors import ConfigError
    from millpond.settings import source_files

    files = {file.stem: file for file in source_files(configured.code)}
    if name not in files:
        raise ConfigError(
            f"there is no source {name}",
            next_step=f"choose among {', '.join(files) or 'none'}; `millpond sources new` adds one",
        )
    return files[name]
