"""The help of commands is wrapped once, whatever the width of the terminal."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

import pytest
import typer
from typer.core import TyperGroup
from typer.testing import CliRunner

from millpond.cli.main import app
from millpond.cli.project_commands import join_lines

WIDTH = 80


def list_commands() -> Iterator[tuple[str, ...]]:
    root = typer.main.get_command(app)
    assert isinstance(root, TyperGroup)
    for name, command in root.commands.items():
        yield (name,)
        yield from ((name, below) for below in getattr(command, "commands", {}))


@pytest.mark.parametrize("words", [*list_commands()], ids=" ".join)
def test_no_line_of_a_help_ends_before_the_width_of_the_terminal(words: tuple[str, ...]) -> None:
    answer = CliRunner().invoke(app, [*words, "--help"], env={"COLUMNS": str(WIDTH)})
    prose = answer.stdout.partition("╭")[0].replace("\b", "")
    assert "Usage:" in prose
    early = []
    for paragraph in re.split(r"\n\s*\n", prose.partition("Usage:")[2])[1:]:
        lines = [line.rstrip() for line in paragraph.splitlines()]
        if re.match(r"\s*(Examples?:|millpond )", paragraph):
            continue
        early += [
            line
            for line, following in pairwise(lines)
            if len(line) + 1 + len(following.split()[0]) < WIDTH - 1
        ]
    assert early == []


def test_examples_and_lists_keep_their_lines() -> None:
    text = "Does it\nat once.\n\nExamples: one\n          two\n\n- a\n- b\n\nMore\nof it."
    assert join_lines(text) == "Does it at once.\n\nExamples: one\n          two\n\n- a\n- b\n\nMore of it."
