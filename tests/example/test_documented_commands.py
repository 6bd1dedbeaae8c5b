"""What README, docs/ and each `--help` show is typed here as it stands there, in one demo home."""

from __future__ import annotations

import datetime as dt
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import dagster as dg
import pytest

from alerting import alert, put
from documented import PAGES, ROOT, Documented, in_blocks, in_help
from millpond.alerts.outbox import outbox
from millpond.backfill import ledger
from millpond.backfill.planner import make_plan
from millpond.errors import SourceUnreachable
from millpond.ingestion import breaker
from millpond.instance.home import open_instance
from millpond.lake import refs
from millpond.lake.ref_log import list_commits
from millpond.partitions import Window, latest_complete_day
from millpond.runtime.home import Home
from millpond.settings import Settings, process_environment, settings
from receivers import web

Run = Callable[..., tuple[int, str, str]]

ELSEWHERE = {
    "make ": "`tests/docker`, `.ci/run`; that each target exists: below",
    "docker ": "docker/test_stack.py",
    "export DOCKER_GROUP": "docker/test_stack.py",
    "source .venv": "a shell's own; `make setup` makes it",
    "cat >> .env": "unit/settings/test_settings.py",
    "eval ": "test_the_commands_of_dagster_work_as_the_tour_shows_them",
    "dagster ": "the same, and integration/runs/test_dagster_commands.py",
    "cd ": "a shell's own",
    "export DBT_PROFILES_DIR": "integration/transform/test_dbt_by_hand.py",
    "python3 -m venv": "a shell's own",
    "pip install": "integration/project/test_wheel.py",
    "../.venv/bin/dbt": "integration/transform/test_dbt_by_hand.py",
    "millpond init": "unit/test_project_template.py, integration/project/test_new_projects.py",
    "millpond materialize dlt_orders": "integration/project/test_new_projects.py",
    'millpond materialize "dlt_orders*"': "the same",
    'millpond sql "select * from raw.orders"': "the same",
    'millpond sql "select * from marts.daily_sales"': "the same",
    "millpond materialize my_report": "the same",
    "mkdir -p drop": "integration/files/test_documented_files.py",
    "printf": "the same",
    "millpond materialize dlt_sales": "the same",
    "millpond sources new": "integration/cli/test_new_sources.py, integration/project/test_source_to_mart.py",
    "millpond sources check erp": "integration/project/test_source_to_mart.py",
    'millpond materialize "dlt_invoices*"': "the same",
    'millpond sql "select * from marts.invoices': "the same",
    "millpond docs": "integration/transform/test_docs.py",
    "millpond forecast": "forecast/test_documented_forecast.py",
    'millpond materialize "fct_glucose_forecast*"': "the same",
    'millpond backfill "fct_glucose_forecast*"': "the same",
    'millpond sql "select * from marts.mrt_forecast_quality': "the same",
    "millpond mcp": "integration/mcp/test_server.py",
    "millpond dashboard": "browser/test_dashboard_pages.py",
    "millpond up": "integration/runtime/test_up.py",
    "millpond bi up": "browser/test_superset_dashboards.py",
    "millpond bi import": "the same",
    "millpond bi export": "the same",
    "millpond bi down": "the same",
    "millpond backup": "integration/backup/test_backups.py",
    "millpond restore": "the same",
    "millpond undo 3f2a81c0 --": "example/test_main_path.py, integration/cli/test_history_command.py",
    'millpond wipe "dlt_glucose_entries*" --partition 2026-11-01 --y': "integration/cli/test_wipe_command.py",
    "millpond tables rollback": "integration/cli/test_history_command.py",
    "millpond catalog serve": "integration/lake/test_catalog_protocol.py",
    "millpond down": "integration/runtime/test_up.py::test_down_from_elsewhere_stops_all_and_names_it",
    "MILLPOND_PROFILE=scale millpond provision": "scale/test_scale_commands.py",
}
"""What is not run here, by its beginning, and where it is: it needs servers, or would stop those in use."""

REFUSED = {
    "millpond status": (1, "down"),
    "millpond reload": (2, "nothing to reload"),
    "millpond catalog revoke": (2, "there is no token"),
    "millpond sources accept": (2, "held back for"),
    "millpond retire gold.former --undo": (1, "never retired"),
    "millpond retire gold.former": (2, "not on ref main"),
    "MILLPOND_NIGHTSCOUT_URL=https://new.example.org millpond sources moved": (2, "demo"),
}
"""What its help says of a home in which nothing of the kind happened; its own tests have the other case."""

SHOWN, HOST = "1122_4f09ac", "https://cgm.example.org:443"
COMMIT = "3f2a81c0"
AUDIT = "audit_0123456789ab"
DAYS_LOADED = 2


