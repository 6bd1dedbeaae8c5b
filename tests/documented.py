"""The commands that README, docs/ and each `--help` show, as one would copy them into a terminal."""

from __future__ import annotations

import importlib
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import typer
import typer.main

from millpond.cli.main import app
from millpond.project.config import make_importable, read_project

ROOT = Path(__file__).parents[1]
PAGES = (*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md")))
_SHELLS = ("sh", "bash")
_PROGRAM = re.compile(r"(?:[A-Z_]+=\S+ )*(?:millpond|make|docker|dagster|eval) ")
_REMARK = re.compile(r"\s+#\s.*|\s{2,}.*")
_INLINE = re.compile(r"`((?:[A-Z_]+=\S+ )*millpond [a-z-][^`]*)`")


@dataclass(frozen=True)
class Documented:
    """A command, and where it is shown."""

    where: str
    command: str

    @property
    def words(self) -> list[str]:
        """The words without variables that are set for the command alone."""
        words = shlex.split(self.command)
        return words[len(self.variables) :]

    @property
    def variables(self) -> dict[str, str]:
        """The variables that are set for the command alone."""
        found: dict[str, str] = {}
        for word in shlex.split(self.command):
            if not re.match(r"[A-Z_]+=", word):
                break
            name, _, value = word.partition("=")
            found[name] = value
        return found


def in_blocks() -> Iterator[Documented]:
    """Yield what stands in the pages' blocks of shell commands, in order."""
    for page in PAGES:
        language, end = None, ""
        for number, line in enumerate(page.read_text().splitlines(), 1):
            if line.startswith("```"):
                language = line.removeprefix("```") if language is None else None
            elif end:
                end = "" if line == end else end
            elif (
                _PROGRAM.match(line) if language == "" else language in _SHELLS and line[:1] not in ("", "#")
            ):
                yield Documented(f"{page.relative_to(ROOT)}:{number}", _REMARK.sub("", line))
                end = found[1] if (found := re.search(r"<<'(\w+)'", line)) else ""


def in_text() -> Iterator[Documented]:
    """Yield each `millpond …` within the pages' text."""
    for page in PAGES:
        for found in _INLINE.finditer(page.read_text()):
            for command in re.split(r"\s(?:\|\||&&)\s", " ".join(found[1].split())):
                yield Documented(str(page.relative_to(ROOT)), command)


def in_help() -> Iterator[Documented]:
    """Yield the examples of each command's help."""
    for name, command in commands():
        for line in (command.help or "").splitlines():
            text = line.strip().removeprefix("Examples:").removeprefix("Example:").strip()
            if _PROGRAM.match(text) and not text.endswith("."):
                yield Documented(f"millpond {name} --help", _REMARK.sub("", text))


def commands() -> Iterator[tuple[str, Any]]:
    """Yield each command that can be typed, with its words after `millpond`."""

    def below(name: str, command: Any) -> Iterator[tuple[str, Any]]:
        children = getattr(command, "commands", {})
        for word, child in children.items():
            yield from below(f"{name} {word}".strip(), child)
        if not children or getattr(command, "invoke_without_command", False):
            yield name, command

    return below("", command_line())


@cache
def command_line() -> Any:
    """Return `millpond` as click sees it, with the commands of the example."""
    found: Any = typer.main.get_command(app)
    example = read_project(ROOT)
    make_importable(example)
    for module in example.commands:
        own = typer.main.get_command(importlib.import_module(module).app)
        found.commands[module.partition(".")[0]] = own
    return found


def usage_error(words: list[str]) -> str:
    """Return what the command line has against the words after `millpond`, "" if nothing; nothing is run."""
    command = command_line()
    try:
        while True:
            context = command.make_context(command.name, list(words))
            words = [*context._protected_args, *context.args]
            if not hasattr(command, "commands") or (command.invoke_without_command and not words):
                return ""
            _, command, words = command.resolve_command(context, words)
    except typer.Exit:
        return ""  # --help, --version
    except Exception as error:
        if not hasattr(error, "format_message"):
            raise
        return str(error.format_message())
