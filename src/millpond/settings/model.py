"""Every setting with its default and its meaning."""

from __future__ import annotations

import datetime as dt
import os
from pathlib import Path
from typing import Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import ConfigDict, Field, field_validator, model_validator

from millpond.errors import ConfigError
from millpond.naming import MAIN_REF, ref_name
from millpond.settings.alerts import AlertSettings
from millpond.settings.automation import AutomationSettings, QueueSettings
from millpond.settings.scale import ScaleSettings
from millpond.settings.sources import RequestSettings, SourceSettings
from millpond.settings.text import CleanText
from millpond.settings.variables import DEPLOYED, PREFIX, default_project, variable


class Settings(
    CleanText,
    AlertSettings,
    AutomationSettings,
    QueueSettings,
    RequestSettings,
    ScaleSettings,
):
    """All settings; `reading` fills them from the environment, then secrets, then `.env`."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)

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
    pages_behind: Literal["proxy", "network"] | None = Field(
        None,
        description="what keeps strangers from Dagster's pages and the dashboard, which ask for no password,"
        " where they are to listen beyond this machine: proxy, a reverse proxy that asks for one, or network,"
        " a network of containers; default: they refuse to",
    )
    warm_runs: bool = Field(
        True,
        description="whether runs of `millpond up`, and commands typed while it runs, are forked from a "
        "process that has the code loaded; false starts each in a new one, as Dagster does",
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
    reconcile_days: int = Field(
        7,
        ge=0,
        le=366,
        description="latest days that the nightly check compares with what their runs recorded; 0 turns it"
        " off",
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
    history_retention_days: float = Field(
        90,
        ge=7,
        le=36500,
        description="how long records of what is over are kept: former materializations, results of checks,"
        " runs, ended backfills and alerts, commits of the lake, for example 90",
    )
    quarantine_retention_days: float = Field(
        400, ge=1, le=36500, description="how long rows in quarantine wait for a decision, for example 400"
    )
    orphan_retention_days: float = Field(
        3, ge=1, le=3650, description="how long files that nothing leads to are kept, for example 3"
    )
    compaction_files: int = Field(
        8,
        ge=2,
        le=100_000,
        description="small files, or files of deleted rows, from which on a partition is rewritten at night",
    )
    compaction_file_mb: float = Field(
        16,
        gt=0,
        le=512,
        description="size of the files that it then gets; those below a quarter of it are small",
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
