"""`millpond config`: every setting, its value, where it comes from."""

from __future__ import annotations

from typing import Annotated

import typer

from millpond.redaction import redacted

app = typer.Typer(no_args_is_help=True, help="Look at the settings of this installation.")


@app.callback()
def _group() -> None:
    """Look at the settings of this installation."""


@app.command("show")
def show(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False,
) -> None:
    """Print every setting with its value and its origin; secrets are masked.

    Example: millpond config show --json
    """
    from millpond import settings as s
    from millpond.cli import output
    from millpond.settings_sources import SourceSettings

    current, origin = s.settings(), s.origins()
    rows: list[tuple[str, object, str, str]] = []
    for name, field in s.Settings.model_fields.items():
        if name != "sources":
            var = s.variable(name)
            rows.append(
                (var, _shown(getattr(current, name)), origin.get(var, "default"), field.description or "")
            )
    for source in s.source_names(current.project):
        for name, field in SourceSettings.model_fields.items():
            var = s.variable(name, source)
            value = getattr(current.source(source), name)
            rows.append((var, _shown(value), origin.get(var, "default"), field.description or ""))
    columns = ("setting", "value", "origin", "meaning")
    (output.rows_as_json if as_json else output.rows_as_table)(columns, rows)


def _shown(value: object) -> str | int | None:
    if value is None or isinstance(value, int):
        return value
    return redacted(str(value))
