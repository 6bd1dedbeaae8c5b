"""Fixtures: the command line in this process, as `main` runs it."""

import sys
from collections.abc import Callable

import pytest

from millpond.cli.main import main

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(one_process: None, run_as_typed: Run) -> Run:
    """Return a function that runs `millpond` with arguments, without a companion."""
    return run_as_typed


@pytest.fixture
def run_as_typed(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Return a function that runs `millpond` with arguments: exit code, standard output, standard error."""

    def millpond(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["millpond", *arguments])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        printed = capsys.readouterr()
        return int(ended.value.code or 0), printed.out, printed.err

    return millpond
