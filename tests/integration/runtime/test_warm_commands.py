"""A fork of the process that `millpond up` holds loaded stands in for a new process, or a new one runs."""

from __future__ import annotations

import json
import os
import pty
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from millpond.runtime.children import start_piped
from millpond.runtime.warm_client import SOCKET
from waiting import until

POOL = """
import sys, time
began = time.time()
from pathlib import Path
from millpond.runtime.warm_pool import Pool, watch_environment
sys.path.append(str(Path(sys.argv[1]) / "loaded"))
with watch_environment() as read:
    import library
Pool(Path(sys.argv[1]), read, began).serve()
"""
CLIENT = """
import os, signal, sys, time
if sys.argv[1] == "no":
    del sys.argv[1]
else:
    from millpond.runtime import warm_client
    if sys.argv[1] in ("early", "late"):
        late = sys.argv.pop(1) == "late"
        stand_in_for = warm_client._stand_in_for
        def interrupted(*given):
            while late and not os.path.exists("begun"):
                time.sleep(0.01)
            os.kill(os.getpid(), signal.SIGINT)
            stand_in_for(*given)
        warm_client._stand_in_for = interrupted
    warm_client.run_command("probe")
import probe
probe.main()
"""
REFUSALS = {
    "LIBRARY_MODE": "other LIBRARY_MODE",
    "MILLPOND_WARM_RUNS": "MILLPOND_WARM_RUNS is false",
    "PYTHONOPTIMIZE": "other options of Python",
}
LIBRARY = """
import os
MODE = [os.environ.get(name) for name in ("LIBRARY_MODE", "PATH", "NO_COLOR")]
COPY = dict(os.environ)
"""
PROBE = """
import json, os, resource, signal, sys, time

def see():
    os.umask(mask := os.umask(0))
    return {
        "argv": sys.argv, "environment": dict(os.environ), "folder": os.getcwd(), "mask": mask,
        "nice": os.nice(0), "limit": resource.getrlimit(resource.RLIMIT_NOFILE),
        "processors": sorted(os.sched_getaffinity(0)), "path": sys.path,
        "main": sys.modules["__main__"].__file__,
        "terminals": [os.isatty(n) for n in range(3)],
        "files": sorted(map(int, os.listdir("/proc/self/fd")))[:-1],
        "streams": [
            (s.name, s.encoding, s.errors, s.line_buffering) for s in (sys.stdin, sys.stdout, sys.stderr)
        ],
        "ignored": [int(n) for n in signal.valid_signals() if signal.getsignal(n) == signal.SIG_IGN],
        "blocked": list(signal.pthread_sigmask(signal.SIG_BLOCK, ())),
    }

def main():
    match sys.argv[1]:
        case "refusals":
            from millpond.runtime.warm_client import refusals
            print(*refusals)
        case "warm":
            print("millpond.runtime.warm_pool" in sys.modules)
        case "see":
            print(json.dumps(see()))
        case "copy":
            sys.stdout.write(sys.stdin.read())
            print("é", file=sys.stderr)
        case "fail":
            raise ValueError("no")
        case "settings":
            from millpond.redaction import redacted
            from millpond.settings import settings
            shown = settings().s3_secret_key
            print(shown and shown.get_secret_value(), redacted("of-the-server-q7"))
        case "wait":
            try:
                print(os.getpid(), flush=True)
                open("begun", "w").close()
                time.sleep(60)
            except KeyboardInterrupt:
                print("interrupted")
                sys.exit(130)
        case "kill":
            os.kill(os.getpid(), int(sys.argv[2]))
        case code:
            sys.exit(int(code) if code.isdigit() else code)
"""


