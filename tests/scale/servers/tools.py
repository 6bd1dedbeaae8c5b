"""The tools that installing and running the servers takes: a new JDK, Maven, Go. Tells what is missing."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
from pathlib import Path

_JAVA = 24
"""What Trino 476 asks for; Nessie runs on it as well."""
_ANY = 1000
_GET = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:get"


class Missing(Exception):
    """A tool is not on this machine; says how to get it."""


def java(oldest: int = _JAVA, below: int = _ANY) -> Path:
    """Return the `java` of a JDK 24 or newer: of JAVA_HOME, the PATH, or the usual folders, in this order.

    `oldest` and `below` name other versions.
    """
    homes = [Path(os.environ["JAVA_HOME"])] if os.environ.get("JAVA_HOME") else []
    if found := shutil.which("java"):
        homes.append(Path(found).resolve().parents[1])
    for folder in ("/usr/lib/jvm", "/opt", "~/.sdkman/candidates/java", "/Library/Java/JavaVirtualMachines"):
        homes += sorted(Path(folder).expanduser().glob("*"), reverse=True)
    homes += [home / "Contents" / "Home" for home in homes]
    for home in homes:
        if oldest <= _version(home) < below:
            return home / "bin" / "java"
    bound = f", below {below}," if below < _ANY else ""
    raise Missing(
        f"a JDK {oldest} or newer{bound} is needed, and none was found. Install one (Temurin, or your "
        "system's openjdk) and set JAVA_HOME to its folder if it lies in an unusual place."
    )


def artifact(coordinates: str, sha256: str, folder: Path) -> Path:
    """Fetch one file of a Maven repository into `folder`, as Maven is set up here; return it.

    Raises ValueError if its SHA-256 is not the one given.
    """
    maven = tool("mvn", "Maven fetches Trino and Nessie. Install your system's package `maven`.")
    repository = folder / "maven"
    options = ["-q", "-B", f"-Dmaven.repo.local={repository}", "-Dtransitive=false"]
    command = [maven, *options, _GET, f"-Dartifact={coordinates}"]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    group, name, version, kind, *classifier = coordinates.split(":")
    file = "-".join([name, version, *classifier]) + f".{kind}"
    found = repository.joinpath(*group.split("."), name, version, file)
    with found.open("rb") as content:
        if (actual := hashlib.file_digest(content, "sha256").hexdigest()) != sha256:
            raise ValueError(
                f"{coordinates} has the SHA-256 {actual}, not {sha256}: not the file this was made for"
            )
    target = folder / file
    found.rename(target)
    shutil.rmtree(repository)
    return target


def go_install(package: str, folder: Path) -> None:
    """Build the Go program `package@version` into `folder`."""
    go = tool("go", "The S3 server is built with Go 1.24 or newer. Install your system's package `golang`.")
    subprocess.run([go, "install", package], check=True, env={**os.environ, "GOBIN": str(folder)})


def tool(name: str, hint: str) -> str:
    """Return the path of a program. Raises Missing, with the hint."""
    if not (found := shutil.which(name)):
        raise Missing(f"`{name}` was not found. {hint}")
    return found


def _version(home: Path) -> int:
    release = home / "release"
    text = release.read_text(errors="replace") if release.is_file() else ""
    found = re.search(r'^JAVA_VERSION="(\d+)', text, re.MULTILINE)
    return int(found[1]) if found and (home / "bin" / "java").exists() else 0
