"""Running tasks of maintenance: each for itself, so that one that fails does not keep the others from it."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from millpond.errors import MillpondError
from millpond.maintenance.task import Result, Task
from millpond.maintenance.tasks import TASKS
from millpond.naming import selection_error


@dataclass(frozen=True)
class Done:
    """A task that was run, with its result, or with the error that ended it."""

    task: Task
    result: Result
    error: MillpondError | None = None


def choose_tasks(names: Collection[str]) -> list[Task]:
    """Return the tasks of these names, all without any, in their order; raises ConfigError."""
    known = [task.name for task in TASKS]
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
            raise selection_error(f"no task of maintenance is called {name!r}", near, known)
    return [task for task in TASKS if not names or task.name in names]


def run_tasks(tasks: Iterable[Task], *, dry_run: bool) -> Iterator[Done]:
    """Run the tasks one after another, and yield what each did as soon as it has ended."""
    for task in tasks:
        try:
            yield Done(task, task.run(dry_run))
        except MillpondError as error:
            yield Done(task, Result(), error)
