"""The supervised parts: Dagster, with one code server for web server and daemon, and the alert dispatcher."""

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
_PARSE_MODULE = "millpond.transform.parse_ahead"
"""Not imported, as the models depend on the runtime, not the other way round."""
_WORKSPACE = "workspace.yaml"
_PORT_FILE = "webserver.port"
_SOCKET_PATH_LIMIT = 100
_ANSWER_SECONDS = 5.0
_START_SECONDS = 180.0
"""At the first start in a home, dbt parses its whole project."""
_HEARTBEAT_SECONDS = 300
"""The code server's inner process ends after so long without clients. Dagster's default of 30 s is too
short for a busy machine or a closed laptop."""
_TARGETS = ("MODULE_NAME", "PYTHON_FILE", "PACKAGE_NAME", "ATTRIBUTE", "WORKING_DIRECTORY")
"""Variables that name code for Dagster's commands; together with a workspace file, its servers exit."""


def dagster_url(settings: Settings) -> str:
    """Return the address of Dagster's pages, now or once `millpond up` runs."""
    home = locate(settings)
    if process := find_process(home, WEBSERVER):
        return f"http://127.0.0.1:{process.port}"
    return f"http://127.0.0.1:{settings.dagster_port or _choose_port(settings, home)}"


def build_dagster_parts(settings: Settings, home: Home) -> list[Part]:
    """Return code server, web server and daemon."""
    return [
        _build_code_server(settings, home),
        _build_webserver(settings, home),
        _build_daemon(settings, home),
    ]


def _build_code_server(settings: Settings, home: Home) -> Part:
    path = code_server_socket(home)
    started: list[bool] = []

    def start() -> subprocess.Popen[bytes]:
        # A restarted code server keeps the deployment that it had loaded.
        before = deployment.current(settings)
        deployed = (before if started else None) or deployment.deploy(settings, checked=False)
        folder = deployment.folder_of(settings, deployed)
        if before is None or before.state != deployed.state:
            _parse_ahead(settings, home, folder)
        started.append(True)
        path.unlink(missing_ok=True)
        command = ["millpond.instance.code_server", "start", "--socket", str(path)]
        command += ["--module-name", CODE_LOCATION]
        command += [
            "--location-name",
            find_location_name(settings),
            "--heartbeat-ttl",
            str(_HEARTBEAT_SECONDS),
        ]
        preload = "millpond.instance.code_server"
        return _start_process(settings, home, CODE_SERVER, command, preload=preload, deployed=folder)

    def examine(process: Process) -> Health:
        _connect(path)
        # Only the web server knows whether the definitions load, so this is unknown while it starts.
        with suppress(*NO_ANSWER):
            if pages := find_process(home, WEBSERVER):
                return dagster_health.check_code_location(pages.port, find_location_name(settings))
        young = time.time() - process.started < _START_SECONDS / 2
        return Health(STARTING, "the web server does not answer yet") if young else Health(UP)

    return Part(
        CODE_SERVER,
        partial(find_process, home, CODE_SERVER),
        start,
        examine,
        f"unix:{path}",
        start_seconds=_START_SECONDS,
    )


def _parse_ahead(settings: Settings, home: Home, deployed: Path) -> None:
    """Start to parse the dbt models of a new deployment, for which the code server would wait later."""
    child = start_child(
        [_PARSE_MODULE],
        preload=_PARSE_MODULE,
        home=home,
        log=Path(os.devnull),  # the code server tells of errors
        folder=settings.project,
        environment=_build_environment(settings, deployed),
    )
    threading.Thread(target=child.wait, name=_PARSE_MODULE, daemon=True).start()


def _build_webserver(settings: Settings, home: Home) -> Part:
    def start() -> subprocess.Popen[bytes]:
        port = _choose_port(settings, home)
        command = ["millpond.cli.pages", "--host", "127.0.0.1", "--port", str(port)]
        command += _workspace_options(settings, home)
        child = _start_process(settings, home, WEBSERVER, command, preload="dagster_webserver.cli", port=port)
        (home.run / _PORT_FILE).write_text(f"{port}\n")
        return child

    return Part(
        WEBSERVER,
        partial(find_process, home, WEBSERVER),
        start,
        lambda process: dagster_health.check_webserver(process.port),
        "http://127.0.0.1:{port}",
        port=settings.dagster_port,
        setting=variable("dagster_port"),
        start_seconds=_START_SECONDS,
    )


