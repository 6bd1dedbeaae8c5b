"""Every setting with its default and its meaning."""

from __future__ import annotations

import datetime as dt
import os
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from millpond.errors import ConfigError
from millpond.naming import MAIN_REF, ref_name
from millpond.settings.alerts import AlertSettings
from millpond.settings.automation import AutomationSettings, QueueSettings
from millpond.settings.scale import ScaleSettings
from millpond.settings.sources import RequestSettings, SourceSettings
from millpond.settings.text import CleanText
from millpond.settings.variables import DEPLOYED, PREFIX, default_project, variable


class Settings(
    BaseSettings,
    CleanText,
    AlertSettings,
    AutomationSettings,
    QueueSettings,
    RequestSettings,
    ScaleSettings,
):
    """All settings, from `MILLPOND_*` in the environment, then secrets, then `.env`."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_ignore_empty=True, extra="ignore", frozen=True, validate_default=True
    )

    project: Path = Field(
        default_factory=lambda: default_project(),
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
    dashboard_port: int = Field(
        8501, ge=0, le=65535, description="loopback port of the dashboard; 0 picks a free one once"
    )
    dashboard: bool = Field(
        True, description="whether the dashboard is a part of `millpond up`; false leaves it out"
    )
    catalog_port: int = Field(
        8181, ge=0, le=65535, description="loopback port of the shared REST catalog; 0 picks a free one once"
    )
    superset_port: int = Field(
        8088,
        ge=0,
        le=65535,
        description="loopback port of Superset (`millpond bi`); 0 picks a free one once",
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
    snapshot_retention_days: float = Field(
        7, ge=0, le=36500, description="how long every version of a table is kept, for example 7"
    )
    snapshot_retention_count: int = Field(
        80,
        ge=1,
        le=100_000,
        description="how many of these versions at most; each takes 1 kB in the file that a commit writes",
    )
    snapshot_daily_retention_days: float = Field(
        90, ge=0, le=36500, description="how long the last version of each day is kept, for example 90"
    )
    event_retention_days: float = Field(
        30,
        ge=1,
        le=36500,
        description="how long Dagster keeps what a run said on its way and its output, for example 30",
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
        for name in (*embedded, "dagster_port", "dashboard_port", "catalog_port", "superset_port"):
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
        """Folder of the Iceberg files; not under the profile scale, where they are in S3."""
        assert self.iceberg_warehouse_path is not None
        assert not self.scale
        return Path(self.iceberg_warehouse_path)

    @property
    def staging(self) -> Path:
        """Folder for data that is being loaded; nothing in it is needed after a run."""
        assert self.iceberg_staging_path is not None
        return self.iceberg_staging_path

    @property
    def code(self) -> Path:
        """Folder of the sources, models and definitions in use: the project, or its deployment."""
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
