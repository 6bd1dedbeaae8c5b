"""A Docker engine to test with: the one that runs or, as root on Debian, one of our own, ended by its pid."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

CACHE = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "millpond-docker"
"""What is kept from one run to the next: the engine's images and build cache, the client's plug-ins."""

_PACKAGES = ("docker.io", "iptables", "debootstrap")
_PLUGIN_PACKAGES = ("docker-compose", "docker-buildx")
_PLUGIN_RELEASE = "trixie"
"""The first release of Debian that has both; they need no more of the system than its C library."""
_PLUGINS = "usr/libexec/docker/cli-plugins"
_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
_START_SECONDS = 180.0


class NoEngine(Exception):
    """There is no Docker here and none can be started; says what is missing."""


@contextmanager
def running_engine() -> Iterator[None]:
    """Have a Docker engine, with compose and buildx, within the block."""
    _have_client()
    if _answers():
        yield
        return
    engine = _start()
    try:
        yield
    finally:
        _end(engine)


def docker(*arguments: str, check: bool = True, **options: object) -> subprocess.CompletedProcess[str]:
    """Run `docker arguments…`; its output is in the result and, when it fails, in the error."""
    return run(["docker", *arguments], check=check, **options)


def run(
    command: Sequence[str | Path], *, check: bool = True, **options: object
) -> subprocess.CompletedProcess[str]:
    """Run a command; raises AssertionError with the end of its output if it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)  # type: ignore[call-overload]
    if check and done.returncode:
        output = "\n".join((done.stdout + done.stderr).splitlines()[-60:])
        raise AssertionError(f"{' '.join(map(str, command))} ended with {done.returncode}:\n{output}")
    return done


def mirror() -> str:
    """Return the Debian mirror that this machine uses."""
    sources = [Path("/etc/apt/sources.list"), *sorted(Path("/etc/apt/sources.list.d").glob("debian*"))]
    for file in filter(Path.exists, sources):
        if found := re.search(r"^(?:URIs:|deb(?: \[.*?\])?)\s+(\S+)", file.read_text(), re.MULTILINE):
            return found[1]
    raise NoEngine("no Debian mirror is set up for apt on this machine")


def _have_client() -> None:
    os.environ["DOCKER_BUILDKIT"] = "1"
    if not shutil.which("docker") or not (shutil.which("dockerd") or _answers()):
        _may_install()
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        run(["apt-get", "update", "-qq"])
        run(
            ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *_PACKAGES],
            env=environment,
        )
    plugged = all(docker(plugin, "version", check=False).returncode == 0 for plugin in ("compose", "buildx"))
    if not plugged:
        config = CACHE / "client"
        if not (config / "cli-plugins" / "docker-compose").exists():
            _may_install()
            _fetch_plugins(config / "cli-plugins")
        os.environ["DOCKER_CONFIG"] = str(config)


def _may_install() -> None:
    if os.geteuid() or not shutil.which("apt-get"):
        raise NoEngine("install Docker with the plug-ins compose and buildx, or run this as root on Debian")


def _fetch_plugins(target: Path) -> None:
    """Unpack the plug-ins from Debian's packages; apt's own lists and installed packages stay as they are."""
    apt = CACHE / "apt"
    for folder in ("lists/partial", "cache/archives/partial", "unpacked"):
        (apt / folder).mkdir(parents=True, exist_ok=True)
    (apt / "sources.list").write_text(f"deb [signed-by={_KEYRING}] {mirror()} {_PLUGIN_RELEASE} main\n")
    settings = {
        "Dir::Etc::sourcelist": apt / "sources.list",
        "Dir::Etc::sourceparts": "-",
        "Dir::State::lists": apt / "lists",
        "Dir::Cache": apt / "cache",
        "APT::Sandbox::User": "root",
        "Acquire::Languages": "none",
    }
    options = [part for name, value in settings.items() for part in ("-o", f"{name}={value}")]
    run(["apt-get", *options, "-qq", "update"])
    run(["apt-get", *options, "-qq", "download", *_PLUGIN_PACKAGES], cwd=apt)
    for package in apt.glob("*.deb"):
        run(["dpkg-deb", "-x", package, apt / "unpacked"])
    target.mkdir(parents=True, exist_ok=True)
    for plugin in (apt / "unpacked" / _PLUGINS).iterdir():
        shutil.copy2(plugin, target)
    shutil.rmtree(apt)


def _answers() -> bool:
    return bool(shutil.which("docker")) and docker("info", check=False).returncode == 0


def _start() -> subprocess.Popen[bytes]:
    """Start an engine with data of its own, on this machine's usual socket."""
    CACHE.mkdir(parents=True, exist_ok=True)
    settings = CACHE / "daemon.json"
    settings.write_text(json.dumps({"storage-driver": "overlay2", "data-root": str(CACHE / "data")}))
    with (CACHE / "dockerd.log").open("wb") as log:
        engine = subprocess.Popen(
            ["dockerd", "--config-file", settings, "--exec-root", CACHE / "run", "-p", CACHE / "dockerd.pid"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    deadline = time.monotonic() + _START_SECONDS
    while not _answers():
        if engine.poll() is not None or time.monotonic() > deadline:
            _end(engine)
            end = "\n".join((CACHE / "dockerd.log").read_text().splitlines()[-20:])
            raise NoEngine(f"dockerd does not start; its log ends:\n{end}")
        time.sleep(0.2)
    return engine


def _end(engine: subprocess.Popen[bytes]) -> None:
    engine.send_signal(signal.SIGTERM)
    try:
        engine.wait(30)
    except subprocess.TimeoutExpired:
        engine.kill()
        engine.wait()


if __name__ == "__main__":
    try:
        with running_engine():
            pass
    except (NoEngine, AssertionError) as missing:
        print(" ".join(str(missing).split()))
        sys.exit(1)
