"""Apache's compatibility kit for Iceberg REST catalogs, run against this one: `make rck`.

Its tests come from Maven, once, into the cache of the servers. They run against a home of their own.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from servers.cache import installed
from servers.tools import java, tool

_HERE = Path(__file__).parent
_JDK = {"oldest": 17, "below": 24}
"""The file system client of the kit, Hadoop's, fails on newer ones."""
_COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"
_TESTS = ("RESTCompatibilityKitCatalogTests", "RESTCompatibilityKitViewCatalogTests")
_COUNT = re.compile(r"\[ +(\d+) tests (found|skipped|aborted|successful|failed) +\]")
_WRONG = re.compile(r"^[│ ]+[├└]─ (.+) ✘ (.*)$", re.MULTILINE)


@dataclass(frozen=True)
class Score:
    """How many tests passed, failed, and were skipped as the kit assumes another kind of catalog."""

    passed: int
    skipped: int
    failed: tuple[str, ...]

    def __str__(self) -> str:
        wrong = "".join(f"\n  {name}" for name in self.failed)
        counts = f"{self.passed} passed, {len(self.failed)} failed, {self.skipped} skipped"
        return f"compatibility kit: {counts}{wrong}"


def install() -> Path:
    """Return the folder with the kit and what it needs, fetched if need be."""
    return installed("iceberg-rest-compatibility-kit-1.11.0", _fetch, "81 MB to fetch")


def run_kit(uri: str, token: str, warehouse: str = "main") -> Score:
    """Run the kit against a catalog that takes writes and has none of the kit's namespaces."""
    properties = {
        "uri": uri,
        "token": token,
        "warehouse": warehouse,
        "rest.auth.type": "oauth2",
        "rck.local": "false",
        "rck.requires-namespace-create": "true",
        "org.slf4j.simpleLogger.defaultLogLevel": "error",
    }
    classes = [f"--select-class=org.apache.iceberg.rest.{name}" for name in _TESTS]
    ran = subprocess.run(
        [
            *(str(java(**_JDK)), "-Xmx1g", *(f"-D{name}={value}" for name, value in properties.items())),
            *("-cp", f"{install()}/*", "org.junit.platform.console.ConsoleLauncher", "execute"),
            *(*classes, "--details=tree", "--disable-ansi-colors", "--disable-banner"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    counts = {what: int(number) for number, what in _COUNT.findall(ran.stdout)}
    if not counts.get("found"):
        raise RuntimeError(f"the kit did not run:\n{ran.stdout[-3000:]}{ran.stderr[-3000:]}")
    failed = tuple(f"{name}: {why}" for name, why in _WRONG.findall(ran.stdout))
    assert len(failed) == counts["failed"], ran.stdout
    return Score(counts["successful"], counts["skipped"] + counts["aborted"], failed)


@contextmanager
def served_home(folder: Path) -> Iterator[tuple[str, str]]:
    """Yield the address and a token of the catalog of a new home, which `millpond catalog serve` serves."""
    variables = {**os.environ, "MILLPOND_HOME": str(folder / "home"), "MILLPOND_CATALOG_PORT": "0"}
    token = _call(variables, "catalog", "token", "--scope", "write", "--expires", "1h").strip()
    command = [sys.executable, "-m", "millpond.cli.main", "catalog", "serve", "--write"]
    with subprocess.Popen(command, env=variables, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout
            said = server.stdout.readline()
            yield said.split("on ")[1].split(",")[0], token
        finally:
            server.terminate()
            server.wait(30)
            _call(variables, "down")


def _call(variables: Mapping[str, str], *arguments: str) -> str:
    command = [sys.executable, "-m", "millpond.cli.main", *arguments]
    return subprocess.run(
        command, env=dict(variables), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True
    ).stdout


def _fetch(folder: Path) -> None:
    repository = folder / "maven"
    maven = tool("mvn", "Maven fetches the kit. Install your system's package `maven`.")
    command = [maven, "-q", "-B", f"-Dmaven.repo.local={repository}", _COPY, f"-DoutputDirectory={folder}"]
    subprocess.run([*command, "-f", str(_HERE / "kit" / "pom.xml")], check=True, stdin=subprocess.DEVNULL)
    shutil.rmtree(repository)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="millpond-rck-") as scratch:
        Path(scratch).chmod(0o711)  # as root, Postgres runs as another user
        with served_home(Path(scratch)) as (address, secret):
            score = run_kit(address, secret)
    print(score)
    sys.exit(bool(score.failed))
