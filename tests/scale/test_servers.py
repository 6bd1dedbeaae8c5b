"""The servers the other tests stand on."""

from __future__ import annotations

import requests
from servers import postgres
from servers.stack import Stack


def test_every_server_answers(servers: Stack) -> None:
    assert all(server.pid for server in servers.all)
    with postgres.connect(servers.postgres) as connection:
        assert connection.execute("select 1").fetchone() == (1,)
    info = requests.get(f"http://127.0.0.1:{servers.trino.port}/v1/info", timeout=10).json()
    assert info["nodeVersion"]["version"] == "476"
    config = requests.get(f"{servers.nessie_uri}/api/v2/config", timeout=10).json()
    assert config["defaultBranch"] == "main"
