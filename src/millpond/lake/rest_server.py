"""Runs the shared REST catalog on a socket that already listens: `python -m millpond.lake.rest_server`."""

from __future__ import annotations

import argparse
import socket
from pathlib import Path

import uvicorn
from pydantic import SecretStr

from millpond.lake.rest_app import build_app

_GOODBYE_SECONDS = 5


def main() -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser(description="Serve the Iceberg REST catalog to other programs.")
    parser.add_argument("--fd", type=int, required=True, help="number of a listening socket")
    parser.add_argument("--token-file", type=Path, required=True, help="holds the bearer token that reads")
    parser.add_argument(
        "--write-token-file", type=Path, required=True, help="holds the bearer token that also writes"
    )
    arguments = parser.parse_args()
    config = uvicorn.Config(
        build_app(_token(arguments.write_token_file), _token(arguments.token_file)),
        log_level="warning",
        access_log=False,
        lifespan="off",
        timeout_graceful_shutdown=_GOODBYE_SECONDS,
    )
    uvicorn.Server(config).run(sockets=[socket.socket(fileno=arguments.fd)])


def _token(file: Path) -> SecretStr:
    return SecretStr(file.read_text().strip())


if __name__ == "__main__":
    main()
