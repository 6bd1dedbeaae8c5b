"""`millpond sources`: where data comes from, and whether the hosts answer."""

from __future__ import annotations

from typing import Annotated

import typer

from millpond.cli import sources_check, sources_migrate, sources_new

app = typer.Typer(
    no_args_is_help=True,
    help="The sources of sources/, and whether their hosts answer.\n\n"
    "If a host does not answer several loads in a row, requests to it pause for a while: loads fail at once. "
    "Then one request checks whether it is back. docs/sensors.md has more.\n\n"
    "Each raw table is loaded from one origin. A load from another address is refused, and demo data never "
    "mixes with real data.\n\n"
    "A day that comes back empty, or with less than half of its rows, is held back until you accept it: "
    "`held` lists such days, `accept` accepts them.",
)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]


@app.command("list")
def list_(as_json: AsJson = False) -> None:
    """List each source with its host and tables: healthy, failing, or left alone until the next try.

    `days_held` counts the days of its tables that are held back, on all refs: see `millpond sources held`.

    Example: millpond sources list
    """
    from millpond.cli import output
    from millpond.cli.sources_view import COLUMNS, list_rows

    found = list_rows()
    if as_json:
        output.print_json([dict(zip(COLUMNS, row, strict=True)) for row in found])
    else:
        output.print_rows_as_table(
            COLUMNS, [[", ".join(v) if isinstance(v, list) else v for v in r] for r in found]
        )


@app.command()
def reset(
    host: Annotated[
        str, typer.Argument(help="Host as `list` shows it, for example https://cgm.example.org:443.")
    ],
    as_json: AsJson = False,
) -> None:
    """Allow requests to a host again at once, before its pause ends; those who were notified get a message.

    Exits with 2 if the host has no recorded failures.

    Example: millpond sources reset https://cgm.example.org:443
    """
    from millpond.cli import output
    from millpond.errors import ConfigError
    from millpond.ingestion import breaker

    known = {each.host: each for each in breaker.breakers()}
    if host not in known:
        raise ConfigError(
            f"{host} has no recorded failures",
            next_step=f"hosts that failed: {', '.join(known) or 'none'}; `millpond sources list` shows all",
        )
    was_open = breaker.close(host, "Reset by hand.")
    if as_json:
        output.print_json({"host": host, "was_open": was_open})
    else:
        typer.echo(f"requests to {host} are allowed again")


@app.command("held")
def list_held(as_json: AsJson = False) -> None:
    """List the days that were held back because they have far fewer rows now.

    The rows loaded before stay visible. `accept` replaces them; a later complete load drops the new ones.

    Example: millpond sources held
    """
    from millpond.cli import output
    from millpond.cli.sources_held import COLUMNS, format_accept_lines, list_rows
    from millpond.lake.held import list_held as held_days

    found = held_days()
    if as_json:
        output.print_json(found)
        return
    if found:
        output.print_rows_as_table(COLUMNS, list_rows(found))
    for line in format_accept_lines(found) or ["no days are held back"]:
        typer.echo(line)


@app.command()
def accept(
    name: Annotated[
        str, typer.Argument(help="Source, table or asset, for example nightscout or dlt_glucose_entries.")
    ],
    partition: Annotated[str | None, typer.Option("--partition", "-p", help="The day, YYYY-MM-DD.")] = None,
    range_: Annotated[
        str | None,
        typer.Option("--range", "-r", help="Days A...B, both included; accepts those held back."),
    ] = None,
    downstream: Annotated[
        bool, typer.Option("--downstream/--only", help="Include assets downstream, in the same run.")
    ] = True,
    ref: Annotated[str | None, typer.Option("--ref", help="Branch; default: MILLPOND_REF.")] = None,
    as_json: AsJson = False,
) -> None:
    """Accept the rows of days that were held back, if the source really has fewer. No request is sent.

    An empty day is then empty in every layer. Exits with 2 if nothing is held back for these days.

    Examples: millpond sources accept dlt_glucose_entries --partition 2026-11-01
              millpond sources accept nightscout --range 2026-10-01...2026-10-31
              millpond sources accept nightscout --partition 2026-11-01 --only
    """
    from millpond.cli.sources_held import accept as accept_days
    from millpond.cli.sources_held import find_raw_tables

    find_raw_tables(name)  # report a wrong name before a wrong day
    if bool(partition) == bool(range_):
        raise typer.BadParameter("give either --partition or --range; `millpond sources held` lists the days")
    days = str(partition or range_)
    if not accept_days(name, days, downstream=downstream, ref=ref, as_json=as_json):
        raise typer.Exit(1)


@app.command("moved")
def accept_move(
    source: Annotated[str, typer.Argument(help="Source as `list` shows it, for example nightscout.")],
    as_json: AsJson = False,
) -> None:
    """Confirm that a source has moved: its new address serves the same data as the previous one.

    Until then a load from another host, path or account is refused, so that data of two servers never mixes.
    Loaded data stays. Demo data cannot be moved: your own data needs a separate home.

    Example: MILLPOND_NIGHTSCOUT_URL=https://new.example.org millpond sources moved nightscout
    """
    from millpond.cli import output
    from millpond.errors import ConfigError
    from millpond.ingestion.origins import accept_move
    from millpond.ingestion.reading import load_sources
    from millpond.settings import settings

    known = {each.source: each for each in load_sources(settings())}
    if source not in known:
        raise ConfigError(
            f"there is no source {source}", next_step=f"choose among {', '.join(known) or 'none'}"
        )
    former = accept_move(known[source], settings())
    if as_json:
        output.print_json({"source": source, "former": former})
    elif former:
        typer.echo(f"{source} has moved; previously {', '.join(former)}")
    else:
        typer.echo(f"nothing to do: no data of {source} was loaded from another address")


@app.command("schema")
def write_schema(
    write: Annotated[
        bool, typer.Option("--write", help="Write it to sources/source.schema.json, where editors find it.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Print the JSON Schema of a source, by which an editor completes keys and marks mistakes.

    A file uses it by its first line: `# yaml-language-server: $schema=source.schema.json`. What is printed is
    JSON in any case; with --write and --json, it is the name of the file.

    Examples: millpond sources schema
              millpond sources schema --write
    """
    from millpond.cli import output
    from millpond.ingestion.json_schema import source_schema, write_source_schema
    from millpond.settings import settings

    if not write:
        output.print_json(source_schema())
        return
    file = write_source_schema(settings().project)
    if as_json:
        output.print_json({"file": str(file)})
    else:
        typer.echo(f"wrote {file}")


app.command("migrate")(sources_migrate.migrate)
app.command("new")(sources_new.new)
app.command("check")(sources_check.check)
app.command("preview")(sources_check.preview)
