"""An S3 server over a folder: versitygw, the one that all of PyIceberg, DuckDB, Trino and Nessie agree with.

moto's server, which unit tests use, would spare compiling one; but it keeps every object in the memory of one
Python process, and two of three requests of a Trino query then wait for the third.
"""

from __future__ import annotations

from pathlib import Path

from servers.cache import installed
from servers.server import Server, answers
from servers.tools import go_install

ACCESS_KEY, SECRET_KEY, REGION, BUCKET = "scale-test", "scale-test-secret", "us-east-1", "lake"
_VERSION = "v1.8.0"

ready = answers("/health")


def install() -> Path:
    """Return the folder of the program, built with Go if need be."""
    return installed(f"versitygw-{_VERSION}", _build, "compiled from Go modules, about 5 minutes")


def prepare(folder: Path, port: int, *options: str) -> Server:
    """Return a server whose bucket `lake` is empty."""
    (folder / "objects" / BUCKET).mkdir(parents=True)
    command = [str(install() / "versitygw"), "--port", f"127.0.0.1:{port}", "--region", REGION]
    command += ["--health", "/health", "--quiet", *options, "posix", str(folder / "objects")]
    keys = {"ROOT_ACCESS_KEY": ACCESS_KEY, "ROOT_SECRET_KEY": SECRET_KEY}
    return Server("s3", folder, port, tuple(command), keys)


def _build(folder: Path) -> None:
    go_install(f"github.com/versity/versitygw/cmd/versitygw@{_VERSION}", folder)
