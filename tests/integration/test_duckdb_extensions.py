"""DuckDB's extensions come from wheels, checked once, and nothing is fetched."""

from __future__ import annotations

import subprocess
import sys

import duckdb
import pytest

from millpond.errors import EmbeddedPartError
from millpond.naming import literal
from millpond.runtime import extensions
from millpond.runtime.databases import databases
from millpond.runtime.home import Home, layout
from millpond.settings import process_environment, settings


def loaded(connection: duckdb.DuckDBPyConnection) -> set[str]:
    rows = connection.execute(
        "SELECT extension_name FROM duckdb_extensions() WHERE loaded AND install_mode <> 'STATICALLY_LINKED'"
    ).fetchall()
    return {name for (name,) in rows}


def test_a_connection_has_its_extensions_and_utc() -> None:
    with extensions.open_duckdb() as connection:
        assert loaded(connection) == {"avro", "httpfs", "iceberg"}
        assert connection.execute("SELECT current_setting('TimeZone')").fetchone() == ("UTC",)


def test_extensions_load_on_a_machine_without_any_network() -> None:
    if subprocess.run(["unshare", "-rn", "true"], capture_output=True).returncode:
        pytest.skip("this machine lets nobody take the network away")
    (layout(settings()).extensions / "verified").unlink(missing_ok=True)
    code = "from millpond.runtime.extensions import open_duckdb; open_duckdb(); print('loaded')"
    command = ["unshare", "-rn", sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, env=process_environment(), timeout=60)
    assert (done.stdout, done.stderr) == ("loaded\n", "")


def test_an_extension_that_is_not_there_is_not_fetched() -> None:
    with extensions.open_duckdb() as connection:
        with pytest.raises(duckdb.Error, match=r'spatial.duckdb_extension" not found'):
            connection.load_extension("spatial")
        for setting in ("autoinstall_known_extensions", "autoload_known_extensions"):
            assert connection.execute("SELECT current_setting(?)", [setting]).fetchone() == (False,)


def test_the_postgres_scanner_reads_the_marts_through_the_address_we_hand_out(home: Home) -> None:
    with databases().marts.connect() as connection:
        connection.execute("CREATE TABLE mart AS SELECT 1 AS a")
    address = databases().marts_readonly.uri.get_secret_value()
    with extensions.open_duckdb() as connection:
        connection.load_extension("postgres_scanner")
        connection.execute(f"ATTACH {literal(address)} AS pg (TYPE postgres, READ_ONLY)")
        assert connection.execute("SELECT a FROM pg.marts.mart").fetchall() == [(1,)]


def test_signatures_are_checked_when_a_home_first_sees_the_files_and_then_no_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    checked = []
    monkeypatch.setattr(extensions, "_load_signed", lambda home: checked.append(home))
    marker = layout(settings()).extensions / "verified"
    marker.unlink(missing_ok=True)
    extensions.build_duckdb_config()
    extensions.build_duckdb_config()
    assert len(checked) == 1
    marker.write_text("other files")
    extensions.build_duckdb_config()
    assert len(checked) == 2


def test_a_missing_wheel_is_an_error_that_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extensions, "_INSTALLED", ("avro", "absent"))
    with pytest.raises(EmbeddedPartError, match="no extension absent") as missing:
        extensions.build_duckdb_config()
    assert f"duckdb-extension-absent=={duckdb.__version__}" in missing.value.next_step
