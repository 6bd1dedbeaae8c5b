"""`millpond sources new`: looks at a system, proposes a source, and writes it with its bronze model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from millpond.ingestion.inspection.new_files import NewFiles
    from millpond.ingestion.inspection.proposal import Proposal
    from millpond.ingestion.inspection.sample import Sample


def new(
    name: Annotated[str, typer.Argument(help="Name of the source, and of its file in sources/.")],
    kind: Annotated[str, typer.Option("--kind", help="rest, file, sql or python.")],
    url: Annotated[
        str | None,
        typer.Option("--url", help="Address of the endpoint, folder, file or database; it goes to .env."),
    ] = None,
    table: Annotated[
        str | None,
        typer.Option("--table", help="sql: table or view, with its schema; else the raw table's name."),
    ] = None,
    path: Annotated[
        str | None,
        typer.Option("--path", help="rest: endpoint below --url; file: files, as sales_{date}.csv."),
    ] = None,
    key: Annotated[
        list[str] | None, typer.Option("--key", help="Column that identifies a row; may be repeated.")
    ] = None,
    time: Annotated[str | None, typer.Option("--time", help="Column that says when a row happened.")] = None,
    window: Annotated[
        list[str] | None,
        typer.Option("--window", help='rest: parameter that filters by time, as "since={start_iso}".'),
    ] = None,
    publish: Annotated[
        bool, typer.Option("--publish", help="Also write a gold model that publishes the table to Postgres.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the files, and write nothing.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files that are there.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Write the files without asking.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False,
) -> None:
    """Look at a system, propose key, time, types and paging, show a preview, and write the source.

    Written are sources/NAME.yaml, a bronze model with tests, and the address in .env. A credential is taken
    from MILLPOND_<NAME>_USER and MILLPOND_<NAME>_TOKEN in .env or the environment, or from the address; it
    never goes into another file. Files that are there stay unless you say --overwrite.

    Examples: millpond sources new shop --kind rest --url https://shop.example.org/api/orders
              millpond sources new till --kind file --url ./data/till --path "sales_{date}.csv"
              millpond sources new erp --kind sql --url sqlite:///data/erp.db --table invoices --publish
              millpond sources new feed --kind python
    """
    import sys

    from millpond.cli import output
    from millpond.ingestion.inspection.inspect import propose
    from millpond.ingestion.inspection.new_files import NewFiles
    from millpond.settings import settings

    options, configured = _options(name, kind, url, table, path, key, time, window)
    proposal, sample = propose(options, configured)
    files = NewFiles.of(proposal, configured.project, publish=publish)
    if not dry_run and not overwrite:
        files.refuse_overwriting()
    ask = not (dry_run or yes or as_json) and sys.stdin.isatty()
    if not as_json:
        _print_proposal(proposal, sample)
        if dry_run:
            _print_files(files)
    refused = dry_run or (ask and not typer.confirm("\nWrite the files?", default=True))
    written = [] if refused else files.write()
    settings.cache_clear()  # which know the new source from now on
    if as_json:
        output.print_json(_as_object(proposal, sample, files, written, publish=publish))
    elif written:
        _print_next(proposal, sample, written, publish=publish)


def _options(
    name: str,
    kind: str,
    url: str | None,
    table: str | None,
    path: str | None,
    key: list[str] | None,
    time: str | None,
    window: list[str] | None,
) -> tuple[Any, Any]:
    from millpond.cli.sources_address import place_address
    from millpond.ingestion.inspection.inspect import check_kind, table_names
    from millpond.ingestion.inspection.options import Options
    from millpond.naming import identifier
    from millpond.settings.reading import read_settings

    identifier(name)
    configured = read_settings(name)
    taken = {table for table, source in table_names(configured).items() if source != name}
    params = dict(each.partition("=")[::2] for each in window or ())
    kind = {"files": "file"}.get(kind, kind)
    check_kind(kind)
    url, account, configured = place_address(name, kind, url, configured)
    chosen = tuple(key or ())
    return Options(name, kind, url, table, path, chosen, time, params, taken, account), configured


def _print_proposal(proposal: Proposal, sample: Sample) -> None:
    from millpond.cli.sources_sample import print_columns, print_counts

    typer.echo(f"{proposal.table} of {proposal.source}")
    for note in proposal.notes:
        typer.echo(f"  {note}")
    typer.echo("")
    print_counts(sample)
    typer.echo("")
    print_columns(proposal.table_spec(), sample)


def _print_files(files: NewFiles) -> None:
    from millpond.redaction import redacted

    for file, text in files.files.items():
        typer.echo(f"\n--- {file}\n{text.rstrip()}")
    if files.variables:
        typer.echo("\n--- .env")
        for name, value in files.variables.items():
            typer.echo(f"{name}={'…' if name.endswith('_TOKEN') else redacted(value)}")


def _print_next(proposal: Proposal, sample: Sample, written: list[str], *, publish: bool) -> None:
    typer.echo("\nwrote " + "\n      ".join(written))
    typer.echo("\nNext:")
    for command in next_commands(proposal, sample, publish=publish):
        typer.echo(f"  {command}")


def next_commands(proposal: Proposal, sample: Sample, *, publish: bool) -> list[str]:
    """Return what to type once the files are written."""
    day = f" --partition {sample.window.last}" if proposal.time else ""
    there = f"marts.{proposal.table}" if publish else f"bronze.stg_{proposal.table}"
    query = f"select * from {there} limit 10"  # noqa: S608 - shown
    return [
        f"millpond sources check {proposal.source}",
        f'millpond materialize "dlt_{proposal.table}*"{day}',
        f'millpond sql "{query}"',
    ]


def _as_object(
    proposal: Proposal, sample: Sample, files: NewFiles, written: list[str], *, publish: bool
) -> dict[str, Any]:
    from millpond.cli.sources_sample import as_object

    return {
        "source": proposal.source,
        "table": proposal.table,
        "key": [field.column for field in proposal.key],
        "event_time": proposal.time.column if proposal.time else None,
        "notes": proposal.notes,
        "files": dict(files.files),
        "variables": sorted(files.variables),
        "written": written,
        "preview": as_object(sample),
        "next": next_commands(proposal, sample, publish=publish) if written else [],
    }
