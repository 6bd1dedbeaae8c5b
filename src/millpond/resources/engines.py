"""Trino and Iceberg as Dagster resources, for assets of your own.

Their fields default to the settings, except secrets: Dagster shows the configuration of a resource in its
pages, so secrets are read from the settings when they are needed.
"""

from typing import TYPE_CHECKING, Any

import dagster as dg

from millpond.errors import ConfigError
from millpond.settings import Settings, settings

if TYPE_CHECKING:
    from pyiceberg.table import Table
    from trino.dbapi import Connection

    from millpond.lake.catalog import LakeCatalog


class TrinoResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Trino, with the tables of a ref as `<layer>.<table>`."""

    trino_host: str | None = None
    trino_port: int = 8080
    trino_user: str = "millpond"
    trino_password: str | None = None
    trino_http_scheme: str = "http"

    def connect(self, ref: str | None = None) -> "Connection":
        """Return a DB-API connection to `ref` (default: the setting). Raises RefNotFound."""
        from millpond.lake import trino

        asked = self._settings()
        trino.connect(ref)
        return trino.open_connection(
            asked, catalog=trino.catalog_name(ref or settings().ref), schema="raw", source="millpond asset"
        )

    def query(self, sql: str, ref: str | None = None) -> list[dict[str, Any]]:
        """Return the rows of one statement as dictionaries."""
        cursor = self.connect(ref).cursor()
        cursor.execute(sql)
        rows = cursor.fetchall()
        names = [column[0] for column in cursor.description or ()]
        return [dict(zip(names, row, strict=True)) for row in rows]

    def _settings(self) -> Settings:
        if not self.trino_host:
            raise ConfigError(
                "the resource trino has no trino_host",
                next_step="set MILLPOND_TRINO_HOST, for example MILLPOND_TRINO_HOST=trino",
            )
        given = {name: getattr(self, name) for name in _TRINO} | _secrets(self, "trino_password")
        return settings().model_copy(update=given)


class IcebergResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """The lake as a PyIceberg catalog, whichever engine builds the models."""

    iceberg_warehouse_path: str
    iceberg_staging_path: str
    nessie_uri: str | None = None
    nessie_branch: str = "main"
    s3_endpoint: str | None = None
    s3_region: str = "us-east-1"
    s3_access_key: str | None = None
    s3_secret_key: str | None = None

    def catalog(self, ref: str | None = None) -> "LakeCatalog":
        """Return the catalog of `ref` (default: the setting), with the warehouse and keys of these fields.

        Raises RefNotFound.
        """
        from millpond.lake.catalog import load_catalog

        found = load_catalog(ref or settings().ref)
        found.properties.update(self.properties())
        return found

    def table(self, name: str, ref: str | None = None) -> "Table":
        """Return the table `<layer>.<name>` of a ref. Raises NoSuchTableError, RefNotFound."""
        return self.catalog(ref).load_table(name)

    def properties(self) -> dict[str, str]:
        """Return PyIceberg's properties for the warehouse, including the keys of S3."""
        from millpond.lake.files import storage_properties

        if not settings().scale:
            return {}
        given = {name: getattr(self, name) for name in ("s3_endpoint", "s3_region")}
        given |= _secrets(self, "s3_access_key", "s3_secret_key")
        properties = storage_properties(settings().model_copy(update=given))
        return {"warehouse": self.iceberg_warehouse_path, **properties}


_TRINO = ("trino_host", "trino_port", "trino_user", "trino_http_scheme")
_ICEBERG = (
    *("iceberg_warehouse_path", "iceberg_staging_path", "nessie_uri", "nessie_branch"),
    *("s3_endpoint", "s3_region"),
)


def build_resources(configured: Settings) -> dict[str, dg.ConfigurableResource[Any]]:
    """Return the resources `trino` and `iceberg` from the settings, without connecting."""
    return {
        "trino": TrinoResource(**_field_values(configured, _TRINO)),
        "iceberg": IcebergResource(**_field_values(configured, _ICEBERG)),
    }


def _field_values(configured: Settings, names: tuple[str, ...]) -> dict[str, Any]:
    found = {name: getattr(configured, name) for name in names}
    return {name: value if isinstance(value, int | None) else str(value) for name, value in found.items()}


def _secrets(resource: dg.ConfigurableResource[Any], *names: str) -> dict[str, Any]:
    """Return the secrets that the resource was given, as settings hold them."""
    from pydantic import SecretStr

    given = {name: getattr(resource, name) for name in names}
    return {name: SecretStr(value) for name, value in given.items() if value}
