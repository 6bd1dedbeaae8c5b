"""The one reader of the environment: every setting, its default, its origin, its meaning."""

from __future__ import annotations

import datetime as dt
import difflib
import os
import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from dotenv import dotenv_values
from pydantic import BaseModel, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from millpond.errors import ConfigError
from millpond.naming import MAIN_REF, ref_name
from millpond.project.config import find_project, read_project
from millpond.redaction import redacted, register, register_address
from millpond.settings_alerts import AlertSettings
from millpond.settings_automation import AutomationSettings
from millpond.settings_queue import QueueSettings
from millpond.settings_scale import ScaleSettings
from millpond.settings_sources import RequestSettings, SourceSettings
from millpond.settings_text import CleanText

PREFIX = "MILLPOND_"
DEPLOYED = "DEPLOYED_BY_MILLPOND"
"""Environment variable of what automation starts: the copy of the project that it uses, see `deployment`."""
_SECRET = (
    *("token", "webhook", "password", "pagerduty_key", "apprise", "access_key", "secret_key"),
    "heartbeat_url",
)
"""Parts of the names of settings whose value is not shown, also where it is wrong."""
_SOURCE_SUFFIXES = frozenset({".yaml", ".yml", ".py"})


class Settings(
    BaseSettings,
    CleanText,
    AlertSettings,
    AutomationSettings,
    QueueSettings,
    RequestSettings,
    ScaleSettings,
):
    """Everything that can be set, from `MILLPOND_*` in the environment, then secrets, then `.env`."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_ignore_empty=True, extra="ignore", frozen=True, validate_default=True
    )

    project: Path = Field(
        default_factory=lambda: _default_project(),
        description="folder of the project; default: the current one, or the nearest above, whose "
        "pyproject.toml has [tool.millpond], else the checkout",
    )
    home: Path = Field(
        Path(".millpond"),
        description="folder that holds all state; relative to the project; deleting it is a factory reset",
    )
    dbt_translator: str | None = Field(
        None, description="`package.module:Class` that shows models to Dagster"
    )
    secrets_dir: Path | None = Field(
        None,
        description="folder of files named like settings in lower case, for example /run/secrets with a "
        "file millpond_s3_secret_key",
    )
    timezone: str = Field(
        "UTC", description="zone whose midnights bound a partition, for example Europe/Berlin"
    )
    start_date: dt.date = Field(
        dt.date(2024, 1, 1), description="first partition of every daily asset, for example 2024-01-01"
    )
    ref: str = Field(MAIN_REF, description="ref that is read and written, for example main or dev")
    dbt_branch: str = Field(
        "dev",
        description="branch that dbt typed by hand works on where MILLPOND_REF is main, for example dev",
    )
    iceberg_staging_path: Path | None = Field(
        None, description="folder for pages on their way into the lake; default: <home>/staging"
    )
    dagster_port: int = Field(
        3000, ge=0, le=65535, description="loopback port of Dagster's web pages; 0 picks a free one once"
    )
    catalog_port: int = Field(
        8181, ge=0, le=65535, description="loopback port of the shared REST catalog; 0 picks a free one once"
    )
    lock_seconds: float = Field(
        30,
        gt=0,
        le=3600,
        description="how long a write waits for another writer of the same table, for example 30",
    )
    branch_retention_days: float = Field(
        7, ge=0, le=3650, description="how long a failed audit's branch is kept for a look, for example 7"
    )
    orphan_retention_days: float = Field(
        7, ge=1, le=3650, description="how long files that nothing leads to are kept, for example 7"
    )
    sources: dict[str, SourceSettings] = Field(
        default_factory=dict,
        description="per source: URL, USER and TOKEN, by the name of its file in sources/",
    )

    @field_validator("project")
    @classmethod
    def _absolute(cls, path: Path) -> Path:
        return path.expanduser().resolve()

    @field_validator("timezone")
    @classmethod
    def _zone_exists(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, IsADirectoryError) as error:
            raise ValueError("is no IANA time zone, for example Europe/Berlin") from error
        return name

    @field_validator("start_date")
    @classmethod
    def _calendar_covers(cls, day: dt.date) -> dt.date:
        if not dt.date(2000, 1, 1) <= day < dt.date(2050, 1, 1):
            raise ValueError("must lie from 2000-01-01 to 2049-12-31, the span of the calendar dim_date")
        return day

    @field_validator("ref", "dbt_branch")
    @classmethod
    def _ref_is_a_name(cls, name: str) -> str:
        try:
            return ref_name(name)
        except ConfigError as error:
            raise ValueError(f"{error.what}; {error.next_step}") from error

    @model_validator(mode="after")
    def _resolve_paths(self) -> Settings:
        home = self.project / self.home.expanduser()
        self.__dict__["home"] = Path(os.path.normpath(home))
        staging = self.iceberg_staging_path or home / "staging"
        self.__dict__["iceberg_staging_path"] = self._below_project(staging)
        if not self.scale:
            warehouse = self.iceberg_warehouse_path or home / "warehouse"
            self.__dict__["iceberg_warehouse_path"] = str(self._below_project(Path(warehouse)))
        kept = {"HOME": self.home, "PROJECT": self.project}
        if not self.scale:
            kept["ICEBERG_WAREHOUSE_PATH"] = self.warehouse
        for name, folder in kept.items():
            if folder.is_relative_to(self.staging):
                raise ValueError(
                    f"{PREFIX}ICEBERG_STAGING_PATH, {self.staging}, is or holds {PREFIX}{name}, {folder}; "
                    "staging is emptied, so give it a folder of its own"
                )
        if not self.scale and self.staging.is_relative_to(self.warehouse):
            raise ValueError(
                f"{PREFIX}ICEBERG_STAGING_PATH, {self.staging}, lies in {PREFIX}ICEBERG_WAREHOUSE_PATH, "
                f"{self.warehouse}, where every file must belong to a table; give it a folder of its own"
            )
        return self

    @model_validator(mode="after")
    def _ports_differ(self) -> Settings:
        taken: dict[int, str] = {}
        embedded = () if self.scale else ("postgres_port",)
        for name in (*embedded, "dagster_port", "catalog_port"):
            port: int = getattr(self, name)
            if port and port in taken:
                raise ValueError(
                    f"{variable(taken[port])} and {variable(name)} are both {port}; let them differ"
                )
            taken[port] = name
        return self

    def _below_project(self, path: Path) -> Path:
        return Path(os.path.normpath(self.project / path.expanduser()))

    @property
    def warehouse(self) -> Path:
        """Folder of the Iceberg files; not under the profile scale, where they lie in S3."""
        assert self.iceberg_warehouse_path is not None
        assert not self.scale
        return Path(self.iceberg_warehouse_path)

    @property
    def staging(self) -> Path:
        """Folder for pages on their way into the lake; nothing in it is needed after a run."""
        assert self.iceberg_staging_path is not None
        return self.iceberg_staging_path

    @property
    def code(self) -> Path:
        """Folder of the sources, models and definitions in use: the project, or what was deployed of it."""
        return Path(os.environ.get(DEPLOYED) or self.project)

    @property
    def zone(self) -> ZoneInfo:
        """The zone whose midnights bound a partition."""
        return ZoneInfo(self.timezone)

    def source(self, name: str) -> SourceSettings:
        """Return how to reach source `name`; all fields are None where nothing was set."""
        return self.sources.get(name, SourceSettings())

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, file_secret_settings, dotenv_settings


def variable(field: str, source: str | None = None) -> str:
    """Return the environment variable of a field, or of a source's field."""
    return f"{PREFIX}{source}_{field}".upper() if source else f"{PREFIX}{field}".upper()


