"""Every test here has an empty home and a source called shop, which is a database of its own."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from millpond.settings import Settings, settings
from postgres_accounts import scratch_database


@pytest.fixture
def shop(home: object) -> Iterator[None]:
    """Have the project declare a source called shop, so that settings name its address."""
    file = settings().project / "sources" / "shop.yaml"
    file.write_text("source: shop\n")
    settings.cache_clear()
    yield
    file.unlink()
    settings.cache_clear()


@pytest.fixture
def lite(shop: None, configure: Callable[..., Settings], tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """Return a connection that writes the SQLite file that the source is."""
    connection = sqlite3.connect(tmp_path / "shop.db")
    connection.text_factory = bytes
    configure(shop_url=f"sqlite:///{tmp_path}/shop.db")
    yield connection
    connection.close()


@pytest.fixture
def postgres(shop: None, configure: Callable[..., Settings]) -> Iterator[psycopg.Connection[Any]]:
    """Return a superuser's connection to the database that the source is; its account is `reader`."""
    with scratch_database("shop", "reader", "of-the-reader") as (connection, port):
        configure(
            shop_url=f"postgresql://127.0.0.1:{port}/shop",
            shop_user="reader",
            shop_token="of-the-reader",
        )
        connection.execute("alter default privileges grant select on tables to reader")
        yield connection
