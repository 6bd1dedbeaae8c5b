"""How long a person waits for a run of the pages, and a sensor for its run, beside Dagster's own way.

    python bench/launch.py [--rounds 7] [--at-once 4] [--quick]

Two homes of their own, removed at the end, run what `millpond init` writes against the demo source. In one,
`millpond up` runs as shipped. In the other each run is a new process (MILLPOND_WARM_RUNS=false), and in the
place of our daemon is Dagster's own, with the queue that it has without configuration (5 s). A round launches
yesterday of one asset, then of every asset, in both, as a click on "Materialize" does, and waits until its
status is SUCCESS; then a sensor asks for the asset, and `--at-once` days of every asset are launched, a run
each, which take turns at the pools. "Without the queue" is what Dagster's launcher took less the time that
the run was queued.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from pairs import OURS, Case, report

THEIRS, UNQUEUED = "Dagster's launcher and queue", "Dagster's launcher, without the queue"
ASSET = "dlt_glucose_entries"
LIMITS = {"one asset": 3.0, "every asset": 6.0}
_YESTERDAY = dt.datetime.now(dt.UTC).date() - dt.timedelta(days=1)
_SENSOR = f"""

ON = dg.DefaultSensorStatus.RUNNING


@dg.sensor(target=[dg.AssetKey("{ASSET}")], minimum_interval_seconds=1, default_status=ON)
def bench_sensor():
    import os, pathlib
    asked = pathlib.Path(os.environ["MILLPOND_HOME"], "bench-asks")
    if asked.exists():
        asked.unlink()
        yield dg.RunRequest(asset_selection=[dg.AssetKey("{ASSET}")], partition_key="{_YESTERDAY}")


