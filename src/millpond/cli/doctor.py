"""`millpond doctor`: examines a home, says what is wrong and what mends it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from millpond.naming import pluralize

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from millpond.cli.doctor_findings import Finding


def doctor(
    fix: Annotated[
        bool, typer.Option("--fix", help="Mend what can be mended without a decision of yours.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False,
) -> None:
    """Examine this home: disk, settings, packages, parts, versions, clock, locks, runs, branches, alerts.

    Each finding has a remedy. --fix closes runs whose process is gone, frees the pool slots that they
    held, drops audit branches that are due, and closes files to others; it touches no data. Exits with 1
    if a problem is left, or there is no home yet; hints alone exit with 0. Starts nothing there.

    Examples: millpond doctor
              millpond doctor --fix
    """
    from millpond.cli import output

    left = 0
    results = []
    for name, findings in _examine():
        mended = _mend(findings) if fix else set[int]()
        left += sum(f.kind == "problem" and n not in mended for n, f in enumerate(findings))
        results.append((name, findings, mended))
        if not as_json:
            _print(name, findings, mended)
    if as_json:
        output.print_json(
            [
                {"check": name, "kind": f.kind, "what": f.what, "remedy": f.remedy, "fixed": n in mended}
                for name, findings, mended in results
                for n, f in enumerate(findings)
            ]
        )
    elif left:
        typer.echo(f"{pluralize(left, 'problem')} left")
    else:
        typer.echo("no problems")
    if left:
        raise typer.Exit(1)


def _examine() -> Iterator[tuple[str, list[Finding]]]:
    """Yield the results of all checks; those of the state only if there is a home that can be used."""
    from millpond.cli.doctor_checks import OF_STATE, WITHOUT_STATE, examine
    from millpond.cli.doctor_findings import Finding
    from millpond.errors import MillpondError
    from millpond.runtime.databases import refuse_other_version
    from millpond.settings import settings

    yield from examine(WITHOUT_STATE)
    if not settings().scale and (missing := _find_missing_state()):
        yield "home", [missing]
        return
    try:
        refuse_other_version()
    except MillpondError as error:
        yield "home", [Finding(error.what, error.next_step)]
        return
    yield from examine(OF_STATE)


def _find_missing_state() -> Finding | None:
    """Return what to do where there are no databases to examine; none are created for that."""
    from millpond.cli.doctor_findings import Finding
    from millpond.runtime.home import locate
    from millpond.settings import settings

    home = locate(settings())
    if (home.postgres / "data" / "PG_VERSION").exists():
        return None
    if home.warehouse.is_dir() and any(home.warehouse.iterdir()):
        what = f"the home at {home.root} has lost its databases; tables are in its warehouse"
        return Finding(what, "millpond restore PATH, or without a backup: millpond restore --from-warehouse")
    begin = "millpond demo, or millpond materialize '*'; if there is one elsewhere, set MILLPOND_HOME"
    return Finding(f"there is no home at {home.root} yet", begin)


def _mend(findings: list[Finding]) -> set[int]:
    """Mend what has a fix, each fix once; returns which findings are mended."""
    done: set[Callable[[], object]] = set()
    for finding in findings:
        if finding.fix and finding.fix not in done:
            finding.fix()
            done.add(finding.fix)
    return {number for number, finding in enumerate(findings) if finding.fix}


def _print(name: str, findings: list[Finding], mended: set[int]) -> None:
    from millpond.cli import output

    if not findings:
        typer.echo(f"✓ {name}")
    for number, finding in enumerate(findings):
        if number in mended:
            output.print_text(f"✓ {name}: {finding.what}; mended")
        else:
            output.print_text(f"{'✗' if finding.kind == 'problem' else '·'} {name}: {finding.what}")
            typer.echo(f"  Next: {finding.remedy}")