def runnable() -> list[Documented]:
    """Return what is to be run, once each, a command that starts a run not twice."""
    found = [d for d in (*in_blocks(), *in_help()) if not d.command.startswith(tuple(ELSEWHERE))]
    return list({(d.command, "" if "materialize" in d.command else d.where): d for d in found}.values())


class Typed:
    """Types commands, after making that what they name is there."""

    def __init__(self, run: Run) -> None:
        self.run, self.alerts = run, 0
        self.last = latest_complete_day(settings().zone)
        self.first = self.last - dt.timedelta(days=DAYS_LOADED - 1)

    def failure(self, documented: Documented, monkeypatch: pytest.MonkeyPatch) -> str:
        """Return what is wrong with what a command did, "" if nothing."""
        command = self.prepared(documented)
        code, mark = next(
            (e for start, e in REFUSED.items() if documented.command.startswith(start)), (0, "")
        )
        with monkeypatch.context() as variables:
            for name, value in documented.variables.items():
                variables.setenv(name, value)
            settings.cache_clear()
            try:
                ended, out, err = self.run(*command)
            except Exception as error:
                error.add_note(f"{documented}")
                raise
        settings.cache_clear()
        said = out + err
        right = ended == code and mark in said and "Traceback" not in said and bool(out.strip() or code)
        return "" if right else f"{documented}\n  as {shlex.join(command)}\n  exit {ended}: {said[-1500:]}"

    def prepared(self, documented: Documented) -> list[str]:
        """Return the words after `millpond`, with days that are loaded and names that exist."""
        words = [self.of_days(word) for word in documented.words[1:]]
        if "dev" in words:
            there = any(ref.name == "dev" for ref in refs.list_refs())
            if there and words[:2] == ["branch", "create"]:
                refs.drop("dev")
            elif not there and words[:2] != ["branch", "create"]:
                refs.create("dev")
        if AUDIT in words and all(ref.name != AUDIT for ref in refs.list_refs()):
            refs.create(AUDIT, purpose="audit of readings", run_id="run-1")
            refs.keep(AUDIT, "check has_key of readings failed for 1 row")
        if words[0] == "alerts":
            words = [self.an_alert() if word in ("ID", "17") else word for word in words]
        if words[0] == "backfill" and ({SHOWN, "ID"} & {*words} or words[1:] == ["--resume"]):
            backfill = self.an_interrupted_backfill()
            words = [backfill if word in ("ID", SHOWN) else word for word in words]
        words = [list_commits("main", limit=1)[0].id if word == COMMIT else word for word in words]
        if "--at" in words and "T" in words[-1]:
            words[-1] = dt.datetime.now(dt.UTC).isoformat()
        if HOST in words:
            breaker.record_failure(HOST, SourceUnreachable("HTTP 503"), "nightscout", [])
        if words[:2] == ["demo", "--days"]:
            words[2] = str(DAYS_LOADED)
        return words

    def of_days(self, word: str) -> str:
        """Return a word with days that are loaded in place of those it names; a range stays one."""
        days = iter((self.first, self.last))
        found = len(re.findall(r"20\d\d-\d\d-\d\d", word))
        if found == 1 and word.startswith("2026-0"):
            return str(self.first)
        return re.sub(r"20\d\d-\d\d-\d\d", lambda _: str(next(days) if found > 1 else self.last), word)

    def an_alert(self) -> str:
        self.alerts += 1
        put(alert(self.alerts))
        with outbox() as connection:
            row = connection.execute("select max(id) as id from alerts").fetchone()
        assert row
        return str(row["id"])

    def an_interrupted_backfill(self) -> str:
        from millpond.definitions import defs

        days = Window.of_day(self.last).days
        with open_instance() as recorded:
            plan = make_plan(
                "dlt_glucose_entries", days, instance=recorded, definitions=defs, ref="main", force=True
            )
        backfill = ledger.create(plan, {})
        ledger.end(backfill, ledger.BackfillState.INTERRUPTED, 0.0)
        return backfill


@pytest.fixture
def slack(configure: Callable[..., Settings]) -> Iterator[None]:
    with web() as receiver:
        configure(slack_webhook=receiver.url)
        yield


def starts_a_run(documented: Documented) -> bool:
    """Return whether it loads, builds or publishes, which takes seconds."""
    of_a_run = "--ref dev" in documented.command and "marts." in documented.command
    return of_a_run or (
        documented.words[1] in ("materialize", "backfill") and documented.words[2] not in _LOOKS
    )


_LOOKS = ("list", "show", "cancel")