class Home:
    """A home with such a process, which has a module `library` loaded."""

    def __init__(self, root: Path) -> None:
        self.root, self.socket = root, root / "run" / SOCKET
        self.library = root / "loaded" / "library.py"
        for folder in ("run", "loaded", "scripts", "here"):
            (root / folder).mkdir(parents=True)
        self.library.write_text(LIBRARY)
        (root / "scripts" / "client.py").write_text(CLIENT)
        (root / "scripts" / "probe.py").write_text(PROBE)
        self.environment = {**os.environ, "MILLPOND_HOME": str(root), "MILLPOND_PROJECT": str(root)}
        before = time.time() - 1
        os.utime(self.library, (before, before))
        self.pool = self.start()

    def start(self) -> subprocess.Popen[bytes]:
        secret = {"MILLPOND_S3_ACCESS_KEY": "any", "MILLPOND_S3_SECRET_KEY": "of-the-server-q7"}
        with (self.root / "pool.log").open("ab") as log:
            pool = subprocess.Popen(
                [sys.executable, "-c", POOL, str(self.root)],
                env={**self.environment, **secret},
                stderr=log,
            )
        until(lambda: self.socket.exists() and self.run("warm") == "True", 20)
        return pool

    def begin(self, *arguments: str, cold: bool = False, **options: Any) -> subprocess.Popen[bytes]:
        words = ["no"] if cold else []
        command = [sys.executable, str(self.root / "scripts" / "client.py"), *words, *arguments]
        pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        here = {"cwd": self.root / "here", "env": self.environment}
        return subprocess.Popen(command, **{**pipes, **here, **options})

    def ask(self, *arguments: str, given: bytes = b"", **options: Any) -> tuple[int, bytes, bytes]:
        process = self.begin(*arguments, **options)
        out, err = process.communicate(given, timeout=30)
        return process.returncode, out or b"", err or b""

    def run(self, *arguments: str, **options: Any) -> str:
        return self.ask(*arguments, **options)[1].decode().strip()


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    made = Home(tmp_path_factory.mktemp("warm"))
    yield made
    made.pool.kill()
    made.pool.wait()


def test_a_fork_has_all_that_a_new_process_has(home: Home) -> None:
    def limit() -> None:
        import resource

        os.dup2(1, 280)
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, 300))
        os.umask(0o027)
        os.nice(1)
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        os.dup2(1, 42)

    odd = {**home.environment, "ODD": "a\udc80\nb", "PYTHONIOENCODING": "latin-1:replace"}
    (home.root / "other").mkdir()
    options: dict[str, Any] = {
        "env": odd,
        "preexec_fn": limit,
        "cwd": home.root / "other",
        "close_fds": False,
    }
    words = ("see", "--an option", "wört", "")
    seen = [json.loads(home.run(*words, cold=cold, **options)) for cold in (True, False)]
    assert home.run("warm", **options) == "True"
    assert seen[1] == seen[0]


def test_streams_are_those_of_the_command(home: Home) -> None:
    text = "line é\n".encode() * 50_000
    for cold in (True, False):
        assert home.ask("copy", given=text, cold=cold) == (0, text, "é\n".encode())
    ours, theirs = pty.openpty()
    shown = json.loads(home.run("see", stdin=theirs))
    assert shown["terminals"] == [True, False, False]
    os.close(theirs)
    os.close(ours)


@pytest.mark.parametrize("words", [["0"], ["3"], ["a message"], ["fail"], ["kill", "15"], ["kill", "9"]])
def test_a_command_ends_as_it_would_alone(home: Home, words: list[str]) -> None:
    alone, forked = (home.ask(*words, cold=cold) for cold in (True, False))
    assert forked[:2] == alone[:2]
    assert forked[2].splitlines()[-1:] == alone[2].splitlines()[-1:]


def test_signals_reach_the_command_and_it_ends_with_who_typed_it(home: Home) -> None:
    for number, code, said in ((signal.SIGINT, 130, b"interrupted\n"), (signal.SIGTERM, -15, b"")):
        process = home.begin("wait")
        assert process.stdout
        fork = psutil.Process(int(process.stdout.readline()))
        assert fork.pid != process.pid
        process.send_signal(number)
        assert (process.communicate(timeout=20)[0], process.returncode) == (said, code)
        assert not fork.is_running()
    process = home.begin("wait")
    assert process.stdout
    fork = psutil.Process(int(process.stdout.readline()))
    process.kill()
    process.communicate()
    until(lambda: not fork.is_running(), 20)


