"""The command line reduced to the command that was typed: Typer builds the parameters of no other."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Sequence
from typing import Any, Final

import typer
from typer.core import TyperCommand
from typer.main import get_command_name, solve_typer_info_help
from typer.models import CommandInfo, TyperInfo

from millpond.cli.project_commands import Commands, describe_commands

_SHOWN: Final = ("short_help", "hidden", "deprecated", "rich_help_panel")


def reduce_to(app: typer.Typer, words: Sequence[str]) -> typer.Typer:
    """Return `app` with all its commands; those that `words` do not name have only a name and a help.

    Without words all are whole, as the completion of shells asks for.
    """
    if not words:
        return app
    typed = next((word for word in words if not word.startswith("-")), None)
    reduced = copy.copy(app)
    reduced.info = copy.copy(app.info)
    reduced.registered_groups = [group for group in app.registered_groups if group.name == typed]
    reduced.registered_commands = [
        *(info if _name(info) == typed else _describe(info) for info in app.registered_commands),
        *(_describe_group(group) for group in app.registered_groups if group.name != typed),
    ]
    if typed is None:
        reduced.info.cls = _DescribedCommands
    return reduced


class _DescribedCommands(Commands):
    """The platform's commands and those of the project, to be listed only."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002
        for name, text in describe_commands().items():
            self.commands[name] = TyperCommand(name, help=text)
        return [*self.commands]


def _describe(info: CommandInfo) -> CommandInfo:
    text = info.help or inspect.getdoc(info.callback)
    return _stub(info, _name(info), text)


def _describe_group(info: TyperInfo) -> CommandInfo:
    return _stub(info, str(info.name), solve_typer_info_help(info))


def _stub(info: CommandInfo | TyperInfo, name: str, text: str | None) -> CommandInfo:
    stub = CommandInfo(name, callback=_do_nothing, help=text)
    for field in _SHOWN:
        if isinstance(value := getattr(info, field), str | bool):  # set, not Typer's placeholder
            setattr(stub, field, value)
    return stub


def _do_nothing() -> None: ...


def _name(info: CommandInfo) -> str:
    return info.name or get_command_name(info.callback.__name__) if info.callback else ""
