"""A paused home starts nothing: real looks of Dagster's daemons, against the real storage of a home."""

from __future__ import annotations

import datetime as dt
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import every_kind
import pytest
import time_machine
from dagster._core.events import DagsterEvent
from dagster._core.instance.config import ConcurrencyConfig
from dagster._core.remote_origin import InProcessCodeLocationOrigin, RemoteJobOrigin
from dagster._core.storage.tags import SCHEDULE_NAME_TAG, SENSOR_NAME_TAG
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import InProcessWorkspaceLoadTarget
from dagster._daemon.asset_daemon import AssetDaemon
from dagster._daemon.run_coordinator import QueuedRunCoordinatorDaemon
from dagster._daemon.sensor import execute_sensor_iteration
from dagster._scheduler.scheduler import launch_scheduled_runs
from typer.testing import CliRunner

from millpond.automation.overview import is_on, list_instigators
from millpond.automation.switches import count_unfinished_runs, switch
from millpond.cli.main import app
from millpond.instance.home import open_instance, repository_origin
from millpond.runtime.home import Home
from millpond.runtime.supervised_parts import find_location_name
from millpond.settings import settings

pytestmark = [  # what Dagster's daemons say of Dagster
    pytest.mark.filterwarnings("ignore:Property `ScheduleDefinition.environment_vars`"),
    pytest.mark.filterwarnings("ignore:Function `AssetSelection.keys`"),
]
STARTING = {each.name for each in every_kind.STARTING} | {"by_clock", "by_clock_of_assets"}
ADDED = {"added", "added_clock"}
BEGIN = dt.datetime(2026, 3, 2, 10, 0, 5, tzinfo=dt.UTC)


class Daemons:
    """What `millpond up` starts, begun anew for each look; the clock is set."""

    def __init__(self) -> None:
        self.now = BEGIN

    def look(self, code: str = "defs") -> set[str]:
        """Return who starts runs after an asset was made, a run succeeded and another failed."""
        with open_instance() as recorded:
            before = {run.run_id for run in recorded.get_runs()}
            self._turn(recorded, code)
            with time_machine.travel(self.now):
                recorded.report_runless_asset_event(dg.AssetMaterialization("watched"))
                every_kind.chore.execute_in_process(instance=recorded)
                recorded.report_run_failed(recorded.create_run_for_job(every_kind.chore))
            self._turn(recorded, code)
            runs = [run for run in recorded.get_runs() if run.run_id not in before]
        return {
            by for run in runs if (by := run.tags.get(SENSOR_NAME_TAG) or run.tags.get(SCHEDULE_NAME_TAG))
        }

    def switched(self, name: str | None, *, on: bool, code: str = "defs") -> set[str]:
        """Switch as `millpond automation pause` and `resume` do; return what that changed."""
        with time_machine.travel(self.now), open_instance() as recorded:
            return set(switch(getattr(every_kind, code), recorded, settings(), name, on=on))

    def _turn(self, recorded: dg.DagsterInstance, code: str) -> None:
        self.now += dt.timedelta(minutes=2)
        logger = logging.getLogger("daemons")
        with time_machine.travel(self.now), loaded(recorded, code) as workspace:
            list(execute_sensor_iteration(workspace, logger, None, None))
            list(launch_scheduled_runs(workspace, logger, dt.datetime.now(dt.UTC), {}))
            AssetDaemon({}, 30)._run_iteration_impl(workspace, None, {}, {})


def starter(run: dg.DagsterRun) -> str | None:
    """Return what started a run; Dagster does not tag those of conditions that its daemon evaluates."""
    if dg.AssetKey("by_condition_in_daemon") in (run.asset_selection or ()):
        return "condition_in_daemon"
    return run.tags.get(SENSOR_NAME_TAG) or run.tags.get(SCHEDULE_NAME_TAG)


@contextmanager
def loaded(recorded: dg.DagsterInstance, code: str) -> Iterator[WorkspaceProcessContext]:
    target = LoadableTargetOrigin(python_file=str(Path(every_kind.__file__)), attribute=code)
    origin = InProcessCodeLocationOrigin(target, location_name=find_location_name(settings()))
    with WorkspaceProcessContext(recorded, InProcessWorkspaceLoadTarget(origin)) as workspace:
        yield workspace


@pytest.fixture
def daemons(home: Home) -> Daemons:
    return Daemons()


def running(code: str = "defs") -> set[str]:
    with open_instance() as recorded:
        stored = {state.name: state for state in recorded.all_instigator_state()}
    found = list_instigators(getattr(every_kind, code))
    return {each.name for each in found if is_on(each, stored.get(each.name))}


def ticks_of(name: str) -> int:
    with open_instance() as recorded:
        (state,) = [each for each in recorded.all_instigator_state() if each.name == name]
        return len(recorded.get_ticks(state.instigator_origin_id, state.selector_id))


