"""The processes that runs and commands are forked from, as parts: the code server starts them, also again."""

from __future__ import annotations

import math
import sys
from contextlib import suppress
from functools import partial

from millpond.runtime.home import Home
from millpond.runtime.part import STARTING, UP, Health, Part
from millpond.runtime.processes import Process, find_process, is_recorded
from millpond.runtime.supervised_parts import CODE_SERVER
from millpond.runtime.warm_client import COMMAND_SERVER, RUN_SERVER
from millpond.runtime.warm_pool import NOTE
from millpond.settings import Settings

_MEANWHILE = {
    RUN_SERVER: "the runs that it had end as failed; the next ones wait for it",
    COMMAND_SERVER: "until then commands load the code themselves",
}


def build_warm_parts(settings: Settings, home: Home) -> list[Part]:
    """Return both, which `millpond up` counts as up without; none where runs start in new processes."""
    if not settings.warm_runs or sys.platform != "linux":
        return []
    return [_build_part(home, name) for name in (RUN_SERVER, COMMAND_SERVER)]


def _build_part(home: Home, name: str) -> Part:
    def examine(process: Process) -> Health:
        now = find_process(home, name) or process
        return Health(UP) if now.ready else Health(STARTING, "loads the code")

    def explain() -> str:
        if not is_recorded(home.run, name):
            return ""  # no longer needed: a reload replaces it
        if name == COMMAND_SERVER:
            with suppress(FileNotFoundError):
                return (home.run / NOTE).read_text()
        return f"ended; {CODE_SERVER} starts it again, {_MEANWHILE[name]}"

    return Part(
        name,
        partial(find_process, home, name),
        lambda: None,
        examine,
        start_seconds=math.inf,
        silence_seconds=math.inf,
        optional=True,
        started_by=CODE_SERVER,
        explain=explain,
    )