def typed(run: Run, monkeypatch: pytest.MonkeyPatch, wanted: Callable[[Documented], bool]) -> list[str]:
    """Load a demo, then type what is wanted; returns what went wrong."""
    chosen = sorted(
        (d for d in runnable() if d.words[1] == "demo" or wanted(d)), key=lambda d: d.words[1] != "demo"
    )
    home = Typed(run)
    monkeypatch.chdir(settings().project)  # not the checkout: some write files to the current folder
    return [said for documented in chosen if (said := home.failure(documented, monkeypatch))]


@pytest.mark.slow
@pytest.mark.timeout(1_200)
def test_each_command_that_is_shown_does_what_it_is_shown_for(
    home: Home, slack: None, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures = typed(run, monkeypatch, lambda documented: not starts_a_run(documented))
    assert not failures, "\n".join(failures)


@pytest.mark.slow
@pytest.mark.timeout(1_200)
def test_each_run_that_is_shown_can_be_started(
    home: Home, slack: None, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures = typed(run, monkeypatch, starts_a_run)
    assert not failures, "\n".join(failures)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_reference_has_each_metadata_key_that_a_demo_leaves_in_dagster(home: Home, run: Run) -> None:
    code, out, err = run("demo", "--days", str(DAYS_LOADED))
    assert code == 0, out + err
    page = (ROOT / "docs" / "reference" / "metadata.md").read_text()
    with open_instance() as recorded:
        events = [
            event.dagster_event
            for each in recorded.get_runs()
            for event in recorded.all_logs(each.run_id)
            if event.dagster_event
        ]
    made = [e.step_materialization_data.materialization for e in events if e.is_step_materialization]
    checked = [e.event_specific_data for e in events if e.event_type_value == "ASSET_CHECK_EVALUATION"]
    keys = {key for each in made if each.asset_key.path != ["my_report"] for key in each.metadata}
    keys |= {key for each in checked for key in each.metadata}
    assert len(keys) > 30
    assert {key for key in keys if f"`{key}`" not in page} == set()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_92_days_of_everything_are_one_run_as_the_tour_types_it(home: Home, run: Run) -> None:
    """And the backfill of the same days then finds next to nothing to do."""
    shown = [d for d in in_blocks() if d.where.startswith("docs/tour") and "2026-08-01" in d.command]
    materialize, backfill = (d.words[1:] for d in shown)
    assert materialize == ["materialize", "*", "--range", "2026-08-01...2026-10-31"]
    code, out, err = run(*materialize)
    assert code == 0, out + err
    with open_instance() as recorded:
        (one,) = recorded.get_runs()
        days = {
            name: len(recorded.get_materialized_partitions(dg.AssetKey(name)))
            for name in ("dlt_glucose_entries", "fct_glucose_readings")
        }
    query = "select count(distinct reading_date) as n from gold.fct_daily_glucose_metrics"
    modelled = json.loads(run("sql", "--json", query)[1])
    code, out, err = run(*backfill, "--yes")
    assert code == 0, out + err
    with open_instance() as recorded:
        again = {
            asset.path[-1]
            for each in recorded.get_runs()
            if each.run_id != one.run_id
            for asset in each.asset_selection or ()
        }
    assert (days, modelled) == ({"dlt_glucose_entries": 92, "fct_glucose_readings": 92}, [{"n": 92}])
    assert not [name for name in again if "glucose" in name]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_commands_of_dagster_work_as_the_tour_shows_them(home: Home) -> None:
    """Those that list: `dagster asset materialize` has tests of its own."""
    shown = [d.command for d in in_blocks() if d.where.startswith("docs/tour")]
    first = next(n for n, command in enumerate(shown) if command.startswith("eval "))
    done = subprocess.run(
        ["bash", "-euc", "\n".join(shown[first : first + 2])],
        cwd=settings().project,
        env=process_environment(PATH=f"{Path(sys.executable).parent}:/usr/bin:/bin"),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "dlt_glucose_entries" in done.stdout


def test_a_task_that_is_shown_is_one_of_the_makefile() -> None:
    tasks = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    shown = {d.words[1] for d in in_blocks() if d.words[0] == "make"}
    for page in PAGES:
        shown |= set(re.findall(r"`make ([a-z-]+)", page.read_text()))
    assert len(shown) > 5
    assert shown <= tasks


def test_what_is_run_elsewhere_is_still_shown_and_each_test_named_for_it_exists() -> None:
    commands = [d.command for d in (*in_blocks(), *in_help())]
    for start, where in ELSEWHERE.items():
        assert any(command.startswith(start) for command in commands), start
        for file in re.findall(r"[\w/]+\.py", where):
            assert (ROOT / "tests" / file).is_file(), file
    assert [d for d in runnable() if d.words[0] != "millpond"] == []
