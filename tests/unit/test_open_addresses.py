"""Servers that ask for no password listen on this machine alone, unless something in front of them asks."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from millpond.cli import pages
from millpond.errors import ConfigError
from millpond.runtime.addresses import is_loopback, refuse_open_address
from millpond.settings import Settings, settings

ROOT = Path(__file__).parents[2]
WIDE = ("0.0.0.0", "::", "", "192.168.1.5", "fe80::1", "no-such-host.invalid")
NARROW = ("127.0.0.1", "127.0.0.9", "::1", "[::1]", "localhost")


@pytest.mark.parametrize("host", WIDE)
def test_a_wider_address_is_refused_without_what_asks_for_a_password(
    host: str, configure: Callable[..., Settings]
) -> None:
    assert not is_loopback(host)
    with pytest.raises(ConfigError, match=r"asks for no password(.|\n)*MILLPOND_PAGES_BEHIND=proxy"):
        refuse_open_address(host, "the dashboard", settings())
    refuse_open_address(host, "the dashboard", configure(pages_behind="proxy"))


@pytest.mark.parametrize("host", NARROW)
def test_loopback_is_never_refused(host: str) -> None:
    refuse_open_address(host, "the dashboard", settings())


@pytest.mark.parametrize("typed", [["--host", "0.0.0.0"], ["--host=0.0.0.0"], ["-h", "::"], ["-h0.0.0.0"]])
def test_dagsters_pages_do_not_start_on_a_wider_address(
    typed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "serve_pages", lambda: pytest.fail("it starts"))
    monkeypatch.setattr(sys, "argv", ["millpond.cli.pages", *typed, "--port", "1"])
    with pytest.raises(SystemExit, match="Dagster's web server would listen on"):
        pages.main()
    monkeypatch.setattr(sys, "argv", ["millpond.cli.pages"])
    monkeypatch.setenv("DAGSTER_WEBSERVER_HOST", "0.0.0.0")
    with pytest.raises(SystemExit, match="Dagster's web server would listen on"):
        pages.main()


def test_no_server_of_ours_names_another_address_than_loopback() -> None:
    found = {
        f"{file.relative_to(ROOT)}: {line.strip()}"
        for file in (ROOT / "src").rglob("*")
        if file.suffix in {".py", ".yaml", ".yml", ".toml", ".conf", ".sh", ""} and file.is_file()
        for line in file.read_text(errors="replace").splitlines()
        if re.search(r"0\.0\.0\.0|listen_addresses = '\*'", line)
    }
    assert {each.partition(":")[0] for each in found} <= {"src/millpond/bi/superset/start"}


def test_containers_publish_every_port_on_loopback_and_say_what_protects_the_pages() -> None:
    services = yaml.safe_load((ROOT / "docker" / "compose.yaml").read_text())["services"]
    ports = [port for service in services.values() for port in service.get("ports", ())]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)
    for name in ("dagster-webserver", "dashboard"):
        assert services[name]["environment"]["MILLPOND_PAGES_BEHIND"] == "network"
