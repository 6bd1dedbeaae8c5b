"""Commands of a project's own: the Typer apps that `[tool.millpond]` names, imported when one is called."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from contextlib import suppress
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperGroup

from millpond.errors import ConfigError, MillpondError
from millpond.project.config import Project, make_importable, read_project

_HAS_LINES = re.compile(r"^\x08|^[ \t]|^[-*] ", re.MULTILINE)
"""A paragraph with lines of its own: examples and lists, which are indented or marked."""


class Commands(TyperGroup):
    """The platform's commands, and after them those of the project."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names of all commands; those of a project that do not load are left out of the help."""
        return [*super().list_commands(ctx), *describe_commands()]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return the command of that name, whose help fits any terminal; None if there is none."""
        found = super().get_command(ctx, cmd_name) or load_command(cmd_name)
        for command in (found, *getattr(found, "commands", {}).values()):
            if command is not None and command.help:
                command.help = join_lines(command.help)
        return found


def join_lines(text: str) -> str:
    """Return a help text with a line for each paragraph, as the terminal wraps it; examples stay as they are.

    Typer wraps the lines of a text one by one, so that those of our width would be wrapped twice.
    """
    paragraphs = inspect.cleandoc(text).split("\n\n")
    return "\n\n".join(each if _HAS_LINES.search(each) else " ".join(each.split("\n")) for each in paragraphs)


def load_command(name: str) -> Any:
    """Return the project's command `name` as Typer builds it; None if the project has none of that name.

    A command has the name of its package: `forecast` for the module forecast.cli. Raises ConfigError if the
    module cannot be imported or has no `app`.
    """
    project = _read_project()
    for module in project.commands:
        if _name(module) == name:
            return typer.main.get_command(_import_app(project, module))
    return None


def describe_commands() -> dict[str, str]:
    """Return the help of each of the project's commands, by name, without those that do not load.

    Where the code says the help as a plain text, it is read from there: modules of commands may import a lot.
    """
    found: dict[str, str] = {}
    with suppress(MillpondError):
        project = _read_project()
        for module in project.commands:
            with suppress(MillpondError):
                text = _read_help(project, module)
                if text is None:
                    text = typer.main.get_command(_import_app(project, module)).help or ""
                found[_name(module)] = text
    return found


def _read_help(project: Project, module: str) -> str | None:
    """Return the `help` that a module gives in `app = typer.Typer(help="…")`; None if it is not there."""
    tree = _parse(project, module)
    for statement in tree.body if tree else ():
        match statement:
            case ast.Assign(
                targets=[ast.Name(id="app")],
                value=ast.Call(func=ast.Attribute(attr="Typer") | ast.Name(id="Typer"), keywords=given),
            ):
                texts = [word.value for word in given if word.arg == "help"]
                if texts and isinstance(texts[0], ast.Constant) and isinstance(texts[0].value, str):
                    return inspect.cleandoc(texts[0].value)
    return None


def _parse(project: Project, module: str) -> ast.Module | None:
    for folder in (project.root, project.root / "src"):
        place = folder.joinpath(*module.split("."))
        for file in (place.with_suffix(".py"), place / "__init__.py"):
            with suppress(OSError, ValueError, SyntaxError):
                return ast.parse(Path(file).read_bytes())
    return None


def _name(module: str) -> str:
    return module.partition(".")[0]


def _read_project() -> Project:
    from millpond.settings.variables import find_root

    return read_project(find_root())


def _import_app(project: Project, module: str) -> typer.Typer:
    make_importable(project)
    try:
        app = importlib.import_module(module).app
    except MillpondError:
        raise
    except Exception as error:
        raise ConfigError(
            f"[tool.millpond] in {project.root / 'pyproject.toml'} names commands = {module!r}, "
            f"which does not load: {type(error).__name__}: {error}",
            next_step=f"correct {module.replace('.', '/')}.py, which must define `app = typer.Typer()`",
        ) from error
    if not isinstance(app, typer.Typer):
        raise ConfigError(
            f"`app` in the module {module} is a {type(app).__name__}, not a typer.Typer",
            next_step=f"correct {module.replace('.', '/')}.py",
        )
    return app