@lru_cache(1)
def settings() -> Settings:
    """Return the settings of this process, read once.

    Raises ConfigError naming the variable, what is wrong and an example.
    """
    return read_settings()


def read_settings() -> Settings:
    """Read the settings anew, see `settings`; from then on their secrets are masked in texts."""
    project = Path(os.environ.get(variable("project")) or _default_project()).expanduser().resolve()
    found = _variables(project)
    # A source may be new in the project, or gone from it, and not yet deployed.
    names = sorted({*source_names(project), *source_names(Path(os.environ.get(DEPLOYED) or project))})
    _refuse_unknown(found, names)
    try:
        read = Settings(
            _env_file=project / ".env",
            _secrets_dir=found.get(variable("secrets_dir")),
            sources=_source_values(found, names),
        )
    except ValidationError as error:
        raise ConfigError(*_first_problem(error)[:1], next_step=_first_problem(error)[1]) from None
    for part in (read, *read.sources.values()):
        _register_secrets(part)
    return read


def _register_secrets(part: BaseModel) -> None:
    for name in type(part).model_fields:
        value = getattr(part, name)
        if isinstance(value, SecretStr):
            text = value.get_secret_value()
            for secret in text.split() if "://" in text else [text]:
                register(secret)
                register_address(secret)
        elif isinstance(value, str):
            register_address(value)


