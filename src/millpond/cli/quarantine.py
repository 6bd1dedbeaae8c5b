"""`millpond quarantine`: rows that broke the contract of their table, and what becomes of them."""

from __future__ import annotations

from typing import Annotated

import typer

app = typer.Typer(
    no_args_is_help=True,
    help="Rows that broke the contract of their table: list and show them, load or remove them.\n\n"
    "They are kept with the reason and as the source sent them. Of a day that was refused because too many "
    "of its rows were bad, all rows are kept. docs/quarantine.md has more.\n\n"
    "A rule is a column and what is wrong with it: sgv:type, sgv:max, date:missing; the column alone means "
    "all of its rules. `list` shows the rules that rows broke.",
)

Name = Annotated[
    str, typer.Argument(help="Source, table or asset, for example nightscout or dlt_glucose_entries.")
]
Partition = Annotated[str | None, typer.Option("--partition", "-p", help="The day, YYYY-MM-DD.")]
Range = Annotated[str | None, typer.Option("--range", "-r", help="Days A...B, both included.")]
Rule = Annotated[
    str | None, typer.Option("--rule", help="Only rows that broke this rule, for example sgv:type or sgv.")
]
Ref = Annotated[str | None, typer.Option("--ref", help="Branch; default: MILLPOND_REF.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]


@app.command("list")
def list_(
    name: Annotated[str | None, typer.Argument(help="Source, table or asset; default: all.")] = None,
    partition: Partition = None,
    range_: Range = None,
    rule: Rule = None,
    ref: Ref = None,
    as_json: AsJson = False,
) -> None:
    """List how many rows of each table and day broke which rule.

    A row that broke two rules is counted for each. `refused` days are not loaded: all their rows are kept,
    also those that broke no rule.

    Examples: millpond quarantine list
              millpond quarantine list dlt_glucose_entries --range 2026-10-01...2026-10-31
    """
    from millpond.cli import output
    from millpond.cli.quarantine_view import COLUMNS, as_rows, choose
    from millpond.ingestion.quarantine import count_rules

    chosen = choose(name, partition, range_, rule, ref)
    found = [
        each
        for each in count_rules(chosen.tables, chosen.ref, chosen.window)
        if rule is None or (each.rule and rule in (each.rule, each.rule.partition(":")[0]))
    ]
    if as_json:
        output.print_json(found)
    elif found:
        output.print_rows_as_table(COLUMNS, as_rows(found))
    else:
        typer.echo("no rows are in quarantine")


@app.command()
def show(
    name: Name,
    partition: Partition = None,
    range_: Range = None,
    rule: Rule = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="Show at most so many rows.")] = 20,
    ref: Ref = None,
    as_json: AsJson = False,
) -> None:
    """Show rows that broke the contract: why, and what the source sent; --json has it whole.

    Examples: millpond quarantine show dlt_glucose_entries --partition 2026-11-01
              millpond quarantine show glucose_entries --rule sgv:type --limit 5
    """
    from millpond.cli.quarantine_view import choose, show_rows

    show_rows(choose(name, partition, range_, rule, ref), limit, as_json=as_json)


@app.command()
def replay(
    name: Name,
    partition: Partition = None,
    range_: Range = None,
    rule: Rule = None,
    downstream: Annotated[
        bool, typer.Option("--downstream/--only", help="Also build again what reads it, in the same run.")
    ] = False,
    ref: Ref = None,
    as_json: AsJson = False,
) -> None:
    """Judge rows in quarantine by the contract as it is now, and load those that pass. No request is sent.

    The others stay, with their new reason. A day that was refused is loaded whole, or refused again. What
    reads the table is stale then. Without days all rows of the table are judged.

    Examples: millpond quarantine replay dlt_glucose_entries --partition 2026-11-01
              millpond quarantine replay glucose_entries --rule sgv:type --downstream
    """
    from millpond.cli.quarantine_view import choose, settle

    chosen = choose(name, partition, range_, rule, ref)
    if not settle(chosen, "replay", downstream=downstream, as_json=as_json):
        raise typer.Exit(1)


@app.command()
def discard(
    name: Name,
    partition: Partition = None,
    range_: Range = None,
    rule: Rule = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Remove them without a question.")] = False,
    ref: Ref = None,
    as_json: AsJson = False,
) -> None:
    """Remove rows from quarantine for good. Rows that are loaded stay.

    Of a day that was refused the rows kept for that are removed, and the day stays as it was loaded before.

    Examples: millpond quarantine discard dlt_glucose_entries --partition 2026-11-01 --yes
              millpond quarantine discard glucose_entries --partition 2026-11-01 --rule sgv:min --yes
    """
    from millpond.cli.quarantine_view import choose, confirm_discard, settle

    if not (partition or range_):
        raise typer.BadParameter(
            "give either --partition or --range; `millpond quarantine list` has the days"
        )
    chosen = choose(name, partition, range_, rule, ref)
    confirm_discard(chosen, yes=yes, as_json=as_json)
    if not settle(chosen, "discard", downstream=False, as_json=as_json):
        raise typer.Exit(1)
