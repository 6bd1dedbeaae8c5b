"""Plans over a real home: exactly what a change concerns is to do, and doing it leaves nothing to do."""

from __future__ import annotations

import datetime as dt
import shutil
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from fake_source import DAY, Answer, Entries, Events, FakeSource, event, fake_source, reading
from millpond.backfill.plan import Plan, State
from millpond.backfill.planner import make_plan
from millpond.ingestion.assets import build_assets as ingestion_assets
from millpond.ingestion.reading import load_sources
from millpond.instance.promotion import promote_observations
from millpond.lake import refs
from millpond.partitions import Window
from millpond.publish.assets import build_assets as publish_assets
from millpond.runs.run import JOB, materialize
from millpond.runtime.home import Home
from millpond.settings import Settings, settings
from millpond.transform.assets import build_assets as transform_assets
from millpond.transform.manifest import load_project

DAYS = [DAY + dt.timedelta(days=n) for n in range(4)]
WINDOW = Window.of_days(DAYS[0], DAYS[-1])
CLIMATE = "dlt_climate_entries*"
OF_DAYS = [
    "dlt_climate_entries",
    "stg_climate_entries",
    "fct_climate_readings",
    "fct_daily_climate_metrics",
    "mrt_climate_readings",
]
PUBLISHED = {"mrt_climate_overview"}
WHOLE = {*PUBLISHED, "device_versions", "dim_device"}
MARTS = {f"marts/{name}" for name in PUBLISHED}


@pytest.fixture
def server(home: Home, configure: Callable[..., Settings]) -> Iterator[FakeSource]:
    with fake_source() as source:
        configure(greenhouse_url=source.url, market_url=source.url, market_user="corner")
        source.serve = Entries(rows())
        yield source


def rows(**changes: Any) -> list[dict[str, Any]]:
    """Return six readings of each day; `changes` befall the last of the second day."""
    found = [reading(number * 40, day) for day in DAYS for number in range(6)]
    found[11] |= changes
    return found


def definitions() -> dg.Definitions:
    """Return the assets as the settings of the test make them."""
    configured = settings()
    assets = [*ingestion_assets(load_sources(configured)), *transform_assets()]
    return dg.Definitions(
        assets=[*assets, *publish_assets(load_project(configured).document())],
        jobs=[dg.define_asset_job(JOB, selection="*")],
        executor=dg.in_process_executor,
    )


class Platform:
    """The assets over a home, and what is done with them."""

    def __init__(self, recorded: dg.DagsterInstance) -> None:
        self.recorded, self.definitions = recorded, definitions()

    def plan(self, selection: str = CLIMATE, days: list[dt.date] | None = DAYS, **more: Any) -> Plan:
        more = {"ref": "main", **more}
        return make_plan(selection, days, instance=self.recorded, definitions=self.definitions, **more)

    def run(self, selection: str, window: Window = WINDOW, ref: str = "main") -> bool:
        outcome = materialize(
            selection, window, instance=self.recorded, definitions=self.definitions, ref=ref
        )
        return outcome.success

    def do(self, plan: Plan) -> None:
        for chunk in plan.chunks:
            window = chunk.window or WINDOW
            assert self.run(
                ",".join(f'key:"{asset}"' for asset in chunk.assets + chunk.whole), window, plan.ref
            )


@pytest.fixture
def loaded(server: FakeSource, recorded: dg.DagsterInstance) -> Platform:
    platform = Platform(recorded)
    assert platform.run(CLIMATE)
    return platform


def due(plan: Plan) -> dict[str, set[dt.date | None]]:
    found: defaultdict[str, set[dt.date | None]] = defaultdict(set)
    for item in plan.todo():
        found[item.asset].add(item.partition)
    return dict(found)


def states(plan: Plan) -> set[State]:
    return {item.state for item in plan.items}


def test_an_empty_home_has_everything_to_do_and_once_done_nothing_but_what_dagster_is_told_to_forget(
    server: FakeSource, recorded: dg.DagsterInstance
) -> None:
    platform = Platform(recorded)
    plan = platform.plan()
    assert states(plan) == {State.MISSING}
    assert [(len(chunk.assets), chunk.window, len(chunk.whole)) for chunk in plan.chunks] == [(5, WINDOW, 4)]
    apart = platform.plan(side_by_side=True)
    assert [(len(chunk.assets), chunk.window) for chunk in apart.chunks] == [(5, WINDOW), (4, None)]
    assert plan.estimate is None
    assert platform.plan("dlt_climate_entries", downstream=True).items == plan.items
    platform.do(plan)
    after = platform.plan(force=True)
    assert states(after) == {State.FRESH}
    assert after.estimate is not None
    assert after.estimate.seconds > 0
    assert len(due(after)) == 9

    assert platform.run("dlt_climate_entries")
    again = platform.plan()
    assert states(again) == {State.FRESH}, "what was loaded again is the same"
    assert again.chunks == ()

    recorded.wipe_assets([dg.AssetKey("fct_climate_readings")])
    missing = {item.asset for item in platform.plan().items if item.state is State.MISSING}
    assert missing == {"fct_climate_readings"}


