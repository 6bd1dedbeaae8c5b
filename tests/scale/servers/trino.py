"""Trino with the Iceberg connector alone: the last release whose files are in Maven's central repository."""

from __future__ import annotations

import subprocess
from pathlib import Path

from servers.cache import installed
from servers.server import Server, answers
from servers.tools import artifact, java

_VERSION = "476"
_CORE = "0f388f9967c177ae70a47c099082fc95387f0c3cb96d8000d1d41fc3a5223158"
_PLUGIN = "99edba5b491ed94d599aeb61e0794272d3569d8b563f3bb8569e8a49daa87b6c"
_CONFIG = """\
coordinator=true
node-scheduler.include-coordinator=true
http-server.http.port={port}
discovery.uri=http://127.0.0.1:{port}
catalog.management=dynamic
query.max-memory=1GB
"""
_OPTIONS = (
    *("-server", "-Xmx2G", "-XX:+UseG1GC", "-XX:G1HeapRegionSize=32M", "-XX:+ExitOnOutOfMemoryError"),
    *("-XX:-OmitStackTraceInFastThrow", "-XX:ReservedCodeCacheSize=256M", "-Dfile.encoding=UTF-8"),
    *("-Djdk.attach.allowAttachSelf=true", "-Djdk.nio.maxCachedBufferSize=2000000"),
    *("-XX:+EnableDynamicAgentLoading", "--enable-native-access=ALL-UNNAMED"),
    # Short queries on few cores: the second compiler would take longer than it saves.
    "-XX:TieredStopAtLevel=1",
)

ready = answers("/v1/info", '"starting":false')


def install() -> Path:
    """Return the folder with Trino's `lib` and `plugin`, fetched if need be."""
    return installed(f"trino-{_VERSION}", _fetch, "540 MB to fetch")


def prepare(folder: Path, port: int) -> Server:
    """Return a server without catalogs; they are made with CREATE CATALOG."""
    home, etc = install(), folder / "etc"
    (etc / "catalog").mkdir(parents=True)
    (etc / "config.properties").write_text(_CONFIG.format(port=port))
    (etc / "log.properties").write_text("io.trino=WARN\n")
    command = [str(java()), *_OPTIONS, "-Dnode.environment=test", "-Dnode.id=test"]
    # Left to itself it announces the address of another network interface, where it does not listen.
    command += ["-Dnode.bind-ip=127.0.0.1", "-Dnode.internal-address=127.0.0.1"]
    command += [f"-Dnode.data-dir={folder / 'data'}", f"-Dconfig={etc / 'config.properties'}"]
    command += [f"-Dlog.levels-file={etc / 'log.properties'}", f"-Dcatalog.config-dir={etc / 'catalog'}"]
    command += [
        f"-Dplugin.dir={home / 'plugin'}",
        "-cp",
        str(home / "lib" / "*"),
        "io.trino.server.TrinoServer",
    ]
    return Server("trino", folder, port, tuple(command))


def _fetch(folder: Path) -> None:
    core = artifact(f"io.trino:trino-server-core:{_VERSION}:tar.gz", _CORE, folder)
    subprocess.run(
        ["tar", "-xzf", core, "-C", folder, "--strip-components=1", f"trino-server-core-{_VERSION}/lib"],
        check=True,
    )
    core.unlink()
    plugin = artifact(f"io.trino:trino-iceberg:{_VERSION}:zip", _PLUGIN, folder)
    subprocess.run(["unzip", "-q", plugin, "-d", folder], check=True)
    plugin.unlink()
    (folder / "plugin").mkdir()
    (folder / f"trino-iceberg-{_VERSION}").rename(folder / "plugin" / "iceberg")
