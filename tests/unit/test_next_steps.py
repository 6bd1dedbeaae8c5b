"""What an error advises can be done: each `millpond …` in a next step is a command with such options."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from documented import command_line, in_blocks, in_help, in_text, usage_error

_SOURCE = Path(__file__).parents[2] / "src" / "millpond"
_QUOTED = re.compile(r"`millpond ([^`]+)`")
_SHOWN = re.compile(r"\b(?:millpond|dagster) (?:materialize|backfill|asset|sources|sql)\b[^`;\n]*")
_BARE = re.compile(r"(?<![`\w/])millpond ([a-z][a-z-]*(?: [a-z]+)*(?: --?[a-z-]+)*)")


def _text(node: ast.expr) -> Iterator[str]:
    """Yield the texts that an expression may have; x stands for what is filled in."""
    match node:
        case ast.Constant(value=str(text)):
            yield text
        case ast.JoinedStr():
            yield "".join(v.value if isinstance(v, ast.Constant) else "x" for v in node.values)  # type: ignore[misc]
        case ast.BinOp():
            yield from ("".join(pair) for pair in zip(_text(node.left), _text(node.right), strict=False))
        case ast.IfExp():
            yield from _text(node.body)
            yield from _text(node.orelse)


def _advice() -> Iterator[tuple[str, str]]:
    for file in sorted(_SOURCE.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            given = node.keywords if isinstance(node, ast.Call) else ()
            for text in (t for k in given if k.arg == "next_step" for t in _text(k.value)):
                for command in [*_QUOTED.findall(text), *_BARE.findall(_QUOTED.sub("", text))]:
                    yield f"{file.relative_to(_SOURCE)}:{node.lineno}", command


ADVICE = sorted(set(_advice()))


def test_there_is_advice_to_check() -> None:
    assert len(ADVICE) > 30


@pytest.mark.parametrize(("where", "command"), ADVICE)
def test_a_command_that_an_error_advises_exists_with_its_options(where: str, command: str) -> None:
    found = command_line()
    known = {option for parameter in found.params for option in parameter.opts}
    if command.startswith("backfill -"):
        command = command.replace("backfill", "backfill run", 1)  # what stands for it
    for word in shlex.split(command.replace("…", "").replace("...", "")):
        if word.startswith("-"):
            assert word.split("=")[0] in known | {"--help", "-h"}, (
                f"{where}: no option {word} of {found.name}"
            )
        elif word in (commands := getattr(found, "commands", {})):
            found = commands[word]
        elif "run" in commands:
            found = commands["run"]
        else:
            assert not commands, f"{where}: {found.name} has no command {word}"
            assert not word.isalpha() or any(p.param_type_name == "argument" for p in found.params), where
        known = {o for parameter in found.params for o in (*parameter.opts, *parameter.secondary_opts)}


_FILLED = {
    "sources accept x xx": "sources accept x --partition x",
    "materialize x xx": "materialize x --partition x",
    "quarantine discard x xx --yes": "quarantine discard x --partition x --yes",
    "sql --ref": "sql --ref x query",
}
"""What stands for an option, or is cut off, when its values are left out."""


def against(command: str) -> str:
    """Return what the command line has against a command; one that is only named may lack its arguments."""
    words = shlex.split(_FILLED.get(command, command).replace("…", "x").replace("ID", "17"))
    named = not any(word.startswith("-") for word in words) and len(words) <= 2
    said = usage_error(words) if words != ["automation"] else ""
    return "" if named and said.startswith("Missing argument") else said


@pytest.mark.parametrize(("where", "command"), ADVICE)
def test_the_command_line_takes_what_an_error_advises(where: str, command: str) -> None:
    if command not in ("backfill --resume", "alerts show x"):
        assert against(command) == "", where


def test_the_command_line_takes_each_command_that_the_pages_and_each_help_name() -> None:
    shown = [d for d in (*in_text(), *in_blocks(), *in_help()) if d.words[0] == "millpond"]
    found = {f"{d.where}: {d.command}": against(shlex.join(d.words[1:])) for d in shown}
    assert len(found) > 100
    assert {where: said for where, said in found.items() if said} == {}


_IN_QUOTES = re.compile(r"'[^']*'|\"[^\"]*\"")


def test_no_command_that_is_shown_leaves_a_pattern_to_the_shell() -> None:
    """For zsh refuses one that matches no file: no matches found."""
    texts = [(f"{d.where}", d.command) for d in (*in_text(), *in_blocks(), *in_help())]
    for file in sorted(_SOURCE.rglob("*.py")):
        nodes = ast.walk(ast.parse(file.read_text()))
        written = [text for node in nodes if isinstance(node, ast.expr) for text in _text(node)]
        texts += [(file.name, found) for text in written for found in _SHOWN.findall(text)]
    assert len(texts) > 200
    bare = [(where, text) for where, text in texts if re.search(r"[*?]", _IN_QUOTES.sub("", text))]
    assert bare == []
