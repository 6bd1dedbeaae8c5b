"""Dagster under supervision (one code server for web pages and daemon) and the alert dispatcher."""

from __future__ import annotations

import hashlib
import os
import socket
import subprocess
import tempfile
import threading
import time
from contextlib import suppress
from functools import partial
from pathlib import Path

import yaml

from millpond.errors import ConfigError
from millpond.runtime import dagster_health, deployment
from millpond.runtime.children import start_child
from millpond.runtime.home import CODE_LOCATION, Home, dagster_home, locate
from millpond.runtime.part import NO_ANSWER, STARTING, UNHEALTHY, UP, Health, Part
from millpond.runtime.ports import choose_port
from millpond.runtime.processes import Process, find_process, register, start_time
from millpond.settings import DEPLOYED, Settings, process_environment, variable

CODE_SERVER, WEBSERVER, DAEMON = "code-server", "webserver", "daemon"
_WORKSPACE = "workspace.yaml"
_PORT_FILE = "webserver.port"
_SOCKET_PATH_LIMIT = 100
_ANSWER_SECONDS = 5.0
_START_SECONDS = 180.0
"""The first time in a home, dbt reads its whole project."""
_HEARTBEAT_SECONDS = 300
"""Without a word from its clients for so long, the code server's inner process ends. Dagster's 30 s are less
than a starved machine or a closed laptop takes."""
_TARGETS = ("MODULE_NAME", "PYTHON_FILE", "PACKAGE_NAME", "ATTRIBUTE", "WORKING_DIRECTORY")
"""Variables that point Dagster's commands at code; beside a workspace file they make its servers exit."""


def dagster_url(settings: Settings) -> str:
    """Return where the web pages are, or will be once `millpond up` runs."""
    home = locate(settings)
    if process := find_process(home, WEBSERVER):
        return f"http://127.0.0.1:{process.port}"
    return f"http://127.0.0.1:{settings.dagster_port or _port(settings, home)}"


def build_dagster_parts(settings: Settings, home: Home) -> list[Part]:
    """Return code server, web pages and daemon."""
    return [_code_server(settings, home), _webserver(settings, home), _daemon(settings, home)]


def _code_server(settings: Settings, home: Home) -> Part:
    path = code_server_socket(home)
    started: list[bool] = []

    def start() -> subprocess.Popen[bytes]:
        # A code server that is started again, because it ended, goes on with what it had loaded.
        deployed = (deployment.current(settings) if started else None) or deployment.deploy(
            settings, checked=False
        )
        started.append(True)
        path.unlink(missing_ok=True)
        command = ["millpond.instance.code_server", "start", "--socket", str(path)]
        command += ["--module-name", CODE_LOCATION]
        command += ["--location-name", location_name(settings), "--heartbeat-ttl", str(_HEARTBEAT_SECONDS)]
        folder = deployment.folder_of(settings, deployed)
        preload = "millpond.instance.code_server"
        return _start_process(settings, home, CODE_SERVER, command, preload=preload, deployed=folder)

    def examine(process: Process) -> Health:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.settimeout(_ANSWER_SECONDS)
            probe.connect(str(path))
        # Only the web pages tell whether the definitions load; while they start, it is not known yet.
        with suppress(*NO_ANSWER):
            if pages := find_process(home, WEBSERVER):
                return dagster_health.code_location(pages.port, location_name(settings))
        young = time.time() - process.started < _START_SECONDS / 2
        return Health(STARTING, "the web pages do not answer yet") if young else Health(UP)

    return Part(
        CODE_SERVER,
        partial(find_process, home, CODE_SERVER),
        start,
        examine,
        f"unix:{path}",
        start_seconds=_START_SECONDS,
    )


def _webserver(settings: Settings, home: Home) -> Part:
    def start() -> subprocess.Popen[bytes]:
        port = _port(settings, home)
        command = ["millpond.cli.pages", "--host", "127.0.0.1", "--port", str(port)]
        command += _workspaces(settings, home)
        child = _start_process(settings, home, WEBSERVER, command, preload="dagster_webserver.cli", port=port)
        (home.run / _PORT_FILE).write_text(f"{port}\n")
        return child

    return Part(
        WEBSERVER,
        partial(find_process, home, WEBSERVER),
        start,
        lambda process: dagster_health.webserver(process.port),
        "http://127.0.0.1:{port}",
        port=settings.dagster_port,
        setting=variable("dagster_port"),
        start_seconds=_START_SECONDS,
    )


def _daemon(settings: Settings, home: Home) -> Part:
    def start() -> subprocess.Popen[bytes]:
        command = ["millpond.instance.daemon", "run", *_workspaces(settings, home)]
        return _start_process(settings, home, DAEMON, command, preload="millpond.instance.daemon")

    return Part(
        DAEMON,
        partial(find_process, home, DAEMON),
        start,
        lambda process: dagster_health.daemon(home, process.started),
        start_seconds=_START_SECONDS,
    )


