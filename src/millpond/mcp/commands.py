"""Commands that agents may start: plans, branches, and runs on a branch."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any, Final

from millpond.errors import CommandFailed, RefRefused
from millpond.naming import MAIN_REF, ref_name
from millpond.partitions import Window
from millpond.redaction import redacted
from millpond.settings import process_environment

_PLAN_SECONDS: Final = 300.0
_RUN_SECONDS: Final = 3600.0


def plan_backfill(selection: str, days: str, ref: str) -> Any:
    """Return what a backfill of `days` (`A...B`) would do and why; nothing is run."""
    window = Window.parse(days)
    dates = ["--start-date", str(window.start), "--end-date", str(window.last)]
    options = [*dates, "--ref", ref_name(ref), "--dry-run"]
    return _run(["backfill", *options], selection, _PLAN_SECONDS)


def create_branch(name: str) -> Any:
    """Create a branch of main: all tables as they are now, without copying."""
    return _run(["branch", "create"], ref_name(name), _PLAN_SECONDS)


def materialize(selection: str, days: str, branch: str) -> Any:
    """Materialize assets for `days` on a branch. Raises RefRefused for main."""
    if ref_name(branch) == MAIN_REF:
        raise RefRefused(
            "agents do not write to main",
            unharmed="everything; nothing was started",
            next_step="create_branch, then materialize there; a person runs `millpond branch merge NAME`",
        )
    window = Window.parse(days)
    options = [*window.option.split(), "--ref", ref_name(branch)]
    return _run(["materialize", *options], selection, _RUN_SECONDS)


def _run(command: list[str], argument: str, seconds: float) -> Any:
    """Return the JSON that a command prints; what is typed comes after `--`, so it is no option."""
    try:
        done = subprocess.run(
            [sys.executable, "-m", "millpond.cli.main", *command, "--json", "--", argument],
            env=process_environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise CommandFailed(
            f"`millpond {command[0]}` took more than {seconds / 60:.0f} minutes and was stopped",
            unharmed="main; what was complete on the branch stays",
            next_step="take fewer days",
        ) from None
    try:
        answer = json.loads(redacted(done.stdout))
    except ValueError:
        raise _failure(done.stderr) from None
    if done.returncode:
        raise CommandFailed(
            f"`millpond {command[0]}` failed: {json.dumps(answer)}",
            unharmed="main",
            next_step="read the errors of its assets",
        )
    return answer


def _failure(printed: str) -> CommandFailed:
    """Return the error that a command printed as JSON on its last line."""
    lines = redacted(printed).strip().splitlines() or ["it printed nothing"]
    for line in reversed(lines):
        try:
            told = json.loads(line)["error"]
            return CommandFailed(told["what"], unharmed=told["unharmed"], next_step=told["next"])
        except (ValueError, KeyError, TypeError):
            continue
    return CommandFailed("\n".join(lines[-10:]), unharmed="main")