def origins() -> dict[str, str]:
    """Return for each variable that is set where it comes from: `environment`, `secrets` or `.env`."""
    found: dict[str, str] = {}
    for origin, values in _layers(settings().project).items():
        found |= dict.fromkeys(values, origin)
    return found


def use_deployed(folder: Path) -> None:
    """Have this process and those it starts use a copy of the project in place of the project."""
    os.environ[DEPLOYED] = str(folder)
    settings.cache_clear()


def process_environment(**changes: str) -> dict[str, str]:
    """Return this process's environment with `changes`, for a child process."""
    return {**os.environ, **changes}


def source_names(project: Path) -> list[str]:
    """Return the names of the project's sources."""
    return [file.stem for file in source_files(project)]


def source_files(project: Path) -> list[Path]:
    """Return the files in the project's folders of sources that declare one, by name."""
    files = [file for folder in read_project(project).sources for file in (project / folder).glob("*")]
    declaring = [f for f in files if f.suffix in _SOURCE_SUFFIXES and not f.name.startswith("_")]
    return sorted(declaring, key=lambda file: (file.name, file))


def _default_project() -> Path:
    if found := find_project(Path.cwd()):
        return found
    checkout = Path(__file__).resolve().parents[2]
    return checkout if (checkout / "dbt" / "dbt_project.yml").exists() else Path.cwd()


def _variables(project: Path) -> dict[str, str]:
    return {name: value for values in _layers(project).values() for name, value in values.items()}


def _layers(project: Path) -> dict[str, dict[str, str]]:
    """Return what is set, by where; a later layer beats those before it."""
    file, environment = _ours(dotenv_values(project / ".env")), _ours(os.environ)
    folder = variable("secrets_dir")
    secrets = _secrets(environment.get(folder) or file.get(folder))
    return {".env": file, "secrets": secrets, "environment": environment}


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


def _source_values(found: Mapping[str, str], names: list[str]) -> dict[str, dict[str, str]]:
    values: dict[str, dict[str, Any]] = {}
    for name in names:
        for field in SourceSettings.model_fields:
            if value := found.get(variable(field, name)):
                values.setdefault(name, {})[field] = value
    return values


def _refuse_unknown(found: Mapping[str, str], names: list[str]) -> None:
    known = {variable(f) for f in Settings.model_fields if f != "sources"}
    known |= {variable(f, n) for n in names for f in SourceSettings.model_fields}
    for name in sorted(set(found) - known):
        near = difflib.get_close_matches(name, sorted(known), n=3, cutoff=0.6)
        raise ConfigError(
            f"unknown setting {name}",
            next_step=(f"did you mean {' or '.join(near)}? " if near else "")
            + "`millpond config show` lists every setting; .env.example documents them",
        )


def _first_problem(error: ValidationError) -> tuple[str, str]:
    problem = error.errors(include_url=False)[0]
    where = [str(part) for part in problem["loc"]]
    reason = problem["msg"].removeprefix("Value error, ")
    if not where:
        return reason, "change one of them"
    if where[0] == "sources":
        name, help_ = variable(where[2], where[1]), SourceSettings.model_fields[where[2]].description
    else:
        name, help_ = variable(where[0]), Settings.model_fields[where[0]].description
    given = _without_account(problem["input"])
    given = redacted(given if given.isprintable() else repr(given))
    secret = any(word in name.lower() for word in _SECRET)
    shown = " cannot be used" if secret else f" = {given}"  # what follows NAME: looks like its value
    return f"{name}{shown}: {reason}", f"set {name}: {help_}"


def _without_account(value: object) -> str:
    """Return `value` without the user and password of an address."""
    return re.sub(r"//[^/\s]*@", "//", str(value))
