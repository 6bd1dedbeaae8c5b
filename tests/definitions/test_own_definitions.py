"""What a project defines in Python stands beside the platform's assets and is treated like them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

import millpond
from millpond.automation.conditions import EXEMPTION
from millpond.automation.sensors import ChainSensor
from millpond.backfill.planner import make_plan
from millpond.errors import ConfigError
from millpond.instance.home import open_instance as home_instance
from millpond.own_definitions import load_own
from millpond.partitions import Window
from millpond.platform import build_definitions
from millpond.resources.run import JOB
from millpond.runs.run import materialize
from millpond.runs.selection import resolve_selection
from millpond.runtime import deployment
from millpond.runtime.home import Home
from millpond.settings import Settings, settings

DAYS = millpond.daily_partitions()
SINGLE = dg.BackfillPolicy.single_run()


@dg.asset(deps=["mrt_climate_overview"], owners=["team:reports"])
def report() -> None: ...


@dg.asset(
    deps=["fct_daily_climate_metrics"], partitions_def=millpond.daily_partitions(), backfill_policy=SINGLE
)
def by_days() -> None: ...


@dg.asset(deps=["fct_daily_climate_metrics"], partitions_def=DAYS)
def day_by_day() -> None: ...


@dg.asset(deps=[day_by_day])
def after_day_by_day() -> None: ...


@dg.asset(
    deps=["fct_daily_climate_metrics"], partitions_def=dg.WeeklyPartitionsDefinition(start_date="2024-01-01")
)
def weekly() -> None: ...


@dg.asset(deps=["mrt_climate_overview"], metadata={EXEMPTION: "none: asked for by hand"})
def by_hand() -> None: ...


@dg.asset(deps=["mrt_climate_overview"], automation_condition=dg.AutomationCondition.on_cron("0 9 * * *"))
def at_nine() -> None: ...


@dg.asset
def alone() -> None: ...


@dg.asset_check(asset="stg_climate_entries")
def own_check() -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=True)


@dg.sensor(job_name="own_job")
def own_sensor() -> None: ...


OWN = [report, by_days, day_by_day, after_day_by_day, weekly, by_hand, at_nine, alone]


@pytest.fixture(scope="module")
def defs() -> dg.Definitions:
    job = dg.define_asset_job("own_job", selection="report")
    return build_definitions(
        dg.Definitions(
            assets=[*OWN, dg.AssetSpec("elsewhere")],
            asset_checks=[own_check],
            jobs=[job],
            schedules=[dg.ScheduleDefinition(name="own_schedule", job=job, cron_schedule="0 7 * * *")],
            sensors=[own_sensor],
            resources={"mine": 7, "trino": 8},
        )
    )


def spec(defs: dg.Definitions, name: str) -> dg.AssetSpec:
    return next(each for each in defs.resolve_all_asset_specs() if each.key == dg.AssetKey(name))


def chained(defs: dg.Definitions) -> set[str]:
    (sensor,) = [each for each in defs.sensors or () if isinstance(each, ChainSensor)]
    return {key.to_user_string() for chain in sensor.chains for key in chain.assets}


def test_everything_of_the_project_is_in_the_code_location_and_loads(defs: dg.Definitions) -> None:
    repository = defs.get_repository_def()
    repository.load_all_definitions()
    graph = defs.resolve_asset_graph()
    assert {each.key for each in OWN} | {dg.AssetKey("elsewhere")} <= graph.get_all_asset_keys()
    assert dg.AssetCheckKey(dg.AssetKey("stg_climate_entries"), "own_check") in graph.asset_check_keys
    assert {"own_job", JOB} <= set(repository.job_names)
    assert repository.has_sensor_def("own_sensor")
    assert repository.has_schedule_def("own_schedule")
    assert (defs.resources or {})["mine"] == 7
    assert (defs.resources or {})["trino"] == 8
    in_job = defs.resolve_job_def(JOB).asset_layer.executable_asset_keys
    assert {each.key for each in OWN} - in_job == {weekly.key}


def test_own_assets_that_read_the_platforms_are_made_with_their_chain_and_promised_fresh(
    defs: dg.Definitions,
) -> None:
    assert {"report", "by_days"} <= chained(defs)
    for name in ("report", "by_days"):
        assert spec(defs, name).automation_condition
        assert spec(defs, name).freshness_policy


def test_what_cannot_be_in_one_run_with_the_chain_follows_by_dagsters_own_rule(defs: dg.Definitions) -> None:
    apart = {"day_by_day", "after_day_by_day", "weekly", "at_nine", "alone", "elsewhere"}
    assert not apart & chained(defs)
    for name in ("day_by_day", "after_day_by_day"):
        assert "any_deps_updated" in str(spec(defs, name).automation_condition)
    assert "partitions" in spec(defs, "weekly").metadata[EXEMPTION]
    assert "cadence" in spec(defs, "alone").metadata[EXEMPTION]


def test_a_person_says_how_an_own_asset_is_automated_or_that_it_is_not(defs: dg.Definitions) -> None:
    assert (
        spec(defs, "at_nine").automation_condition == at_nine.specs_by_key[at_nine.key].automation_condition
    )
    assert spec(defs, "by_hand").automation_condition is None
    assert spec(defs, "by_hand").metadata[EXEMPTION] == "none: asked for by hand"
    assert "by_hand" not in chained(defs)


def test_a_tick_asks_for_what_belongs_to_no_chain_as_dagster_does(defs: dg.Definitions) -> None:
    from millpond.automation.requests import merge_by_chain

    (sensor,) = [each for each in defs.sensors or () if isinstance(each, ChainSensor)]
    asked = [
        dg.RunRequest(asset_selection=[at_nine.key]),
        dg.RunRequest(asset_selection=[day_by_day.key], partition_key="2024-05-01"),
    ]
    assert merge_by_chain(asked, sensor.chains) == asked


def test_commands_select_own_assets_but_those_with_other_partitions(defs: dg.Definitions) -> None:
    graph = defs.resolve_asset_graph()
    every = {key.to_user_string() for key in resolve_selection("*", graph)}
    assert {"report", "by_days", "day_by_day", "alone"} <= every
    assert "weekly" not in every
    with pytest.raises(ConfigError, match="weekly: its partitions are not the days") as refused:
        resolve_selection("weekly", graph)
    assert "dg launch --assets weekly" in refused.value.next_step


def test_a_backfill_makes_own_assets_day_by_day_where_they_say_so(defs: dg.Definitions, home: Home) -> None:
    first = settings().start_date
    days = list(Window.of_days(first, first.replace(day=4)).days)
    with home_instance() as instance:
        for name, runs in (("by_days", 1), ("day_by_day", 4)):
            plan = make_plan(name, days, instance=instance, definitions=defs, ref="main", force=True)
            assert len(plan.chunks) == runs, name
        with pytest.raises(ConfigError, match="one run makes one day of day_by_day") as refused:
            materialize("day_by_day", Window.of_days(days[0], days[-1]), instance=instance, definitions=defs)
        assert (
            "millpond backfill 'day_by_day' --start-date 2024-01-01 --end-date 2024-01-04"
            in refused.value.next_step
        )


@pytest.mark.parametrize("own", [["fct_climate_readings"], ["dlt_climate_entries"], ["twice", "twice"]])
def test_two_assets_of_one_key_are_refused_by_name(own: list[str]) -> None:
    assets: list[dg.AssetsDefinition] = []
    for name in own:

        @dg.asset(name=name)
        def made() -> None: ...

        assets.append(made)
    with pytest.raises(ConfigError, match=f"two assets have the key {own[0]}"):
        build_definitions(dg.Definitions(assets=assets))


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Callable[[dict[str, str]], Settings]]:
    known, path = set(sys.modules), list(sys.path)

    def made(files: dict[str, str]) -> Settings:
        for name, text in {
            "pyproject.toml": "[tool.millpond]\ndefinitions = 'ponds.defs'\n",
            **files,
        }.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text)
        return settings().model_copy(update={"project": tmp_path})

    yield made
    sys.path[:] = path
    for name in set(sys.modules) - known:
        if name.startswith("ponds"):
            del sys.modules[name]


ONE = "import dagster as dg\n@dg.asset\ndef one(): ...\ndefs = dg.Definitions(assets=[one])\n"
LAZY = """import dagster as dg
@dg.definitions
def defs():
    return dg.Definitions(assets=[dg.AssetSpec('lazy')])
