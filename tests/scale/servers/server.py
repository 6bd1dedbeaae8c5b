"""One server process: started from its command, awaited by what it answers, stopped by its pid."""

from __future__ import annotations

import json
import signal
import socket
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import requests

from millpond.runtime.processes import end_process, spawn, start_time, tail
from millpond.runtime.service_user import ServiceUser

_START_SECONDS = 480.0
"""A start that fails ends the process and is seen at once; one on a busy machine takes minutes."""
_STOP_SECONDS = 3.0
"""Then the next signal: what the servers hold is thrown away."""


@dataclass(frozen=True)
class Server:
    """How one server is run; `folder` holds its state, its log and the record of its process."""

    name: str
    folder: Path
    port: int
    command: tuple[str, ...]
    environment: dict[str, str] = field(default_factory=dict)
    user: ServiceUser | None = None

    @property
    def log(self) -> Path:
        """Its output, appended to by every start."""
        return self.folder / "log"

    @property
    def pid(self) -> int | None:
        """The process that runs now; None if none does."""
        if not self._record.exists():
            return None
        pid, started = json.loads(self._record.read_text())
        return pid if start_time(pid) == started else None

    def start(self, ready: Callable[[Server], bool]) -> float:
        """Start it and wait until `ready` of it holds; returns how many seconds that took."""
        began = time.monotonic()
        end_of_log = self.log.stat().st_size if self.log.exists() else 0
        pid = spawn(self.command, self.log, user=self.user, environment=self.environment)
        self._record.write_text(json.dumps([pid, start_time(pid)]))
        while not ready(self):
            if self.pid is None or time.monotonic() - began > _START_SECONDS:
                raise RuntimeError(
                    f"{self.name} does not answer; {self.log} ends:\n{tail(self.log, end_of_log)}"
                )
            time.sleep(0.05)
        return time.monotonic() - began

    def stop(self, *signals: signal.Signals) -> None:
        """End it with `signals` in turn, by default gently, then by force."""
        if pid := self.pid:
            started = start_time(pid)
            if started and not end_process(
                pid, started, signals or (signal.SIGTERM, signal.SIGQUIT, signal.SIGKILL), _STOP_SECONDS
            ):
                raise RuntimeError(f"{self.name}, process {pid}, does not end")
        self._record.unlink(missing_ok=True)

    def kill(self) -> None:
        """End it as a crash would."""
        self.stop(signal.SIGKILL)

    def record(self) -> dict[str, object]:
        """Return what `Server.read` makes the same server of."""
        return {**asdict(self), "folder": str(self.folder)}

    @classmethod
    def read(cls, record: dict[str, object]) -> Server:
        """Return the server of a `record`."""
        user = record["user"]
        return cls(
            **{
                **record,
                "folder": Path(str(record["folder"])),
                "command": tuple(record["command"]),
                "user": ServiceUser(**user) if user else None,
            }
        )

    @property
    def _record(self) -> Path:
        return self.folder / "pid"


def answers(path: str, contains: str = "") -> Callable[[Server], bool]:
    """Return a test of readiness: GET `path` is answered with a success, with `contains` in its body."""

    def holds(server: Server) -> bool:
        try:
            answer = requests.get(f"http://127.0.0.1:{server.port}{path}", timeout=5)
        except requests.RequestException:
            return False
        return answer.ok and contains in answer.text

    return holds


def free_ports(count: int) -> list[int]:
    """Return `count` loopback ports that nobody listens on."""
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports
