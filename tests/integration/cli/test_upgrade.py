"""`millpond upgrade`, and what commands do in a home of another release."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from former_state import contents, stamp
from millpond.errors import HomeTooNew
from millpond.resources.instance import instance
from millpond.runtime.databases import refuse_other_version
from millpond.runtime.home import Home

COMMANDS = (
    ("sql", "select 1"),
    ("tables",),
    ("branch", "list"),
    ("branch", "create", "dev"),
    ("materialize", "dlt_glucose_entries", "--partition", "2026-11-01"),
    ("backfill", "dlt_glucose_entries", "--partitions", "2026-11-01", "--dry-run"),
    ("backfill", "list"),
    ("alerts", "list"),
    ("automation", "list"),
    ("sources", "list"),
    ("sources", "held"),
    ("maintain", "--dry-run"),
    ("retire", "gold.former"),
    ("env",),
    ("demo", "--days", "1"),
)


def test_every_command_refuses_a_home_of_a_newer_release_and_changes_nothing(
    bare: Home, run: Callable[..., tuple[int, str, str]]
) -> None:
    refuse_other_version()
    stamp(7)
    before = contents()
    for command in COMMANDS:
        code, out, said = run(*command)
        words = " ".join((out + said).split())
        assert (command, code) == (command, 2)
        assert "state has version 7, written by Millpond 9.8.7" in words, command
        assert "Unharmed: all of it: nothing was changed" in words, command
        assert "Next: `pip install 'millpond>=9.8.7'`" in words, command
    code, said, _ = run("status")
    assert code == 1
    assert "This home cannot be used: this home's state has version 7" in " ".join(said.split())
    assert '"version_refused": "this home' in run("status", "--json")[1]
    code, _, said = run("up")
    assert (code, "state has version 7" in said) == (2, True)
    assert contents() == before
    with pytest.raises(HomeTooNew):
        instance()