def _start_process(
    settings: Settings,
    home: Home,
    name: str,
    command: list[str],
    *,
    preload: str,
    port: int = 0,
    deployed: Path | None = None,
) -> subprocess.Popen[bytes]:
    child = start_child(
        command,
        preload=preload,
        home=home,
        log=home.logs / f"{name}.log",
        folder=settings.project,
        environment=_environment(settings, deployed),
        after=None if name == CODE_SERVER else code_server_socket(home),
    )
    register(home, Process(name, child.pid, start_time(child.pid) or 0.0, port))
    return child


def _environment(settings: Settings, deployed: Path | None) -> dict[str, str]:
    here = {
        variable("project"): str(settings.project),
        variable("home"): str(settings.home),
        "DAGSTER_HOME": str(dagster_home(settings)),
        "PYTHONUNBUFFERED": "1",
    }
    if deployed:
        here[DEPLOYED] = str(deployed)
    pointers = {f"DAGSTER_{target}" for target in _TARGETS}
    if not deployed:
        pointers.add(DEPLOYED)
    return {name: value for name, value in process_environment(**here).items() if name not in pointers}


def _workspaces(settings: Settings, home: Home) -> list[str]:
    """Return the project's workspace file and one in which our code location is the shared code server."""
    server = {"socket": str(code_server_socket(home)), "location_name": location_name(settings)}
    override = home.run / _WORKSPACE
    unfinished = home.run / f".{_WORKSPACE}.{threading.get_ident()}"
    unfinished.write_text(yaml.safe_dump({"load_from": [{"grpc_server": server}]}))
    unfinished.replace(override)
    return ["--workspace", str(settings.project / _WORKSPACE), "--workspace", str(override)]


def location_name(settings: Settings) -> str:
    """Return what the project's workspace file calls our code location, so that history stays with it."""
    path = settings.project / _WORKSPACE
    workspace = yaml.safe_load(path.read_text()) if path.exists() else None
    for entry in (workspace or {}).get("load_from", []):
        module = entry.get("python_module")
        if module == CODE_LOCATION:
            return CODE_LOCATION
        if isinstance(module, dict) and module.get("module_name") == CODE_LOCATION:
            return str(module.get("location_name", CODE_LOCATION))
    raise ConfigError(
        f"{path} does not load {CODE_LOCATION}",
        next_step=f"add `- python_module: {CODE_LOCATION}` below `load_from:`",
    )


def _port(settings: Settings, home: Home) -> int:
    return choose_port(
        home.run / _PORT_FILE,
        settings.dagster_port,
        home.root,
        part=WEBSERVER,
        setting=variable("dagster_port"),
    )


def code_server_socket(home: Home) -> Path:
    """Return the code server's Unix socket: in the home where the path is short enough for one."""
    path = home.run / "code-server.sock"
    if len(os.fsencode(path)) > _SOCKET_PATH_LIMIT:
        digest = hashlib.sha256(os.fsencode(home.root)).hexdigest()[:12]
        folder = Path(tempfile.gettempdir()) / f"millpond-{os.geteuid()}-{digest}-code"
        folder.mkdir(mode=0o700, exist_ok=True)
        if folder.is_symlink() or folder.stat().st_uid != os.geteuid():
            raise ConfigError(
                f"{folder} belongs to somebody else, so the code server's socket cannot lie there",
                next_step="remove it, or set MILLPOND_HOME to a shorter path",
            )
        path = folder / path.name
    return path


ALERTS = "alerts"
_ALERTS_MODULE = "millpond.alerts"
"""Named, not imported: alerts stand on the runtime, not the other way round."""
_ALERTS_SILENCE_SECONDS = 60.0


def beat_file(home: Home) -> Path:
    """Return the file that the dispatcher writes after each round that worked."""
    return home.run / "alerts.beat"


def build_alerts_part(settings: Settings, home: Home) -> Part:
    """Return the dispatcher."""

    def start() -> subprocess.Popen[bytes]:
        here = {variable("project"): str(settings.project), variable("home"): str(settings.home)}
        child = start_child(
            [_ALERTS_MODULE],
            preload=f"{_ALERTS_MODULE}.dispatcher",
            home=home,
            log=home.logs / f"{ALERTS}.log",
            folder=settings.project,
            environment=process_environment(**here, PYTHONUNBUFFERED="1"),
        )
        register(home, Process(ALERTS, child.pid, start_time(child.pid) or 0.0, 0))
        return child

    return Part(ALERTS, partial(find_process, home, ALERTS), start, partial(_alerts_health, home))


def _alerts_health(home: Home, process: Process) -> Health:
    beat = beat_file(home)
    last = beat.stat().st_mtime if beat.exists() else 0.0
    if last < process.started:
        return Health(STARTING, "no heartbeat yet")
    if last < time.time() - _ALERTS_SILENCE_SECONDS:
        return Health(UNHEALTHY, f"last heartbeat {time.time() - last:.0f} s ago")
    wrong = beat.read_text()
    return Health(UNHEALTHY, wrong, mendable=False) if wrong else Health(UP)
