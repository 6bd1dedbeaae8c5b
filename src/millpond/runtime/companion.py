"""A process beside a command's own, called like a function: both import at once what takes long.

Without one, a call is made in this process: what is called runs the same in both.
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
from millpond.runtime.children import start_piped
from millpond.runtime.home import layout
from millpond.runtime.processes import tail
from millpond.settings import settings

_MODULE = "millpond.runtime.companion_process"
_ENDING_SECONDS = 0.5


@dataclass(frozen=True)
class Call:
    """A function by its name, `module:function`, and what it is called with; events of it are `wanted`."""

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
    """What a companion answers: an event of the call, its result, or what it raised."""

    kind: Literal["event", "result", "raised"]
    what: Any


@dataclass
class _Companion:
    process: subprocess.Popen[bytes]
    pipe: Connection
    log: Path


_running: dict[str, _Companion] = {}


@contextmanager
def companion(package: str, warm_up: str) -> Iterator[None]:
    """Run a process within the block that takes the calls to functions of `package`.

    It calls `warm_up`, `module:function`, at once. It ends with the block, or with this process.
    """
    _running[package] = child = _start(package, warm_up)
    try:
        yield
    finally:
        _end(package, child)


def dismiss(package: str) -> None:
    """End the companion of `package` if there is one: nothing of it will be called."""
    if package in _running:
        _end(package, _running[package])


def call(function: str, *args: Any, on_event: Callable[[Any], None] | None = None, **named: Any) -> Any:
    """Return what `module:function` returns, or raise what it raises; called in a companion if there is one.

    `on_event`, if given, is a parameter of the function; all else must be able to pass to another process.
    Raises EmbeddedPartError if the companion ended meanwhile; later calls are made in this process.
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
    except BaseException:  # what it is at must not go on when nobody waits for it
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
        f"the process beside this one ended while it ran {function.rpartition(':')[2]};"
        f" its log ends:\n{tail(child.log)}",
        unharmed="what was there before: it writes on a branch of its own and merges at the end",
        next_step=f"repeat the run, which then does without; if it happens again, read {child.log}",
    )
