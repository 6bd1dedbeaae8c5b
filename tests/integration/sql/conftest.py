"""Every test here has an empty home and a source called shop, which is a database of its own."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from millpond.runtime.databases import connect_superuser
from millpond.runtime.home import layout
from millpond.runtime.postmaster import find_server
from millpond.settings import Settings, settings


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
    folders = layout(settings())
    server = find_server(folders)
    assert server
    with connect_superuser(folders, server, "postgres") as admin:
        admin.autocommit = True
        admin.execute("drop database if exists shop with (force)")
        admin.execute("create database shop")
        admin.execute("drop role if exists reader")
        admin.execute("create role reader login password 'of-the-reader'")
        configure(
            shop_url=f"postgresql://127.0.0.1:{server.port}/shop",
            shop_user="reader",
            shop_token="of-the-reader",
        )
        connection = connect_superuser(folders, server, "shop")
        connection.autocommit = True
        connection.execute("alter default privileges grant select on tables to reader")
        yield connection
        connection.close()
        admin.execute("drop database shop with (force)")
        admin.execute(sql.SQL("drop role reader"))
