"""The servers the other tests stand on."""

from __future__ import annotations

import requests
import trino.dbapi as trino
from servers import postgres
from servers.stack import Stack


def test_every_server_answers(servers: Stack) -> None:
    assert all(server.pid for server in servers.all)
    with postgres.connect(servers.postgres) as connection:
        assert connection.execute("select 1").fetchone() == (1,)
    with trino.connect(host="127.0.0.1", port=servers.trino.port, user="test") as connection:
        assert connection.cursor().execute("select node_version from system.runtime.nodes").fetchall() == [
            ["476"]
        ]
    config = requests.get(f"{servers.nessie_uri}/api/v2/config", timeout=10).json()
    assert config["defaultBranch"] == "main"
