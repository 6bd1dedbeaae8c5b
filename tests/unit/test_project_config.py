"""`[tool.millpond]` is read as written; what cannot be used is refused by file, key and value."""

from __future__ import annotations

from pathlib import Path

import pytest

from millpond.errors import ConfigError
from millpond.project.config import find_project, read_project
from millpond.settings import source_files, source_names


def declare(root: Path, text: str) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    (root / "pyproject.toml").write_text(text, encoding="utf-8")
    return root


def refusal(root: Path) -> str:
    with pytest.raises(ConfigError) as refused:
        read_project(root)
    assert str(root / "pyproject.toml") in str(refused.value)
    assert refused.value.next_step
    return str(refused.value)


def test_without_a_pyproject_or_a_table_of_ours_the_usual_folders_hold(tmp_path: Path) -> None:
    for root in (tmp_path / "none", declare(tmp_path / "other", "[tool.black]\nline-length = 80\n")):
        project = read_project(root)
        assert (project.definitions, project.dbt, project.sources) == (None, ("dbt",), ("sources",))
        assert find_project(root) is None


def test_the_nearest_folder_above_with_a_table_of_ours_is_the_project(tmp_path: Path) -> None:
    root = declare(tmp_path / "päge one", "[tool.millpond]\n")
    below = declare(root / "dbt" / "models", "[project]\nname = 'x'\n")
    assert find_project(below) == find_project(root) == root


@pytest.mark.parametrize("content", ["tool = 3", "[tool]\nx = 1", "not toml at all [", "\0"])
def test_files_of_other_programs_above_are_passed_over(tmp_path: Path, content: str) -> None:
    assert find_project(declare(tmp_path, content)) is None


def test_several_folders_of_sources_are_read_in_the_order_of_names(tmp_path: Path) -> None:
    root = declare(tmp_path, '[tool.millpond]\nsources = ["sources", "of/others"]\n')
    for folder, name in (("sources", "b.yaml"), ("of/others", "a.yml"), ("of/others", "_kept.yaml")):
        (root / folder).mkdir(parents=True, exist_ok=True)
        (root / folder / name).write_text("")
    assert source_names(root) == ["a", "b"]
    assert source_files(root) == [root / "of/others/a.yml", root / "sources/b.yaml"]


def test_the_code_of_the_definitions_is_found_in_the_project_or_its_src(tmp_path: Path) -> None:
    root = declare(tmp_path, '[tool.millpond]\ndefinitions = "lake.definitions"\n')
    assert read_project(root).code is None  # an installed package, or a mistake: importing it tells
    (root / "src" / "lake").mkdir(parents=True)
    assert read_project(root).code == "src/lake"
    (root / "lake.py").write_text("")
    assert read_project(root).code == "lake.py"


def test_the_packages_of_definitions_and_commands_are_those_of_the_project(tmp_path: Path) -> None:
    declared = (
        '[tool.millpond]\ndefinitions = "lake.definitions"\ncommands = ["fish.cli", "lake.cli", "far.cli"]\n'
    )
    root = declare(tmp_path, declared)
    for name in ("lake", "src/fish"):
        (root / name).mkdir(parents=True)
    assert read_project(root).packages == ("lake", "src/fish")  # far.cli is of an installed package


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[tool.millpond]\ndefinition = 'a.b'\n", "did you mean `definitions`?"),
        ("[tool.millpond]\nx_y_z = 1\n", "the keys are definitions, commands, dbt and sources"),
        ("[tool]\nmillpond = 3\n", "it is no table"),
        ("[tool.millpond]\ndefinitions = 3\n", "definitions = 3"),
        ("[tool.millpond]\ndefinitions = 'a-b.c'\n", "'a-b.c' is no name of a module"),
        ("[tool.millpond]\ndefinitions = 'lake.definitions.py '\n", "is no name of a module"),
        ("[tool.millpond]\ndefinitions = 'millpond.definitions'\n", "the platform's own module"),
        ("[tool.millpond]\ncommands = 3\n", "commands = 3 is no list of modules"),
        ("[tool.millpond]\ncommands = ['a-b.c']\n", "'a-b.c' is no name of a module"),
        ("[tool.millpond]\ndbt = 3\n", "dbt = 3 is no list of folders"),
        ("[tool.millpond]\ndbt = ['']\n", "is no list of folders"),
        ("[tool.millpond]\ndbt = ['nowhere']\n", "there is no folder nowhere"),
        ("[tool.millpond]\ndbt = ['.']\n", ". lies outside the project"),
        ("[tool.millpond]\ndbt = ['../other']\n", "../other lies outside the project"),
        ("[tool.millpond]\nsources = ['/etc']\n", "/etc lies outside the project"),
        ("[tool.millpond]\nsources = ['here', './here/']\n", "here is named twice"),
        ("[tool.millpond]\nsources = [\n", "cannot be read"),
    ],
)
def test_what_cannot_be_used_is_refused_by_key_and_value(tmp_path: Path, text: str, named: str) -> None:
    (tmp_path / "here").mkdir()
    assert named in refusal(declare(tmp_path, text))


def test_an_edit_is_seen_by_the_same_process(tmp_path: Path) -> None:
    root = declare(tmp_path, "[tool.millpond]\n")
    assert read_project(root).definitions is None
    declare(root, "[tool.millpond]\ndefinitions = 'lake.definitions'\n")
    assert read_project(root).definitions == "lake.definitions"
