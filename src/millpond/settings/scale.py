"""The settings of the profile: embedded parts, or servers of others (S3, Trino, Postgres, Nessie)."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field, SecretStr, field_validator, model_validator

_ROLES = ("dagster", "catalog", "ops", "marts", "read")
_PASSWORD = "password of the role millpond_{}; never logged"  # noqa: S105 - a description


class ScaleSettings(BaseModel):
    """Part of `Settings`: which engines are used, and how the servers of the profile scale are reached."""

    profile: Literal["embedded", "scale"] = Field(
        "embedded",
        description="which engines are used: embedded (nothing but this package), or scale (servers)",
    )
    catalog: Literal["postgres", "nessie"] = Field(
        "postgres", description="what keeps the tables' pointers: postgres, or with scale also nessie"
    )
    run_launcher: Literal["process", "docker"] = Field(
        "process",
        description="where runs execute: process (children of the code server), or with scale docker "
        "(each in a container like the one that starts it)",
    )
    iceberg_warehouse_path: str | None = Field(
        None,
        description="folder of the Iceberg files; default: <home>/warehouse; "
        "with scale a place in S3, for example s3://lake/warehouse",
    )
    s3_endpoint: str | None = Field(
        None, description="address of the S3 store, for example http://s3:9000; default: AWS"
    )
    s3_region: str = Field("us-east-1", description="region of the bucket, for example eu-central-1")
    s3_access_key: SecretStr | None = Field(
        None, description="access key; default: what the machine has, such as its role; never logged"
    )
    s3_secret_key: SecretStr | None = Field(None, description="its secret; never logged")
    trino_host: str | None = Field(None, description="host of Trino, for example trino; needed with scale")
    trino_port: int = Field(8080, gt=0, le=65535, description="port of Trino, for example 8080")
    trino_user: str = Field("millpond", min_length=1, description="user at Trino, for example millpond")
    trino_password: SecretStr | None = Field(None, description="its password, over https only; never logged")
    trino_http_scheme: Literal["http", "https"] = Field(
        "http", description="how Trino is spoken to: http or https"
    )
    trino_catalog: str = Field(
        "lake",
        pattern=r"^[a-z][a-z0-9_]{0,30}$",
        description="what Trino calls the catalog of main; those of branches begin so; one for each "
        "installation that shares a Trino, for example lake",
    )
    trino_secrets: Literal["statement", "environment"] = Field(
        "statement",
        description="how Trino gets the keys of S3 and Postgres: statement (CREATE CATALOG, which its list "
        "of queries shows), or environment (Trino has the variables MILLPOND_S3_… and …_CATALOG_PASSWORD)",
    )
    nessie_uri: str | None = Field(
        None, description="address of Nessie, for example http://nessie:19120; needed with catalog nessie"
    )
    nessie_branch: str = Field(
        "main", min_length=1, description="branch of Nessie that stands for main, for example main"
    )
    postgres_host: str | None = Field(
        None,
        description="host of your Postgres, for example postgres; needed with scale, else it is embedded",
    )
    postgres_port: int = Field(
        0,
        ge=0,
        le=65535,
        validate_default=True,
        description="port of Postgres; embedded: on loopback, 0 picks a free one once; with scale 5432",
    )
    postgres_sslmode: Literal["disable", "allow", "prefer", "require", "verify-ca", "verify-full"] = Field(
        "prefer", description="how connections to your Postgres are encrypted, for example require"
    )
    postgres_admin_user: str = Field(
        "postgres", description="superuser that `millpond provision` uses on your Postgres"
    )
    postgres_admin_password: SecretStr | None = Field(
        None, description="its password, only for `millpond provision`; never logged"
    )
    postgres_dagster_password: SecretStr | None = Field(None, description=_PASSWORD.format("dagster"))
    postgres_catalog_password: SecretStr | None = Field(None, description=_PASSWORD.format("catalog"))
    postgres_ops_password: SecretStr | None = Field(None, description=_PASSWORD.format("ops"))
    postgres_marts_password: SecretStr | None = Field(None, description=_PASSWORD.format("marts"))
    postgres_read_password: SecretStr | None = Field(None, description=_PASSWORD.format("read"))
    postgres_superset_password: SecretStr | None = Field(
        None,
        description="password of the role millpond_superset, with which `millpond provision` also makes "
        "Superset's database; never logged",
    )

    @property
    def scale(self) -> bool:
        """Whether the engines are servers of others."""
        return self.profile == "scale"

    @property
    def role_passwords(self) -> dict[str, SecretStr]:
        """The passwords of Millpond's roles on your Postgres, by the name of the role."""
        found = {role: getattr(self, f"postgres_{role}_password") for role in _ROLES}
        return {f"millpond_{role}": password for role, password in found.items() if password}

    @field_validator("s3_endpoint", "nessie_uri")
    @classmethod
    def _is_a_servers_address(cls, url: str | None) -> str | None:
        if url and not url.startswith(("http://", "https://")):
            raise ValueError("must start with http:// or https://")
        return url.rstrip("/") if url else url

    @model_validator(mode="after")
    def _keys_come_in_pairs(self) -> ScaleSettings:
        for key, other in (("ACCESS", "SECRET"), ("SECRET", "ACCESS")):
            given, missing = (getattr(self, f"s3_{k.lower()}_key") for k in (key, other))
            if given and not missing:
                raise ValueError(f"MILLPOND_S3_{key}_KEY needs MILLPOND_S3_{other}_KEY; set both or neither")
        if self.trino_password and self.trino_http_scheme == "http":
            raise ValueError(
                "MILLPOND_TRINO_PASSWORD would cross the network readable, which Trino refuses; "
                "set MILLPOND_TRINO_HTTP_SCHEME=https, or no password"
            )
        return self

    @model_validator(mode="after")
    def _embedded_has_no_servers(self) -> ScaleSettings:
        if self.scale:
            return self
        if self.catalog == "nessie":
            raise ValueError(_only_scale("MILLPOND_CATALOG=nessie"))
        if self.run_launcher == "docker":
            raise ValueError(_only_scale("MILLPOND_RUN_LAUNCHER=docker"))
        if self.postgres_host:
            raise ValueError(_only_scale(f"MILLPOND_POSTGRES_HOST={self.postgres_host}"))
        if self.iceberg_warehouse_path and "://" in self.iceberg_warehouse_path:
            raise ValueError(_only_scale(f"MILLPOND_ICEBERG_WAREHOUSE_PATH={self.iceberg_warehouse_path}"))
        return self

    @model_validator(mode="after")
    def _scale_has_its_servers(self) -> ScaleSettings:
        if not self.scale:
            return self
        needed = {"postgres_host": "postgres", "trino_host": "trino"}
        needed |= {f"postgres_{role}_password": "…" for role in _ROLES}
        if self.catalog == "nessie":
            needed["nessie_uri"] = "http://nessie:19120"
        for name, example in needed.items():
            if not getattr(self, name):
                raise ValueError(
                    f"MILLPOND_PROFILE=scale needs MILLPOND_{name.upper()}, for example "
                    f"MILLPOND_{name.upper()}={example}"
                )
        where = self.iceberg_warehouse_path or ""
        if not where.startswith("s3://") or not where.removeprefix("s3://").strip("/"):
            raise ValueError(
                "MILLPOND_PROFILE=scale needs MILLPOND_ICEBERG_WAREHOUSE_PATH in S3, for example "
                f"MILLPOND_ICEBERG_WAREHOUSE_PATH=s3://lake/warehouse{f', not {where}' if where else ''}"
            )
        self.__dict__["iceberg_warehouse_path"] = where.rstrip("/")
        self.__dict__["postgres_port"] = self.postgres_port or 5432
        return self


def _only_scale(setting: str) -> str:
    return f"{setting} goes with MILLPOND_PROFILE=scale, not with embedded; set the profile or leave it out"