@pytest.mark.slow
def test_a_changed_or_failed_source_day_concerns_what_reads_it_until_all_is_made(
    loaded: Platform, server: FakeSource
) -> None:
    server.serve = Entries(rows(lux=222))
    assert loaded.run("dlt_climate_entries", Window.of_day(DAYS[1]))
    plan = loaded.plan(days=None, stale_only=True)
    looked_back = {DAYS[1], DAYS[2]}
    assert due(plan) == {
        "stg_climate_entries": {DAYS[1]},
        **dict.fromkeys(OF_DAYS[2:], looked_back),
        **{key: {None} for key in WHOLE | MARTS},
    }
    reasons = {(item.asset, item.partition): item.reason for item in plan.todo()}
    assert reasons["stg_climate_entries", DAYS[1]] == f"dlt_climate_entries of {DAYS[1]} changed"
    loaded.do(plan)
    assert states(loaded.plan()) == {State.FRESH}

    server.serve = Entries(rows(lux=223))
    assert loaded.run(CLIMATE, Window.of_day(DAYS[1]))
    assert states(loaded.plan()) == {State.FRESH}, "a day that is built alone builds the day after too"

    server.serve = lambda _: Answer(b"no", status=403)
    assert not loaded.run("dlt_climate_entries", Window.of_day(DAYS[0]))
    items = {(item.asset, item.partition): item for item in loaded.plan().items}
    failed = items["dlt_climate_entries", DAYS[0]]
    assert (failed.state, failed.reason) == (State.FAILED, "the last attempt failed: SourceRefused")
    server.serve = Entries(rows(lux=223))
    loaded.do(loaded.plan("dlt_climate_entries"))
    assert states(loaded.plan()) == {State.FRESH}


@pytest.mark.slow
def test_a_branch_goes_its_own_way_and_new_sql_of_a_model_concerns_its_days_and_what_reads_it(
    loaded: Platform, server: FakeSource, configure: Callable[..., Settings], tmp_path: Path
) -> None:
    refs.create("dev")
    since = refs.get_branch("dev").created_at
    assert states(loaded.plan(ref="dev")) == {State.FRESH}
    server.serve = Entries(rows(lux=222))
    assert loaded.run("dlt_climate_entries", Window.of_day(DAYS[1]), ref="dev")
    assert states(loaded.plan()) == {State.FRESH}, "main knows nothing of it"
    plan = loaded.plan(ref="dev")
    assert due(plan)["fct_climate_readings"] == {DAYS[1], DAYS[2]}
    loaded.do(plan)
    assert states(loaded.plan(ref="dev")) == {State.FRESH}
    refs.merge("dev")
    promote_observations(loaded.recorded, "dev", "main", since=since, but=("marts",))
    assert set(due(loaded.plan())) == MARTS, "a merge publishes nothing"
    loaded.do(loaded.plan())

    shutil.copytree(settings().project / "dbt", tmp_path / "dbt", ignore=shutil.ignore_patterns("target"))
    shutil.copytree(settings().project / "sources", tmp_path / "sources")
    model = tmp_path / "dbt" / "models" / "gold" / "climate" / "fct_daily_climate_metrics"
    yml, sql = model.with_suffix(".yml"), model.with_suffix(".sql")
    yml.write_text(yml.read_text() + "\n# a remark\n")
    configure(project=tmp_path)
    loaded.definitions = definitions()
    assert states(loaded.plan()) == {State.FRESH}, "a remark changes no row"
    text = sql.read_text().replace("'count(*)'", "'count(lux)'")
    assert text != sql.read_text()
    sql.write_text(text)
    loaded.definitions = definitions()
    plan = loaded.plan()
    assert due(plan) == {
        "fct_daily_climate_metrics": set(DAYS),
        "mrt_climate_overview": {None},
        "marts/mrt_climate_overview": {None},
    }
    assert {i.reason for i in plan.todo() if i.partition} == {"its code changed"}
    loaded.do(plan)
    assert states(loaded.plan()) == {State.FRESH}


@pytest.mark.usefixtures("clock")
def test_the_present_day_is_stale_because_it_was_loaded_before_its_end(
    server: FakeSource, recorded: dg.DagsterInstance
) -> None:
    today = dt.datetime.now(dt.UTC).date()
    server.serve = Entries([reading(0, today)])
    platform = Platform(recorded)
    assert platform.run("dlt_climate_entries", Window.of_day(today))
    (item,) = platform.plan("dlt_climate_entries", [today]).items
    assert (item.state, item.reason, item.todo) == (State.STALE, "loaded before the day ended", True)


@pytest.mark.usefixtures("clock")
def test_days_that_market_lists_no_more_are_left_out_and_those_loaded_in_time_are_kept(
    server: FakeSource, recorded: dg.DagsterInstance
) -> None:
    platform = Platform(recorded)
    now = dt.datetime.now(dt.UTC)
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    ago = {n: (midnight - dt.timedelta(days=n)).date() for n in (1, 2, 3, 4, 5, 100)}
    listed = [
        event(1000 * n + m, midnight - dt.timedelta(days=n) + dt.timedelta(minutes=m))
        for n in range(1, 8)
        for m in range(3)
    ]
    server.serve = Events(listed, server.url)
    assert platform.run("dlt_market_events", Window.of_day(ago[4]))
    more = [event(100_000 + m, midnight - dt.timedelta(days=2, minutes=-m - 60)) for m in range(400)]
    server.serve = Events(listed + more, server.url)
    assert platform.run("dlt_market_events", Window.of_days(ago[4], ago[2]))
    days = sorted(ago.values())
    plan = platform.plan("dlt_market_events*", days)
    raw = {item.partition: item.state for item in plan.items if item.asset == "dlt_market_events"}
    assert raw == {
        ago[100]: State.UNREACHABLE,
        ago[5]: State.MISSING,
        ago[4]: State.FRESH,
        ago[3]: State.UNREACHABLE,
        ago[2]: State.UNREACHABLE,
        ago[1]: State.MISSING,
    }
    assert due(plan)["fct_daily_market_metrics"] == {ago[5], ago[4], ago[1]}
    assert ("mrt_market_overview", None) in {(item.asset, item.partition) for item in plan.todo()}
