"""A process beside the command's own: what it returns, tells and raises, and what its end means."""

import os
from pathlib import Path

import psutil
import pytest

from millpond.errors import ConfigError, EmbeddedPartError
from millpond.runtime.companion import call, run_companion
from millpond.runtime.home import Home

CALLS = """
import os, signal
from millpond.errors import ConfigError

warm = []

def warm_up():
    warm.append(os.getpid())

def counted(last, on_event):
    for number in range(last):
        on_event(number)
    return os.getpid(), warm

def refused():
    raise ConfigError("not like this", next_step="like that")

def unsayable():
    class Local(Exception): pass
    raise Local("hidden")

def killed():
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture(autouse=True)
def _calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "calls.py").write_text(CALLS)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.syspath_prepend(tmp_path)


def test_a_call_is_made_by_the_warm_process_beside_ours_and_tells_as_it_goes(home: Home) -> None:
    heard: list[int] = []
    with run_companion("calls", "calls:warm_up"):
        there, warm = call("calls:counted", 3, on_event=heard.append)
    assert heard == [0, 1, 2]
    assert warm == [there] != [os.getpid()]
    assert not psutil.pid_exists(there)
    assert call("calls:counted", 1, on_event=heard.append)[0] == os.getpid()


def test_what_a_call_raises_arrives_as_it_was_raised(home: Home) -> None:
    with run_companion("calls", "calls:warm_up"):
        with pytest.raises(ConfigError) as refused:
            call("calls:refused")
        with pytest.raises(RuntimeError, match="hidden"):
            call("calls:unsayable")
        assert call("calls:counted", 0, on_event=print)[0] != os.getpid()
    assert (refused.value.what, refused.value.next_step) == ("not like this", "like that")


def test_one_that_dies_is_told_and_what_is_called_later_is_made_here(home: Home) -> None:
    with run_companion("calls", "calls:warm_up"):
        with pytest.raises(EmbeddedPartError):
            call("calls:killed")
        assert call("calls:counted", 0, on_event=print)[0] == os.getpid()


def test_who_is_interrupted_while_waiting_leaves_nothing_behind_that_goes_on(home: Home) -> None:
    def interrupted(_: int) -> None:
        raise KeyboardInterrupt

    before = {child.pid for child in psutil.Process().children()}
    with run_companion("calls", "calls:warm_up"):
        with pytest.raises(KeyboardInterrupt):
            call("calls:counted", 1, on_event=interrupted)
        assert {child.pid for child in psutil.Process().children()} == before
