"""`millpond maintain`: what housekeeping does at night, by hand."""

from __future__ import annotations

from typing import Annotated

import typer

from millpond.cli.spans import span


def maintain(
    older_than: Annotated[
        str | None,
        typer.Option(
            "--older-than",
            help="Age such as 3d or 36h, at least a day; default: MILLPOND_ORPHAN_RETENTION_DAYS.",
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list what would go.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False,
) -> None:
    """Drop old audit branches and remove files that no table, branch or pin leads to any more.

    Nothing that a ref can still show is touched. By itself this happens at night, the files at weekends.

    Example: millpond maintain --dry-run
    """
    from millpond.cli import output
    from millpond.lake import nessie, orphans, retention
    from millpond.runtime import deployment
    from millpond.settings import settings

    dropped = [ref.name for ref in retention.clean(dry_run=dry_run)]
    found = orphans.sweep(span(older_than) if older_than is not None else None, dry_run=dry_run)
    if not dry_run:
        deployment.forget_old(settings())
    size = sum(orphan.bytes for orphan in found)
    if as_json:
        output.as_json({"dry_run": dry_run, "branches": dropped, "files": found, "bytes": size})
        return
    if nessie.used():
        typer.echo(orphans.NESSIE)
    would = "would go" if dry_run else "gone"
    folders: dict[str, list[int]] = {}
    for orphan in found:
        folders.setdefault("/".join(orphan.location.split("/")[-4:-2]), []).append(orphan.bytes)
    if found:
        rows = [(folder, len(sizes), sum(sizes)) for folder, sizes in sorted(folders.items())]
        output.rows_as_table(["table", "files", "bytes"], rows)
    typer.echo(f"{would}: {len(dropped)} audit branches, {len(found)} files of {size / 1e6:.1f} MB")