def _build_daemon(settings: Settings, home: Home) -> Part:
    def start() -> subprocess.Popen[bytes]:
        command = ["millpond.instance.daemon", "run", *_workspace_options(settings, home)]
        return _start_process(settings, home, DAEMON, command, preload="millpond.instance.daemon")

    return Part(
        DAEMON,
        partial(find_process, home, DAEMON),
        start,
        lambda process: dagster_health.check_daemon(home, process.started),
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
        environment=_build_environment(settings, deployed),
        after=None if name == CODE_SERVER else code_server_socket(home),
    )
    register(home, Process(name, child.pid, start_time(child.pid) or 0.0, port))
    return child


def _build_environment(settings: Settings, deployed: Path | None) -> dict[str, str]:
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


def _workspace_options(settings: Settings, home: Home) -> list[str]:
    """Return the options for the project's workspace file, and for one with the shared code server."""
    server = {"socket": str(code_server_socket(home)), "location_name": find_location_name(settings)}
    override = home.run / _WORKSPACE
    unfinished = home.run / f".{_WORKSPACE}.{threading.get_ident()}"
    unfinished.write_text(yaml.safe_dump({"load_from": [{"grpc_server": server}]}))
    unfinished.replace(override)
    return ["--workspace", str(settings.project / _WORKSPACE), "--workspace", str(override)]


def find_location_name(settings: Settings) -> str:
    """Return the name of our code location in the project's workspace file, which keeps its history."""
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


def _choose_port(settings: Settings, home: Home) -> int:
    return choose_port(
        home.run / _PORT_FILE,
        settings.dagster_port,
        home.root,
        part=WEBSERVER,
        setting=variable("dagster_port"),
    )


def code_server_socket(home: Home) -> Path:
    """Return the code server's Unix socket, which is in the home if the path is short enough."""
    path = home.run / "code-server.sock"
    if len(os.fsencode(path)) > _SOCKET_PATH_LIMIT:
        digest = hashlib.sha256(os.fsencode(home.root)).hexdigest()[:12]
        folder = Path(tempfile.gettempdir()) / f"millpond-{os.geteuid()}-{digest}-code"
        folder.mkdir(mode=0o700, exist_ok=True)
        if folder.is_symlink() or folder.stat().st_uid != os.geteuid():
            raise ConfigError(
                f"{folder} belongs to another user, so the code server's socket cannot be there",
                next_step="remove it, or set MILLPOND_HOME to a shorter path",
            )
        path = folder / path.name
    return path


def accepts(path: Path) -> bool:
    """Return whether somebody listens on a Unix socket."""
    try:
        _connect(path)
    except OSError:
        return False
    return True


def _connect(path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(_ANSWER_SECONDS)
        probe.connect(str(path))


ALERTS = "alerts"
_ALERTS_MODULE = "millpond.alerts"
"""Not imported, as alerts depend on the runtime, not the other way round."""
_ALERTS_SILENCE_SECONDS = 60.0


def beat_file(home: Home) -> Path:
    """Return the file that the dispatcher writes after each successful round."""
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

    return Part(ALERTS, partial(find_process, home, ALERTS), start, partial(_check_alerts, home))


def _check_alerts(home: Home, process: Process) -> Health:
    beat = beat_file(home)
    last = beat.stat().st_mtime if beat.exists() else 0.0
    if last < process.started:
        return Health(STARTING, "no heartbeat yet")
    if last < time.time() - _ALERTS_SILENCE_SECONDS:
        return Health(UNHEALTHY, f"last heartbeat {time.time() - last:.0f} s ago")
    wrong = beat.read_text()
    return Health(UNHEALTHY, wrong, restartable=False) if wrong else Health(UP)
