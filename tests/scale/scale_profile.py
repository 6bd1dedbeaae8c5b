"""A Millpond of the profile scale on the test servers, all state of earlier tests gone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from servers import postgres
from servers.stack import Stack

from millpond.lake import trino
from millpond.lake.connect import catalog_tables, connection
from millpond.runtime import databases, provisioning
from millpond.settings import Settings, settings


@contextmanager
def provisioned(servers: Stack, environment: pytest.MonkeyPatch) -> Iterator[Settings]:
    """Set the settings of the profile scale, over those already set, and make its databases anew."""
    with environment.context() as inside:
        for name, value in servers.settings().items():
            inside.setenv(name, value)
        settings.cache_clear()
        with postgres.connect(servers.postgres) as admin:
            for database in ("dagster", "lake", "marts"):
                admin.execute(f"DROP DATABASE IF EXISTS {database} WITH (FORCE)")
        catalog_tables.cache_clear()
        configured = settings()
        provisioning.provision(
            lambda name: databases.administrator(configured, name), configured.role_passwords, shared=True
        )
        connection().close()
        trino.drop_catalogs_of_dropped([])
        trino.drop_catalog("main")
        try:
            yield configured
        finally:
            settings.cache_clear()
    settings.cache_clear()
