"""Importing this module loads what runs need, for the process that they are forked from.

On Linux the importing process forks another before it loads the definitions, which goes on in its place; it
forks it again if it ends, and the one that commands are forked from: see `runtime.warm_parent` and
`runtime.warm_pool`.
"""

from __future__ import annotations

import atexit
import gc
import logging
import os
import signal
import sys
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import NoReturn

import millpond
from millpond.runs.warm_server import load_code, prepare
from millpond.runtime.child import draw_own_numbers, end_with_parent
from millpond.runtime.children import MARK
from millpond.runtime.ending import flush, free_locks
from millpond.runtime.garbage import collect_rarely_in_children
from millpond.runtime.home import CODE_LOCATION
from millpond.runtime.warm_parent import WarmParent
from millpond.runtime.warm_pool import Pool, Stamp, stamp_code, watch_environment

_BEGAN = time.time()
_FILES_OF_PYTHON = 256


def _serve_commands(
    root: Path, read: Mapping[str, str | None], loaded: Stamp, modules: Sequence[str]
) -> NoReturn:
    """Answer commands for as long as the parent lives; without this process they run by themselves."""
    try:
        os.closerange(3, _FILES_OF_PYTHON)  # those of `multiprocessing`
        with watch_environment() as more:
            for name in modules:
                import_module(name)
        gc.collect()
        gc.freeze()
        Pool(root, {**more, **read}, _BEGAN, loaded).serve()
    except BaseException:  # noqa: BLE001 - its parent forks another one
        traceback.print_exc()
        sys.stderr.flush()
    os._exit(1)


def _list_modules(before: frozenset[str]) -> list[str]:
    """Return the imported modules that are no part of a project, but those of `before`."""
    ours = (str(Path(str(millpond.__file__)).parent), sys.prefix, sys.base_prefix)
    return [
        name
        for name, module in list(sys.modules.items())
        if name not in before | {CODE_LOCATION} and str(getattr(module, "__file__", "")).startswith(ours)
    ]


def _end_at_once(pid: int) -> None:
    """End without the destructors of libraries: their threads are not in this fork, and they would abort."""
    if os.getpid() == pid:
        flush()
        free_locks()
        os._exit(0)


@contextmanager
def _keep_root_logger() -> Iterator[None]:
    """Undo what libraries do to the root logger as they load, so that a project can configure it."""
    root = logging.getLogger()
    handlers, level = [*root.handlers], root.level
    try:
        yield
    finally:
        for handler in [handler for handler in root.handlers if handler not in handlers]:
            root.removeHandler(handler)
        root.setLevel(level)


def _load() -> None:
    # Without a file it is a person at a prompt to DuckDB, which would draw bars of its progress there.
    sys.modules["__main__"].__file__ = __file__
    with watch_environment() as read, _keep_root_logger():
        load_code()
    gc.collect()
    gc.freeze()
    if sys.platform != "linux":
        prepare()
        return
    before, root = frozenset(sys.modules), os.environ.get(MARK)  # noqa: TID251 - marks what `millpond up` runs
    serve = partial(_serve_commands, Path(root or ""), read, stamp_code())
    parent = WarmParent(Path(root, "run") if root else None, serve)
    writer = parent.fork_runs()
    atexit.register(_end_at_once, os.getpid())
    with open(writer, "w", encoding="utf-8") as names:
        try:
            with _keep_root_logger():
                prepare()
        finally:
            names.write("\n".join(_list_modules(before)))


try:
    _load()
except Exception:  # noqa: BLE001 - the log of the code server gets it; a run that meets the error records it
    traceback.print_exc()
LOADED = frozenset(sys.modules)
"""Modules that a run need not import."""
collect_rarely_in_children()
# It ends with the code server. If all are told to end, runs have time to say that they were stopped.
_USUAL = signal.signal(signal.SIGTERM, signal.SIG_IGN) or signal.SIG_DFL
_SERVER = os.getpid()


def _begin_run() -> None:
    """Have a run end with this process, which alone learns its exit code, and when it is told to.

    A run that outlived it would be recorded as failed while it works. Forks that a run makes are its own.
    """
    if os.getppid() != _SERVER:
        return
    end_with_parent(signal.SIGKILL)
    signal.signal(signal.SIGTERM, _USUAL)
    draw_own_numbers()


os.register_at_fork(after_in_child=_begin_run)
