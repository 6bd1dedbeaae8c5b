"""A run that is forked from loaded code is to a project's code what a new process is."""

from __future__ import annotations

from pathlib import Path

import pytest
from background_parts import launch, millpond
from dagster._core.storage.compute_log_manager import ComputeIOType
from warm_project import ENDED, look, read_metadata, wait_for

from millpond.instance.home import open_instance
from millpond.runtime.home import locate
from millpond.settings import settings

pytestmark = pytest.mark.slow
FORKS = """
import logging, multiprocessing, os, signal, subprocess, threading, time
import dagster as dg

def _in_a_thread_that_ends(make):
    made = []
    thread = threading.Thread(target=lambda: made.append(make()))
    thread.start()
    thread.join()
    return made[0]

def _start(target):
    process = multiprocessing.get_context("fork").Process(target=target)
    process.start()
    return process

def _wait_for_a_line(reader):
    os.read(reader, 1)
    os._exit(5)

def _go_on(writer):
    os.write(writer, b"a")  # Python drops signals that come while it forks
    while True:
        time.sleep(0.05)

@dg.asset
def forks() -> dg.MaterializeResult:
    reader, writer = os.pipe()
    child = _in_a_thread_that_ends(lambda: _start(lambda: _wait_for_a_line(reader)))
    shell = _in_a_thread_that_ends(
        lambda: subprocess.Popen(["sh", "-c", "read line; exit 6"], stdin=reader, preexec_fn=os.setsid)
    )
    os.write(writer, b"a\\n" * 2)
    child.join()

    signal.signal(signal.SIGTERM, lambda *_: os._exit(7))
    ready, writer = os.pipe()
    told = _start(lambda: _go_on(writer))
    os.read(ready, 1)
    os.kill(told.pid, signal.SIGTERM)
    told.join()
    return dg.MaterializeResult(metadata={"codes": [child.exitcode, shell.wait(), told.exitcode]})

@dg.asset
def logs() -> None:
    logging.basicConfig(format="OWN %(message)s", level=logging.INFO)
    logging.getLogger("of a library").info("told")

@dg.asset
def reads_settings() -> dg.MaterializeResult:
    from millpond.settings import settings
    return dg.MaterializeResult(metadata={"seconds": settings().lock_seconds, "parent": os.getppid()})
"""
LOAD = "\ndefs = dg.Definitions(assets=[look, wait, version, *dg.load_assets_from_modules([forks])])\n"


def test_a_forked_run_forks_and_logs_as_a_new_process_does_and_reads_settings_as_they_are(up: Path) -> None:
    (up / "own" / "forks.py").write_text(FORKS)
    code = up / "own" / "assets.py"
    code.write_text(f"from own import forks\n{code.read_text()}{LOAD}")
    assert millpond("reload").returncode == 0
    server = look()["parent"]

    assert wait_for(launch("forks"), ENDED) == "SUCCESS"
    assert read_metadata("forks")["codes"] == [5, 6, 7]
    run = launch("logs")
    assert wait_for(run, ENDED) == "SUCCESS"
    with open_instance() as instance:
        kept = instance.compute_log_manager
        (key,) = kept.get_log_keys_for_log_key_prefix([run, "compute_logs"], ComputeIOType.STDERR)
        assert b"OWN told\n" in (kept.get_log_data(key).stderr or b"")

    def read_seconds() -> tuple[float, bool]:
        assert wait_for(launch("reads_settings"), ENDED) == "SUCCESS"
        seen = read_metadata("reads_settings")
        return seen["seconds"], seen["parent"] == server

    usual = settings().lock_seconds
    assert read_seconds() == (usual, True)
    (up / ".env").write_text("MILLPOND_LOCK_SECONDS=11\n")
    assert read_seconds() == (11, False)
    (up / ".env").write_text("MILLPOND_LOCK_SECONDS=12\n")
    assert read_seconds() == (12, False)
    (up / ".env").unlink()
    assert read_seconds() == (usual, True)
    assert "a run starts in a process of its own" in (locate(settings()).logs / "code-server.log").read_text()