"""


@pytest.mark.parametrize(
    ("files", "key"),
    [
        ({"ponds/defs.py": ONE}, "one"),
        ({"src/ponds/__init__.py": "", "src/ponds/defs.py": ONE}, "one"),
        ({"ponds/__init__.py": "", "ponds/defs.py": LAZY}, "lazy"),
    ],
)
def test_an_ordinary_module_of_dagster_is_loaded_from_the_project(
    project: Callable[[dict[str, str]], Settings], files: dict[str, str], key: str
) -> None:
    own = load_own(project(files))
    assert own
    assert own.resolve_asset_graph().get_all_asset_keys() == {dg.AssetKey(key)}


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({}, "there is no module ponds"),
        ({"ponds/__init__.py": ""}, "there is no module ponds.defs"),
        (
            {"ponds/defs.py": "import nowhere\n"},
            "(ponds/defs.py, line 1): ModuleNotFoundError",
        ),
        ({"ponds/defs.py": "x = 1\nraise ValueError('no')\n"}, "(ponds/defs.py, line 2): ValueError: no"),
        ({"ponds/defs.py": "def (:\n"}, "(ponds/defs.py, line 1): SyntaxError"),
        (
            {"ponds/defs.py": "from ponds.more import x\n", "ponds/more.py": "\n\n1 / 0\n"},
            "(ponds/more.py, line 3)",
        ),
        ({"ponds/defs.py": "x = 1\n"}, "defines no dg.Definitions"),
        ({"ponds/defs.py": ONE + "more = dg.Definitions()\n"}, "defines 2 dg.Definitions"),
        (
            {"ponds/defs.py": LAZY.replace("return", "1 / 0; return")},
            "(ponds/defs.py, line 4): Zero",
        ),
    ],
)
def test_a_module_that_does_not_load_is_named_with_file_and_line(
    project: Callable[[dict[str, str]], Settings], files: dict[str, str], said: str
) -> None:
    with pytest.raises(ConfigError) as refused:
        load_own(project(files))
    assert said in refused.value.what
    assert refused.value.unharmed
    assert refused.value.next_step


def test_own_python_is_deployed_with_the_project_and_read_from_there(
    project: Callable[[dict[str, str]], Settings], tmp_path: Path
) -> None:
    configured = project({"ponds/defs.py": ONE, "ponds/__pycache__/defs.pyc": "", "other/x.py": ""})
    configured = configured.model_copy(update={"home": tmp_path / ".millpond"})
    deployed = deployment.deploy(configured, checked=False)
    assert set(deployed.files) == {"pyproject.toml", "ponds/defs.py"}
    (tmp_path / "ponds" / "defs.py").write_text(ONE.replace("one", "two"))
    found: Any = deployment.changes(configured)
    assert found.files == ["ponds/defs.py"]


def test_an_external_asset_that_an_own_one_reads_is_in_no_run_of_its_chain() -> None:
    @dg.asset(deps=["mrt_climate_overview", "outside"])
    def reads_outside() -> None: ...

    found = build_definitions(dg.Definitions(assets=[reads_outside, dg.AssetSpec("outside")]))
    (sensor,) = [each for each in found.sensors or () if isinstance(each, ChainSensor)]
    assert "reads_outside" in chained(found)
    assert dg.AssetKey("outside") not in frozenset().union(*(chain.given for chain in sensor.chains))
