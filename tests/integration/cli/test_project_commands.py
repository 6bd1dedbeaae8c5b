"""A project's own commands are called beside the platform's, imported when they are called."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from millpond.settings import Settings
from typed_commands import Run

MODULE = '''"""Fish."""
import typer
from millpond.errors import ConfigError, MillpondError
app = typer.Typer(no_args_is_help=True, help="Count fish.")
@app.command()
def count(pond: str = "big") -> None:
    """Count them."""
    if pond == "dry":
        raise MillpondError("the pond is dry", next_step="wait for rain")
    if pond == "none":
        raise ConfigError("there is no such pond")
    typer.echo(f"three fish in the {pond} pond")
@app.command()
def feed() -> None:
    """Feed them."""
'''


@pytest.fixture
def own(
    tmp_path: Path, configure: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Path]:
    """A project with the commands `fishery count` and `fishery feed`."""
    (tmp_path / "pyproject.toml").write_text('[tool.millpond]\ncommands = ["fishery.cli"]\n')
    (tmp_path / "fishery").mkdir()
    (tmp_path / "fishery" / "cli.py").write_text(MODULE)
    for name in ("dbt", "sources"):
        (tmp_path / name).mkdir()
    monkeypatch.setattr(sys, "path", list(sys.path))
    configure(project=tmp_path)
    yield tmp_path
    for name in [each for each in sys.modules if each.partition(".")[0] == "fishery"]:
        del sys.modules[name]


def test_they_run_with_their_options_and_errors_are_those_of_all_commands(
    own: Path, run_as_typed: Run
) -> None:
    assert run_as_typed("fishery", "count", "--pond", "small") == (0, "three fish in the small pond\n", "")
    code, _, said = run_as_typed("fishery", "count", "--pond", "dry")
    assert (code, "the pond is dry" in said, "Next: wait for rain" in said) == (1, True, True)
    assert run_as_typed("fishery", "count", "--pond", "none")[0] == 2
    assert run_as_typed("fishery", "fly")[0] == 2


def test_help_lists_them_and_other_commands_do_not_import_them(own: Path, run_as_typed: Run) -> None:
    assert run_as_typed("config", "--help")[0] == 0
    assert re.search(r"fishery\s+Count fish\.", run_as_typed("--help")[1])
    assert "fishery.cli" not in sys.modules


def test_help_imports_a_module_whose_code_computes_its_help(own: Path, run_as_typed: Run) -> None:
    (own / "fishery" / "cli.py").write_text(MODULE.replace('help="Count fish."', 'help="Count %s." % "eels"'))
    assert re.search(r"fishery\s+Count eels\.", run_as_typed("--help")[1])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("import no_such_package", "No module named 'no_such_package'"),
        ("app = 3", "`app` in the module"),
        ("", "app"),
    ],
)
def test_a_module_that_cannot_be_used_is_named(own: Path, run_as_typed: Run, text: str, said: str) -> None:
    (own / "fishery" / "cli.py").write_text(text)
    code, _, error = run_as_typed("fishery", "count")
    assert code == 2
    assert said in error
    assert "fishery/cli.py" in error
    code, out, _ = run_as_typed("--help")
    assert (code, "materialize" in out, "fishery" in out) == (0, True, False)


def test_a_command_that_nobody_has_is_refused_as_before(own: Path, run_as_typed: Run) -> None:
    code, _, error = run_as_typed("fishing")
    assert code == 2
    assert "No such command 'fishing'" in error


def test_help_is_shown_where_the_project_cannot_be_read(own: Path, run_as_typed: Run) -> None:
    (own / "pyproject.toml").write_text("[tool.millpond]\ncommands = 3\n")
    assert run_as_typed("--help")[0] == 0
    code, _, error = run_as_typed("fishery")
    assert (code, "commands = 3 is no list of modules" in error) == (2, True)
