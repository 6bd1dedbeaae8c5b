"""Names: valid identifiers, quoting, and constants that all packages share."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from typing import Final

from millpond.errors import ConfigError

LAYERS: Final = ("raw", "bronze", "silver", "gold", "quarantine")
MAIN_REF: Final = "main"

PARTITION_COLUMN: Final = "_partition_date"
"""Column with the partition date of a raw row, in the configured time zone."""
LINEAGE_COLUMNS: Final = (PARTITION_COLUMN, "_run_id", "_loaded_at")
"""Columns with the origin of a row, which are not content."""

PAUSE_KEY: Final = "millpond/automation_pause"
"""Key of a home's pause in Dagster's storage of cursors."""

_IDENTIFIER = re.compile(r"[a-z_][a-z0-9_]{0,62}")
_NOT_IN_DAGSTER = re.compile(r"[^A-Za-z0-9_]")
_REF = re.compile(r"[a-z0-9][a-z0-9_]{0,56}")
"""`marts_<ref>` is a Postgres schema: 63 characters at most, and a different one for each ref."""


def identifier(name: str, what: str = "name") -> str:
    """Return `name` if it is a valid identifier in Iceberg, dbt and Postgres.

    Raises ConfigError otherwise: lower-case letters, digits and underscores, 63 characters at most.
    """
    if not is_identifier(name):
        raise ConfigError(
            f"{what} {name!r} is not a valid identifier",
            next_step="use lower-case letters, digits and underscores, not starting with a digit, "
            "63 characters at most, for example glucose_entries",
        )
    return name


def is_identifier(name: str) -> bool:
    """Return whether `name` is a valid identifier, see `identifier`."""
    return bool(_IDENTIFIER.fullmatch(name))


def table_name(name: str) -> tuple[str, str]:
    """Split `layer.table` into its two identifiers; raises ConfigError if it is anything else."""
    layer, _, table = name.partition(".")
    if layer not in LAYERS or not table:
        raise ConfigError(
            f"table {name!r} does not read <layer>.<name>",
            next_step=f"use one of the layers {', '.join(LAYERS)}, for example raw.glucose_entries",
        )
    return layer, identifier(table, "table")


def ref_name(name: str) -> str:
    """Return `name` if it is a valid name of a ref; raises ConfigError otherwise."""
    if not _REF.fullmatch(name):
        raise ConfigError(
            f"ref {name!r} is not a valid name",
            next_step="use lower-case letters, digits and underscores, 57 at most, for example dev",
        )
    return name


def dagster_name(name: object) -> str:
    """Return `name` with characters replaced that Dagster does not allow in names of steps and checks."""
    return _NOT_IN_DAGSTER.sub("_", str(name))


def ref_option(ref: str) -> str:
    """Return the option for `ref` of a command; empty for main."""
    return "" if ref == MAIN_REF else f" --ref {ref}"


def marts_schema(ref: str) -> str:
    """Return the Postgres schema that the marts of `ref` are published to: `marts`, `marts_dev`, …"""
    return "marts" if ref == MAIN_REF else f"marts_{ref_name(ref)}"


def quoted(name: str) -> str:
    """Return `name` as a double-quoted SQL identifier (DuckDB, Trino, Postgres)."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """Return `text` as a single-quoted SQL string literal (DuckDB, Trino, Postgres)."""
    return "'" + text.replace("'", "''") + "'"


_SHOWN = 20
"""How many names a message lists."""


def unknown_asset_error(name: str, known: Sequence[str]) -> ConfigError:
    """Return the error for an asset called `name`, with the nearest of the `known` ones."""
    ending = [k for k in known if k.split("/")[-1] == name]
    near = list(dict.fromkeys(ending + difflib.get_close_matches(name, known, n=3, cutoff=0.5)))[:3]
    return selection_error(f"no asset is called {name!r}", near, known)


def selection_error(what: str, near: Sequence[str], known: Sequence[str]) -> ConfigError:
    """Return the error for a selection, with similar names, else the existing ones."""
    advice = f"did you mean {' or '.join(near)}?" if near else f"there are: {', '.join(known[:_SHOWN])}"
    if not near and (more := len(known) - _SHOWN) > 0:
        advice += f" and {more} more; `millpond tables` and `millpond sources list` name most of them"
    return ConfigError(what, unharmed="everything; nothing was started", next_step=advice)


_OF_ONE = {"stay": "stays"} | {
    "are": "is",
    "were": "was",
    "do": "does",
    "have": "has",
    "break": "breaks",
    "read": "reads",
}


def pluralize(number: float, word: str, verb: str = "") -> str:
    """Return `1 table`, `2 tables`; with the verb `are`, `1 table is`, `2 tables are`."""
    counted = f"{number:,} {word}{'' if number == 1 else 's'}"
    return f"{counted} {agree(number, verb)}" if verb else counted


def agree(number: float, verb: str) -> str:
    """Return the form of a verb such as `are` for so many things."""
    return _OF_ONE[verb] if number == 1 else verb