def test_a_paused_home_starts_nothing_and_resuming_restores_what_was_on(daemons: Daemons) -> None:
    assert daemons.look() == STARTING
    daemons.switched("by_job", on=False)
    before, watched = running(), ticks_of("only_watches")
    assert daemons.switched(None, on=False) == STARTING - {"by_job"}
    assert daemons.look() == set()
    assert ticks_of("only_watches") > watched
    assert daemons.look("later") == set(), "a schedule or sensor that is new starts something"
    assert daemons.look("later") == set()
    assert running("later") == {"only_watches", "only_tells"}
    assert daemons.switched(None, on=True, code="later") == STARTING - {"by_job"} | ADDED
    assert running("later") == before | ADDED
    assert daemons.look("later") == STARTING - {"by_job"} | ADDED
    assert daemons.switched(None, on=False) == STARTING - {"by_job"} | ADDED, (
        "what was removed on disk is still loaded"
    )
    assert daemons.look("later") == set()


@pytest.mark.slow
def test_a_home_that_never_ran_can_be_paused_and_one_of_it_resumed(daemons: Daemons) -> None:
    daemons.switched(None, on=False)
    assert daemons.look("later") == set()
    assert daemons.switched("by_assets", on=True, code="later") == {"by_assets"}
    assert daemons.look("later") == {"by_assets"}
    daemons.switched(None, on=False, code="later")
    assert daemons.look("later") == set()
    daemons.switched("by_clock", on=False, code="later")
    assert daemons.switched(None, on=True, code="later") == (STARTING | ADDED) - {"by_clock"}
    assert "by_clock" not in running("later")


def leaving(recorded: dg.DagsterInstance) -> set[str]:
    """Return the runs that Dagster's daemon would now take from the queue."""
    config = recorded.get_concurrency_config()
    return {run.run_id for run in QueuedRunCoordinatorDaemon(1)._get_runs_to_dequeue(recorded, config, None)}


def launch(recorded: dg.DagsterInstance, run: dg.DagsterRun, config: ConcurrencyConfig) -> None:
    """Launch a run as Dagster's daemon does, which had chosen it by `config`."""
    with loaded(recorded, "defs") as workspace:
        daemon, request = QueuedRunCoordinatorDaemon(1), workspace.create_request_context()
        assert daemon._dequeue_run(recorded, request, run, config, None)


def queue(recorded: dg.DagsterInstance, **tags: str) -> str:
    """Put a run into the queue; return its id."""
    named = {f"dagster/{name}": value for name, value in tags.items()}
    origin = RemoteJobOrigin(repository_origin(settings()), "chore")
    code = dg.reconstructable(every_kind.chore).get_python_origin()
    run = recorded.create_run_for_job(
        every_kind.chore, tags=named, remote_job_origin=origin, job_code_origin=code
    )
    recorded.report_dagster_event(DagsterEvent.job_enqueue(run), run.run_id)
    return run.run_id


def test_a_pause_keeps_automatic_runs_in_the_queue_until_resume_and_lets_those_of_persons_go(
    daemons: Daemons,
) -> None:
    with open_instance() as recorded:
        held = {
            queue(recorded, sensor_name="by_job"),
            queue(recorded, schedule_name="by_clock", tick="7"),
            queue(recorded, auto_materialize="true", from_automation_condition="true"),
            queue(recorded, backfill="b", from_automation_condition="true"),
            queue(recorded, sensor_name="by_job", parent_run_id="x", root_run_id="x", retry_number="1"),
        }
        free = {
            queue(recorded),
            queue(recorded, backfill="b"),
            queue(recorded, sensor_name="by_job", parent_run_id="x", root_run_id="x"),
        }
        with pytest.MonkeyPatch.context() as more:
            more.setitem(recorded._settings["concurrency"]["runs"], "max_concurrent_runs", 99)
            assert leaving(recorded) == held | free
            chosen, config = recorded.get_runs(dg.RunsFilter([min(held)])), recorded.get_concurrency_config()
            daemons.switched(None, on=False)
            assert leaving(recorded) == free
            launch(recorded, chosen[0], config)
            assert leaving(recorded) == free, "one that the daemon had chosen before goes back into the queue"
            assert vars(count_unfinished_runs(recorded)) == {"working": 0, "queued": 3, "held": 5}
            late = queue(recorded, sensor_name="by_job")
            daemons.switched("by_job", on=True)
            named = queue(recorded, sensor_name="by_job")
            assert leaving(recorded) == free | {named}, "of what was resumed by name"
            daemons.switched(None, on=True)
            assert leaving(recorded) == held | free | {late, named}


def test_the_pause_is_on_the_list_and_says_which_runs_go_on(home: Home) -> None:
    with open_instance() as recorded:
        recorded.create_run_for_job(every_kind.chore)
        queue(recorded, sensor_name="keep_up")
    paused = CliRunner().invoke(app, ["automation", "pause"], catch_exceptions=False).output
    assert "new_data_climate_entries" in paused
    assert "alerts" not in paused
    assert "runs in progress continue: 0 working, 1 queued" in paused
    assert "automatic runs that stay in the queue until resume: 1" in paused
    for command in (["automation", "list"], ["status"]):
        said = CliRunner().invoke(app, command, catch_exceptions=False).output
        assert "automation is paused since 2" in said
        assert "`millpond automation resume` resumes it" in said
    told = json.loads(CliRunner().invoke(app, ["status", "--json"], catch_exceptions=False).output)
    assert told["automation_paused_since"]
    CliRunner().invoke(app, ["automation", "resume"], catch_exceptions=False)
    assert "is paused" not in CliRunner().invoke(app, ["status"], catch_exceptions=False).output
