"""`millpond init` writes a whole project, of the repository's own sources and models, or nothing."""

from __future__ import annotations

import ast
import json
import os
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from millpond.cli.main import app
from millpond.errors import ConfigError
from millpond.project import create as creating
from millpond.project.config import read_project
from millpond.project.create import create
from millpond.project.template import Template, _shared, rendered, root
from millpond.runtime.dbt_package import PACKAGE
from project_folders import example_files

CHECKOUT = Path(__file__).parents[2]
BOTH: list[Template] = ["glucose", "empty"]


def init(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["init", *arguments])


def files_below(folder: Path) -> set[str]:
    return {str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()}


def test_the_profile_of_a_project_is_that_of_the_package() -> None:
    assert rendered("pond_1", "empty")["dbt/profiles.yml"] == (PACKAGE / "profiles.yml").read_bytes()


@pytest.mark.parametrize("template", BOTH)
def test_the_image_copies_what_a_project_has_and_neither_state_nor_secrets(template: Template) -> None:
    files = rendered("pond_1", template)
    for line in re.findall(r"^COPY (?!--from)(.*)$", files["docker/Dockerfile"].decode(), re.M):
        for source in line.split()[:-1]:
            assert source in (".", "docker/wheel[s]") or source in files
    ignored = files[".dockerignore"].decode().splitlines()
    assert {".*", "docker", "!docker/dagster"} <= set(ignored)  # .env, .millpond, docker/secrets
    compose = yaml.safe_load(files["docker/compose.yaml"])
    assert compose["name"] == "pond_1"
    assert compose["services"]["provision"]["image"] == "${MILLPOND_IMAGE:-pond_1:0.1.0}"
    assert compose["services"]["provision"]["build"]["dockerfile"] == "docker/Dockerfile"


@pytest.mark.parametrize("template", BOTH)
def test_every_file_is_text_of_its_kind_and_names_the_project(template: Template) -> None:
    files = rendered("pond_1", template)
    for path, content in files.items():
        text = content.decode()
        assert "my_project" not in text + path
        if path.endswith(".py"):
            ast.parse(text)
        elif path.endswith((".yaml", ".yml")):
            yaml.safe_load(text)
        elif path.endswith(".toml"):
            tomllib.loads(text)
        elif path.endswith(".json"):
            json.loads(text)
    wanted = {"pyproject.toml", "README.md", ".env.example", ".gitignore", "dagster.yaml", "workspace.yaml"}
    wanted |= {"alerts.yaml", ".github/workflows/ci.yml", ".devcontainer/devcontainer.json"}
    wanted |= {"pond_1/definitions.py", "tests/test_project.py", "dbt/dbt_project.yml", "docker/compose.yaml"}
    assert wanted <= files.keys()
    assert not [
        path for path in files if re.search(r"(^|/)(\.env|secrets|target|logs|__pycache__)(/|$)", path)
    ]


def test_the_glucose_template_is_the_repositorys_own_source_and_models_without_github() -> None:
    files = rendered("pond_1", "glucose")
    assert files["sources/nightscout.yaml"] == (CHECKOUT / "sources" / "nightscout.yaml").read_bytes()
    models = {path for path in files if path.startswith("dbt/models/") and path.endswith(".sql")}
    assert models >= {
        path
        for path in example_files()
        if path.startswith("dbt/models/") and path.endswith(".sql") and "/github/" not in path
    }
    assert not [path for path in files if "github" in path and not path.startswith(".github/")]
    assert not [path for path, text in files.items() if b"MILLPOND_GITHUB" in text or b"github_token" in text]


def test_the_empty_template_has_no_source_and_no_model() -> None:
    files = rendered("pond_1", "empty")
    assert {path for path in files if path.startswith("sources/")} == {"sources/.gitkeep"}
    assert not [
        path
        for path in files
        if path.startswith("dbt/m") and path.endswith((".sql", ".yml")) and "/models/" in path
    ]
    assert not [path for path, text in files.items() if b"MILLPOND_NIGHTSCOUT" in text]


