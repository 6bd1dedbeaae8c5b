"""The current status of each part of a home, with its history from the supervisor."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial

from millpond.runtime.down import SUPERVISOR
from millpond.runtime.home import Home, locate
from millpond.runtime.part import DOWN, STARTING, UP, Part, State, Status, check_health, read_last_statuses
from millpond.runtime.processes import Process, find_process
from millpond.runtime.servers import ServerState, check_servers
from millpond.runtime.supervisor import build_parts
from millpond.settings import Settings


@dataclass(frozen=True)
class Report:
    """The supervisor, if it runs, every part of `millpond up`, and your own servers."""

    supervisor: Process | None
    parts: list[Status]
    servers: list[ServerState]

    @property
    def is_up(self) -> bool:
        """Whether `millpond up` runs, each part that must be is up, and each server answers."""
        at_work = all(part.serves for part in self.parts) and all(s.answers for s in self.servers)
        return self.supervisor is not None and at_work

    def has(self, name: str) -> bool:
        """Return whether a part or a server is up."""
        return any(part.name == name and part.state == UP for part in self.parts) or any(
            server.name == name and server.answers for server in self.servers
        )


def read_status(settings: Settings) -> Report:
    """Return the status of all parts; starts and creates nothing."""
    home = locate(settings)
    supervisor = find_process(home, SUPERVISOR)
    known = read_last_statuses(home, supervisor.pid) if supervisor else {}
    parts = build_parts(settings, home)
    past = [_begin(part, known.get(part.name) or Status(part.name), supervisor) for part in parts]
    with ThreadPoolExecutor(len(parts)) as pool:
        found = pool.map(partial(_check_part, home), parts, past)
        return Report(supervisor, list(found), check_servers(settings))


def _begin(part: Part, past: Status, supervisor: Process | None) -> Status:
    """Return a status that says of a part which a supervisor has yet to start that it is starting."""
    untouched = past.state == DOWN and past.pid is None and not past.restarts and not past.note
    return replace(past, state=STARTING) if supervisor and untouched and part.wanted() else past


def _check_part(home: Home, part: Part, past: Status) -> Status:
    past = replace(past, optional=part.optional)
    process = part.find()
    log = str(part.log_in(home.logs))
    if process is None:
        # What another part has yet to start has no process meanwhile.
        gone: State = STARTING if past.state == STARTING and past.pid is None else DOWN
        return replace(past, state=gone, address=part.address_of(None), pid=None, since=None, log=log)
    health = check_health(part, process)
    state: State = health.state
    if state != UP and (past.state == STARTING or (past.pid == process.pid and state == STARTING)):
        # What is still starting is not unhealthy, and what is up does not start again.
        state = past.state
    note = "" if state == UP else health.note
    if state == STARTING and health.state != STARTING:
        note = "is starting, and does not answer yet"
    return Status(
        part.name,
        state,
        part.address_of(process),
        process.pid,
        process.started,
        past.restarts,
        log,
        note,
        part.optional,
    )
