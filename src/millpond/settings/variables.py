"""Environment variables and their origins: the environment, a folder of secrets, or `.env`."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

from millpond.errors import ConfigError
from millpond.project.config import find_project, read_project

PREFIX = "MILLPOND_"


DEPLOYED = "DEPLOYED_BY_MILLPOND"
"""Environment variable of automation's processes: their copy of the project, see `deployment`."""

_ENVIRONMENT = "ENVIRONMENT_OF_MILLPOND"
"""Environment variable of a child process: the settings in its environment as it was started, as JSON."""

_SOURCE_SUFFIXES = frozenset({".yaml", ".yml", ".py"})


def variable(field: str, source: str | None = None) -> str:
    """Return the environment variable of a field, or of a source's field."""
    return f"{PREFIX}{source}_{field}".upper() if source else f"{PREFIX}{field}".upper()


def process_environment(**changes: str) -> dict[str, str]:
    """Return this process's environment with `changes`, for a child process."""
    restore_environment()
    environment = {**os.environ, **changes}
    return {**environment, _ENVIRONMENT: json.dumps(_ours(environment))}


def restore_environment() -> None:
    """Undo what Dagster's commands do to settings: they put `.env` of their folder over the environment."""
    original = json.loads(os.environ.get(_ENVIRONMENT, "{}"))
    if not original:
        return
    project = Path(original.get(variable("project")) or default_project())
    for name, value in _ours(_read_file(project / ".env")).items():
        if os.environ.get(name) != value:
            continue
        if name in original:
            os.environ[name] = original[name]
        else:
            del os.environ[name]


def source_names(project: Path) -> list[str]:
    """Return the names of the project's sources."""
    return [file.stem for file in source_files(project)]


def source_files(project: Path) -> list[Path]:
    """Return the files in the project's folders of sources that declare one, by name."""
    files = [file for folder in read_project(project).sources for file in (project / folder).glob("*")]
    declaring = [f for f in files if f.suffix in _SOURCE_SUFFIXES and not f.name.startswith("_")]
    return sorted(declaring, key=lambda file: (file.name, file))


def default_project() -> Path:
    """Return the project of the current folder, else the checkout that holds this file, else the folder."""
    if found := find_project(Path.cwd()):
        return found
    checkout = Path(__file__).resolve().parents[3]
    return checkout if (checkout / "dbt" / "dbt_project.yml").exists() else Path.cwd()


def find_root() -> Path:
    """Return the project that the environment names, else `default_project`."""
    return Path(os.environ.get(variable("project")) or default_project()).expanduser().resolve()


def read_layers(project: Path) -> dict[str, dict[str, str]]:
    """Return the variables of each origin; a later one takes precedence."""
    file, environment = _ours(_read_file(project / ".env")), _ours(os.environ)
    folder = variable("secrets_dir")
    secrets = _secrets(environment.get(folder) or file.get(folder))
    return {".env": file, "secrets": secrets, "environment": environment}


def _read_file(file: Path) -> Mapping[str, str | None]:
    if not file.exists():
        return {}
    from dotenv import dotenv_values  # most projects of a server have no such file

    return dotenv_values(file)


def _ours(values: Mapping[str, str | None]) -> dict[str, str]:
    return {name: value for name, value in values.items() if name.startswith(PREFIX) and value}


def _secrets(folder: str | None) -> dict[str, str]:
    if not folder:
        return {}
    if not Path(folder).is_dir():
        raise ConfigError(
            f"{variable('secrets_dir')} = {folder}: there is no such folder",
            next_step="name the folder that holds the files with secrets, for example /run/secrets",
        )
    try:
        files = [f for f in Path(folder).iterdir() if f.name.upper().startswith(PREFIX) and f.is_file()]
        return _ours({f.name.upper(): f.read_text().strip() for f in files})
    except OSError as error:
        raise ConfigError(
            f"{variable('secrets_dir')} = {folder}: {error.filename} cannot be read: {error.strerror}",
            next_step="let the user that runs Millpond read it",
        ) from error