defs = dg.Definitions.merge(defs, dg.Definitions(sensors=[bench_sensor]))
"""
_SELECT = """import json
from millpond.definitions import defs
from millpond.runs.selection import resolve_selection as select
print(json.dumps([list(key.path) for key in select("*", defs.resolve_asset_graph())]))"""
_MARK = """from millpond.runtime.demo_source import mark_demo_home
from millpond.settings import settings
mark_demo_home(settings())"""
_LAUNCH = """mutation ($params: ExecutionParams!) { launchRun(executionParams: $params) {
  __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }"""
_STATUS = "query ($run: ID!) { runOrError(runId: $run) { ... on Run { status } } }"
_EVENTS = """query ($run: ID!) { runOrError(runId: $run) { ... on Run {
  eventConnection(limit: 500) { events { ... on MessageEvent { timestamp message eventType } } } } } }"""
_BUSY = "{ runsOrError(filter: {statuses: [QUEUED, STARTING, STARTED]}) { ... on Runs { results { id } } } }"
_TICKS = """{ sensorOrError(sensorSelector: {repositoryLocationName: "pond", repositoryName: "__repository__",
  sensorName: "bench_sensor"}) { ... on Sensor { sensorState {
  ticks(limit: 1, statuses: [SUCCESS]) { timestamp runIds } } } } }"""
_LOCATION = {"repositoryLocationName": "pond", "repositoryName": "__repository__", "jobName": "millpond"}
_ENDED = {"SUCCESS", "FAILURE", "CANCELED"}
_STAGES = {"RUN_ENQUEUED": "queued", "RUN_STARTING": "dequeued", "RUN_START": "begun", "STEP_START": "step"}


@dataclass
class Pond:
    """A home in which `millpond up` runs, and the seconds of each stage of its runs by case."""

    home: Path
    project: Path
    warm: bool
    taken: dict[str, list[dict[str, float]]] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        own = {
            "MILLPOND_HOME": str(self.home),
            "MILLPOND_PROJECT": str(self.project),
            "MILLPOND_WARM_RUNS": str(self.warm).lower(),
            "MILLPOND_DASHBOARD": "false",
            "MILLPOND_DAGSTER_PORT": "0",
            "MILLPOND_CATALOG_PORT": "0",
        }
        return {**os.environ, **own}

    def run(self, *arguments: str) -> str:
        """Run a command of Millpond and return what it prints."""
        return self._run("-m", "millpond.cli.main", *arguments)

    def run_python(self, code: str) -> str:
        """Run code with the settings of this home and return what it prints."""
        return self._run("-c", code)

    def _run(self, *arguments: str) -> str:
        command = [sys.executable, *arguments]
        done = subprocess.run(
            command, env=self.environment, cwd=self.project, capture_output=True, text=True, check=False
        )
        if done.returncode:
            sys.exit(f"{' '.join(arguments)}\n{done.stdout}{done.stderr}")
        return done.stdout

    def ask(self, query: str, **variables: Any) -> Any:
        """Return the data of a GraphQL query to the pages."""
        port = (self.home / "run" / "webserver.port").read_text().strip()
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/graphql",
            json.dumps({"query": query, "variables": variables}).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)["data"]

    def await_rest(self) -> None:
        """Return once no run is queued or in progress: what automation started has ended."""
        while self.ask(_BUSY)["runsOrError"]["results"]:
            time.sleep(0.2)

    def measure_cpu(self) -> float:
        """Return the seconds of processor time of all Python processes so far, and of their children."""
        spent = 0.0
        for process in psutil.process_iter():
            try:
                if process.environ().get("SUPERVISED_BY_MILLPOND") == str(self.home):
                    spent += sum(process.cpu_times()[:4])
            except psutil.Error:
                continue
        return spent

    def time_click(self, case: str, assets: list[list[str]]) -> None:
        """Launch yesterday of `assets`, and keep the seconds from the request to each stage of the run."""
        self.await_rest()
        before, began = self.measure_cpu(), time.time()
        run = self._launch(assets, _YESTERDAY)
        stages = {"answered": time.time() - began, **self._follow(run, began)}
        time.sleep(1)  # until the code server has seen that the process ended
        self.taken.setdefault(case, []).append({**stages, "cpu": self.measure_cpu() - before})

    def time_several(self, case: str, assets: list[list[str]], days: int) -> None:
        """Launch the same days of `assets` in each turn, a run each, and keep the seconds until all ended."""
        self.await_rest()
        before, began = self.measure_cpu(), time.time()
        runs = [self._launch(assets, _YESTERDAY - dt.timedelta(days=1 + n)) for n in range(days)]
        ended = max(self._follow(run, began)["success"] for run in runs)
        time.sleep(1)
        self.taken.setdefault(case, []).append({"success": ended, "cpu": self.measure_cpu() - before})

    def _launch(self, assets: list[list[str]], day: dt.date) -> str:
        params = {
            "selector": {**_LOCATION, "assetSelection": [{"path": path} for path in assets]},
            "runConfigData": {},
            "mode": "default",
            "executionMetadata": {"tags": [{"key": "dagster/partition", "value": str(day)}]},
        }
        launched = self.ask(_LAUNCH, params=params)["launchRun"]
        assert "run" in launched, launched
        return str(launched["run"]["runId"])

    def time_tick(self) -> None:
        """Have the sensor ask for a run, and keep the seconds from its tick to each stage of the run."""
        self.await_rest()
        before = self._find_tick()
        (self.home / "bench-asks").touch()
        while (tick := self._find_tick()) == before:
            time.sleep(0.2)
        stages = self._follow(tick["runIds"][0], float(tick["timestamp"]))
        self.taken.setdefault("sensor", []).append(stages)

    def _find_tick(self) -> dict[str, Any]:
        """Return the sensor's latest tick that asked for a run."""
        ticks = self.ask(_TICKS)["sensorOrError"]["sensorState"]["ticks"]
        return next((tick for tick in ticks if tick["runIds"]), {})

    def _follow(self, run: str, began: float) -> dict[str, float]:
        while (status := self.ask(_STATUS, run=run)["runOrError"]["status"]) not in _ENDED:
            time.sleep(0.05)
        stages = {"success": time.time() - began}
        assert status == "SUCCESS", f"run {run}: {status}"
        for event in self.ask(_EVENTS, run=run)["runOrError"]["eventConnection"]["events"]:
            stage = "first event" if event["message"].startswith("Started process") else None
            if stage := stage or _STAGES.get(event["eventType"]):
                stages.setdefault(stage, float(event["timestamp"]) / 1000 - began)
        return stages


@contextmanager
def open_pond(folder: Path, *, warm: bool) -> Iterator[Pond]:
    """Run `millpond up` in a new home and project; without `warm`, with Dagster's own daemon and queue."""
    pond = Pond(folder / "home", folder / "pond", warm)
    init = [sys.executable, "-m", "millpond.cli.main", "init", str(pond.project)]
    subprocess.run(init, stdout=subprocess.DEVNULL, check=True)
    with (pond.project / "pond" / "definitions.py").open("a") as definitions:
        definitions.write(_SENSOR)
    pond.home.mkdir(mode=0o711)
    pond.run_python(_MARK)
    with ExitStack() as stack:
        stack.callback(pond.run, "down")
        pond.run("up", "--detach")
        if not warm:
            stack.enter_context(_run_their_daemon(pond))
        yield pond


@contextmanager
def _run_their_daemon(pond: Pond) -> Iterator[None]:
    """Hold our daemon still, and run Dagster's with the queue that it has without configuration."""
    parts = json.loads(pond.run("status", "--json"))["parts"]
    ours = psutil.Process(next(part["pid"] for part in parts if part["name"] == "daemon"))
    folder = pond.home / "their-dagster"
    folder.mkdir()
    lines = (pond.project / "dagster.yaml").read_text().splitlines(keepends=True)
    kept = [line for line in lines if "dequeue_interval_seconds" not in line]
    (folder / "dagster.yaml").write_text("".join(kept))
    workspace = ["--workspace", str(pond.home / "run" / "workspace.yaml")]
    with (folder / "log").open("w") as log:
        ours.send_signal(signal.SIGSTOP)
        theirs = subprocess.Popen(
            [sys.executable, "-m", "dagster._daemon", "run", *workspace],
            env={**pond.environment, "DAGSTER_HOME": str(folder), "SUPERVISED_BY_MILLPOND": str(pond.home)},
            cwd=pond.project,
            stdout=log,
            stderr=log,
        )
        try:
            yield
        finally:
            theirs.terminate()
            theirs.wait()
            ours.send_signal(signal.SIGCONT)


def main() -> None:
    """Measure both."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--at-once", type=int, default=4, help="days that are launched at once")
    parser.add_argument("--quick", action="store_true", help="one round, and nothing is kept")
    asked = parser.parse_args()
    rounds = 1 if asked.quick else asked.rounds
    folder = Path(tempfile.mkdtemp(prefix="millpond-bench-"))
    folder.chmod(0o711)  # as root, the server's user passes through
    try:
        with ExitStack() as stack:
            ponds = [
                stack.enter_context(open_pond(_make(folder / name), warm=name == "ours"))
                for name in ("ours", "theirs")
            ]
            every = json.loads(ponds[0].run_python(_SELECT))
            for turn in range(rounds + 1):
                for pond in ponds if turn % 2 else reversed(ponds):
                    pond.time_click("one asset", [[ASSET]])
                    pond.time_click("every asset", every)
                    pond.time_tick()
                    if asked.at_once:
                        pond.time_several(
                            f"{asked.at_once} days of every asset at once", every, asked.at_once
                        )
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    report("launch", "From a click in the pages", sum_up(*ponds), keep=not asked.quick)


def _make(folder: Path) -> Path:
    folder.mkdir(mode=0o711)
    return folder


def sum_up(ours: Pond, theirs: Pond) -> list[Case]:
    """Return what was measured, without the first turn."""
    found = []
    for case in ours.taken:
        mine, other = ours.taken[case][1:], theirs.taken[case][1:]
        end = "first event" if case == "sensor" else "success"
        taken = {
            OURS: [stages[end] for stages in mine],
            THEIRS: [stages[end] for stages in other],
        }
        if "queued" in other[0]:
            taken[UNQUEUED] = [s[end] - (s["dequeued"] - s["queued"]) for s in other]
        seen = {f"stages, {way}": _describe(stages) for way, stages in ((OURS, mine), (THEIRS, other))}
        title = "a sensor's tick to the first event" if case == "sensor" else f"to success of {case}"
        bars = {THEIRS: 5.0} if case == "one asset" else {}
        found.append(
            Case(title, {way: [round(s, 3) for s in each] for way, each in taken.items()}, bars, seen)
        )
    return found


def _describe(turns: list[dict[str, float]]) -> str:
    """Return the median seconds of each stage, counted from the request or tick."""
    names = sorted(turns[0], key=lambda name: statistics.median(turn[name] for turn in turns))
    medians = {name: statistics.median(turn[name] for turn in turns if name in turn) for name in names}
    return ", ".join(
        f"{name} {seconds:.2f}" + (" s of processor time" if name == "cpu" else "")
        for name, seconds in medians.items()
    )


if __name__ == "__main__":
    main()
