"""Importing this module loads what runs need, for the process that they are forked from.

A fork of it, made before the definitions are loaded, is the one that commands are forked from, see
`runtime.warm_pool`.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
import time
import traceback
from functools import partial
from importlib import import_module
from pathlib import Path

import millpond
from millpond.runs.warm_server import load_code, prepare
from millpond.runtime.child import end_with_parent
from millpond.runtime.children import MARK
from millpond.runtime.home import CODE_LOCATION
from millpond.runtime.warm_pool import Pool, watch_environment

_BEGAN = time.time()
_FILES_OF_PYTHON = 256


def _start_pool(read: dict[str, str | None]) -> int:
    """Fork the process that commands are forked from; it shares its memory with this one.

    Returns the descriptor of a pipe, to which this process writes the names of further modules.
    """
    parent, (names, ours) = os.getpid(), os.pipe()
    if os.fork() > 0:
        os.close(names)
        return ours
    try:
        end_with_parent(signal.SIGKILL)
        if os.getppid() == parent:
            os.dup2(names, 3)
            os.closerange(4, _FILES_OF_PYTHON)  # those of `multiprocessing`
            _serve_commands(read)
    except BaseException:  # noqa: BLE001 - commands run by themselves without it
        traceback.print_exc()
    finally:
        os._exit(1)


def _serve_commands(read: dict[str, str | None]) -> None:
    with open(3, encoding="utf-8") as names, watch_environment() as more:
        for name in names.read().split():
            import_module(name)
    gc.collect()
    gc.freeze()
    root = Path(os.environ[MARK])  # noqa: TID251 - what marks the processes of `millpond up`
    Pool(root, more | read, _BEGAN).serve()


def _list_modules(before: frozenset[str]) -> list[str]:
    """Return the imported modules that are no part of a project, but those of `before`."""
    ours = (str(Path(str(millpond.__file__)).parent), sys.prefix, sys.base_prefix)
    return [
        name
        for name, module in list(sys.modules.items())
        if name not in before | {CODE_LOCATION} and str(getattr(module, "__file__", "")).startswith(ours)
    ]


def _load() -> None:
    with watch_environment() as read:
        load_code()
    gc.collect()
    gc.freeze()
    if sys.platform != "linux":
        prepare()
        return
    before = frozenset(sys.modules)
    with open(_start_pool(read), "w", encoding="utf-8") as pool:
        try:
            prepare()
        finally:
            pool.write("\n".join(_list_modules(before)))


try:
    _load()
except Exception:  # noqa: BLE001 - the log of the code server gets it; a run that meets the error records it
    traceback.print_exc()
LOADED = frozenset(sys.modules)
"""Modules that a run need not import."""
gc.collect()
gc.freeze()
# The process that runs are forked from alone learns their exit codes. A run that outlived it would be
# recorded as failed while it works, so it is killed with it, and recorded as any run that was killed.
os.register_at_fork(after_in_child=partial(end_with_parent, signal.SIGKILL))
