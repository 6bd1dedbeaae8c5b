"""A companion process, called like a function, so that a command and its companion import in parallel.

Without a companion, calls are made in this process, with the same result.
"""

from __future__ import annotations

import importlib
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Literal

from millpond.errors import EmbeddedPartError
from millpond.runtime.children import Piped, start_piped
from millpond.runtime.home import layout
from millpond.runtime.processes import tail
from millpond.settings import settings

_MODULE = "millpond.runtime.companion_process"
_ENDING_SECONDS = 0.5


@dataclass(frozen=True)
class Call:
    """A call of `module:function` with its arguments; `wanted` if it should report events."""

    function: str
    args: tuple[Any, ...]
    named: dict[str, Any]
    wanted: bool

    def make(self, on_event: Callable[[Any], None] | None) -> Any:
        """Call the function in this process."""
        module, _, name = self.function.partition(":")
        function = getattr(importlib.import_module(module), name)
        named = self.named | ({"on_event": on_event} if self.wanted else {})
        return function(*self.args, **named)


@dataclass(frozen=True)
class Reply:
    """A reply of a companion: an event of the call, its result, or the exception it raised."""

    kind: Literal["event", "result", "raised"]
    what: Any


@dataclass
class _Companion:
    process: Piped
    pipe: Connection
    log: Path


_running: dict[str, _Companion] = {}


@contextmanager
def run_companion(package: str, warm_up: str) -> Iterator[None]:
    """Run a companion within the block, which executes the calls to functions of `package`.

    It calls `warm_up`, `module:function`, at once. It ends with the block, or with this process.
    """
    _running[package] = child = _start(package, warm_up)
    try:
        yield
    finally:
        _end(package, child)


def dismiss(package: str) -> None:
    """End the companion of `package`, if any, because it will not be called."""
    if package in _running:
        _end(package, _running[package])


def is_running(package: str) -> bool:
    """Return whether `package` has a companion."""
    return package in _running


def call(function: str, *args: Any, on_event: Callable[[Any], None] | None = None, **named: Any) -> Any:
    """Call `module:function`, in a companion if there is one; returns or raises what it does.

    `on_event`, if given, is passed to the function; all other arguments must be picklable. Raises
    EmbeddedPartError if the companion ends meanwhile; later calls are made in this process.
    """
    request = Call(function, args, named, on_event is not None)
    module = function.partition(":")[0]
    package = next((package for package in _running if f"{module}.".startswith(f"{package}.")), None)
    if package is None:
        return request.make(on_event)
    child = _running[package]
    try:
        child.pipe.send(request)
        while (reply := child.pipe.recv()).kind == "event":
            assert on_event
            on_event(reply.what)
    except (EOFError, OSError) as error:
        _end(package, child)
        raise _companion_error(function, child) from error
    except BaseException:  # the call must not continue when nothing waits for it
        _end(package, child)
        raise
    if reply.kind == "raised":
        raise reply.what
    return reply.what


def _start(package: str, warm_up: str) -> _Companion:
    log = layout(settings()).logs / f"companion-{package.rpartition('.')[2]}.log"
    return _Companion(*start_piped(_MODULE, [warm_up], preload="millpond", log=log), log)


def _end(package: str, child: _Companion) -> None:
    if _running.get(package) is child:
        del _running[package]
    child.pipe.close()
    child.process.kill()
    with suppress(subprocess.TimeoutExpired):
        child.process.wait(_ENDING_SECONDS)


def _companion_error(function: str, child: _Companion) -> EmbeddedPartError:
    return EmbeddedPartError(
        f"the companion process ended while it ran {function.rpartition(':')[2]};"
        f" its log ends:\n{tail(child.log)}",
        unharmed="the lake: it writes on a branch of its own and merges at the end",
        next_step=f"run it again; if this happens again, read {child.log}",
    )