def test_a_signal_that_comes_while_the_command_is_handed_over_reaches_it(home: Home) -> None:
    (home.root / "here" / "begun").unlink(missing_ok=True)
    code, said, _ = home.ask("late", "wait")
    assert (said.splitlines()[-1:], code) == ([b"interrupted"], 130)
    for _ in range(5):
        code, said, _ = home.ask("early", "wait")
        assert code == (130 if said.endswith(b"interrupted\n") else -signal.SIGINT)


def test_settings_and_secrets_are_those_of_the_command(home: Home) -> None:
    key = {"MILLPOND_S3_ACCESS_KEY": "any"}
    mine = {**home.environment, **key, "MILLPOND_S3_SECRET_KEY": "of-the-command-x3"}
    assert home.run("settings", env=mine) == "of-the-command-x3 of-the-server-q7"
    assert home.run("settings") == "None of-the-server-q7"
    (home.root / ".env").write_text("MILLPOND_S3_ACCESS_KEY=any\nMILLPOND_S3_SECRET_KEY=of-the-file-k5\n")
    assert home.run("settings").startswith("of-the-file-k5")
    (home.root / ".env").unlink()


def test_where_anything_differs_a_new_process_runs(home: Home, tmp_path: Path) -> None:
    def warm(**changes: str) -> str:
        return home.run("warm", env={**home.environment, **changes})

    elsewhere = f"{home.environment.get('PATH', '')}:{tmp_path}"
    assert warm(UNRELATED="1", PATH=elsewhere, NO_COLOR="1") == "True"
    for name, value in (
        ("LIBRARY_MODE", "other"),
        ("MILLPOND_WARM_RUNS", "false"),
        ("MILLPOND_NO_SUCH", "1"),
        ("MILLPOND_HOME", str(tmp_path)),
        ("PYTHONPATH", str(tmp_path)),
        ("PYTHONOPTIMIZE", "1"),
    ):
        assert warm(**{name: value}) == "False", name
        said = home.run("refusals", env={**home.environment, name: value})
        assert said == REFUSALS.get(name, said)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / SOCKET).symlink_to(home.socket)
    assert warm(MILLPOND_HOME=str(tmp_path)) == "False"
    home.pool.kill()
    home.pool.wait()
    assert warm() == "False"
    home.pool = home.start()
    home.library.write_text(LIBRARY + "\n")
    assert warm() == "False"
    home.pool.wait(20)
    assert not home.socket.exists()
    before = time.time() - 1
    os.utime(home.library, (before, before))
    home.pool = home.start()
    assert warm() == "True"


def test_only_its_user_is_answered(home: Home) -> None:
    assert stat.S_IMODE(home.socket.stat().st_mode) == 0o600
    if os.geteuid():
        pytest.skip("only root can be another user")
    for folder in (home.root, home.socket.parent):
        folder.chmod(0o755)
    home.socket.chmod(0o666)
    ask = (
        "import os, socket, sys; os.setuid(65534); s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]);"
        "socket.send_fds(s, [(0).to_bytes(8, 'big')], [0]); print(s.recv(1))"
    )
    asked = subprocess.run([sys.executable, "-c", ask, str(home.socket)], capture_output=True, text=True)
    assert asked.stdout == "b''\n" or "ConnectionReset" in asked.stderr or "Permission" in asked.stderr
    home.socket.chmod(0o600)


def test_a_worker_is_a_fork_and_ends_with_the_process_that_started_it(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    from millpond.settings import settings

    monkeypatch.setenv("MILLPOND_HOME", str(home.root))
    monkeypatch.setenv("MILLPOND_PROJECT", str(home.root))
    settings.cache_clear()
    module, log = "millpond.runtime.companion_process", home.root / "worker.log"
    process, pipe = start_piped(module, ["os:getpid"], preload="millpond", log=log)
    worker = psutil.Process(process.pid)
    assert process.poll() is None
    assert worker.ppid() != os.getpid()
    process.terminate()
    assert process.wait(20) == -signal.SIGTERM
    process, pipe = start_piped(module, ["os:getpid"], preload="millpond", log=log)
    pipe.close()
    assert process.wait(20) == 0
    settings.cache_clear()
