"""Runs the demo source on a socket that already listens: `python -m millpond.runtime.demo_source --fd N`."""

from __future__ import annotations

import argparse
import socket

import uvicorn

from millpond.runtime.demo_source.app import build_app


def main() -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser(
        description="Repeat real recordings over the protocols of their sources."
    )
    parser.add_argument("--fd", type=int, required=True, help="number of a listening socket")
    listener = socket.socket(fileno=parser.parse_args().fd)
    config = uvicorn.Config(build_app(), log_level="warning", access_log=False, lifespan="off")
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main()