def test_the_wheel_holds_every_file_that_the_repository_lends_the_template() -> None:
    settings = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())
    packed = settings["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    assert set(packed.values()) == {f"millpond/template/{source}" for source in packed}
    assert root() == CHECKOUT
    lent = {path for path, _ in _shared()}
    assert not [path for path in lent if not any(f"{path}/".startswith(f"{entry}/") for entry in packed)]
    assert not {"docker", "dbt"} & packed.keys()  # which hold secrets and what dbt makes


def test_init_makes_a_project_that_is_read_as_one(tmp_path: Path) -> None:
    folder = tmp_path / "päth with spaces" / "pond_1"
    result = init(str(folder))
    assert result.exit_code == 0, result.output
    assert "millpond demo" in result.output
    assert "my_report" in result.output
    project = read_project(folder)
    assert (project.definitions, project.code) == ("pond_1.definitions", "pond_1")
    assert os.access(folder / "docker" / "make-secrets", os.X_OK)
    files = files_below(folder)
    base = {path.removeprefix(".template/") for path in files if path.startswith(".template/")}
    assert base == {path for path in files if not path.startswith(".template/")} | {"version"}
    for path in base - {"version"}:
        assert (folder / ".template" / path).read_bytes() == (folder / path).read_bytes()


def test_init_fills_an_empty_folder_and_the_current_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path / "pond_2"
    here.mkdir()
    inode = here.stat().st_ino
    monkeypatch.chdir(here)
    assert init(".", "--template", "empty").exit_code == 0
    assert (here / "pond_2" / "definitions.py").exists()
    assert here.stat().st_ino == inode


@pytest.mark.parametrize(
    ("name", "instead"),
    [
        ("my-lake", "`millpond init my_lake`"),
        ("2lakes", "`millpond init my_2lakes`"),
        ("class", "`millpond init my_class`"),
        ("süß", "`millpond init s"),
        ("a b", "`millpond init a_b`"),
        ("millpond", "`millpond init my_millpond`"),
        ("dagster", "`millpond init my_dagster`"),
        ("json", "`millpond init my_json`"),
        ("tests", "`millpond init my_tests`"),
    ],
)
def test_a_name_that_python_cannot_import_or_knows_already_is_refused(
    tmp_path: Path, name: str, instead: str
) -> None:
    with pytest.raises(ConfigError) as refused:
        create(tmp_path / name, "glucose")
    assert instead in refused.value.next_step
    assert refused.value.unharmed == "everything; nothing was written"
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_not_empty_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "pond_1").mkdir()
    (tmp_path / "pond_1" / ".hidden").write_text("mine")
    with pytest.raises(ConfigError, match="is not empty"):
        create(tmp_path / "pond_1", "glucose")
    (tmp_path / "pond_2").write_text("a file")
    with pytest.raises(ConfigError, match="is a file"):
        create(tmp_path / "pond_2", "glucose")
    assert files_below(tmp_path) == {"pond_1/.hidden", "pond_2"}


def test_what_cannot_be_written_whole_is_not_written_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot be written"):
        create(tmp_path / "file" / "pond_1", "glucose")
    with pytest.raises(ConfigError, match="cannot be written"):
        create(Path("/proc/pond_1"), "glucose")

    written = creating._write

    def full(folder: Path, files: dict[str, bytes]) -> None:
        written(folder, dict(list(files.items())[:5]))
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(creating, "_write", full)
    with pytest.raises(ConfigError, match="No space left on device"):
        create(tmp_path / "new" / "below" / "pond_1", "glucose")
    assert files_below(tmp_path) == {"file"}
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_a_template_that_does_not_exist_is_refused_by_name(tmp_path: Path) -> None:
    result = init(str(tmp_path / "pond_1"), "--template", "glukose")
    assert isinstance(result.exception, ConfigError)
    assert "choose glucose or empty" in str(result.exception)
