"""Pages of the dashboard, run in its own environment over the home of the tests."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from millpond.runtime.environments import Environment
from millpond.settings import process_environment


@dataclass(frozen=True)
class Shown:
    """What a page shows, as kind and text of each element."""

    elements: list[tuple[str, str]]

    @property
    def errors(self) -> list[str]:
        """Tracebacks, and sentences that say that the page cannot be shown."""
        return [text for kind, text in self.elements if kind == "exception" or "cannot be shown" in text]

    @property
    def sentences(self) -> list[str]:
        """What the page says outside of charts and tables."""
        return [text for kind, text in self.elements if kind not in ("title", "plotly_chart", "dataframe")]

    def of(self, kind: str) -> list[str]:
        """Return the texts of one kind of element."""
        return [text for each, text in self.elements if each == kind]

    def __contains__(self, text: str) -> bool:
        return any(text in re.sub(r"\\(.)", r"\1", shown) for _, shown in self.elements)


Show = Callable[..., Shown]


@pytest.fixture(scope="module")
def show() -> Iterator[Show]:
    """Return a function that runs a page: `show("runs", days="7")`; one process runs all of a module."""
    python = Environment("dashboard", overlay=True).ensure(lambda _: None)
    with subprocess.Popen(
        [python, Path(__file__).with_name("page_runner.py")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=process_environment(),
        text=True,
    ) as process:
        assert process.stdin
        assert process.stdout

        def run(page: str, **parameters: str) -> Shown:
            assert process.stdin
            assert process.stdout
            process.stdin.write(
                json.dumps([page, {name: [value] for name, value in parameters.items()}]) + "\n"
            )
            process.stdin.flush()
            return Shown([tuple(each) for each in json.loads(process.stdout.readline())])

        yield run
        process.stdin.close()
