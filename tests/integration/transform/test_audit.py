from __future__ import annotations

import datetime as dt
import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

import raw_rows
from millpond.errors import BuildFailed, ConfigError, InputMissing
from millpond.lake import read, refs
from millpond.lake.spec import Replacement, TableSpec
from millpond.lake.tables import replace
from millpond.partitions import Window
from millpond.settings import Settings, settings
from millpond.transform.results import AuditFailed
from millpond.transform.runner import check
from raw_rows import Build, Rows

DAY = dt.date(2026, 3, 4)
WINDOW = Window.of_day(DAY)
NOON = dt.datetime(2026, 3, 4, 12, tzinfo=dt.UTC)
State = Callable[..., dict[str, list[str]]]


def _loaded() -> None:
    raw_rows.load(WINDOW, [raw_rows.entry("a", NOON, 100)], [raw_rows.event("e", NOON, "Sale")])


def test_a_failed_check_leaves_the_ref_as_it_was_and_keeps_the_branch(build_all: Build, state: State) -> None:
    _loaded()
    build_all(WINDOW)
    before = state()
    twice = [raw_rows.entry("a", NOON, 100), raw_rows.entry("a", NOON, 110), raw_rows.entry("b", NOON, 120)]
    raw_rows.load(WINDOW, twice, [raw_rows.event("e", NOON, "Sale")])
    with pytest.raises(AuditFailed) as failure:
        build_all(WINDOW)
    after = state()
    assert {name: rows for name, rows in after.items() if not name.startswith("raw.")} == {
        name: rows for name, rows in before.items() if not name.startswith("raw.")
    }
    result = failure.value.result
    assert not result.merged
    assert "stg_climate_entries_key" in {check.check for check in result.blocked_by}
    (check,) = (check for check in result.checks if check.check == "stg_climate_entries_key")
    assert (check.failures, check.samples) == (1, ({"entry_id": "a", "rows_with_this_key": 2},))
    text = str(failure.value)
    assert "check stg_climate_entries_key of stg_climate_entries failed for 1 row" in text
    assert "entry_id=a" in text
    assert f"--ref {result.branch}" in text
    assert read.count(result.branch, "bronze.stg_climate_entries") == 3
    assert "stg_climate_entries_key" in refs.get_branch(result.branch).kept


def test_a_key_that_another_day_has_already_fails_the_build(build_all: Build) -> None:
    next_day = WINDOW.of_day(DAY + dt.timedelta(days=1))
    raw_rows.load(WINDOW, [raw_rows.entry("a", NOON, 100)])
    raw_rows.load(next_day, [raw_rows.entry("a", NOON + dt.timedelta(days=1), 100)])
    build_all(WINDOW, "stg_climate_entries")
    with pytest.raises(AuditFailed) as failure:
        build_all(next_day, "stg_climate_entries")
    (check,) = failure.value.result.blocked_by
    assert check.check == "stg_climate_entries_key"
    assert check.samples == ({"entry_id": "a", "rows_with_this_key": 2},)
    assert "the same key is on 2026-03-04 and 2026-03-05" in failure.value.what
    command = '`millpond materialize "dlt_climate_entries*" --range 2026-03-04...2026-03-05`'
    assert failure.value.next_step.startswith(f"{command} loads these days together")
    raw_rows.load(WINDOW, [])  # what that command makes of the first day
    assert build_all(Window.of_days(DAY, next_day.last), "stg_climate_entries").merged


def test_a_build_tests_the_days_it_makes_and_a_check_by_itself_tests_all(build_all: Build) -> None:
    next_day = WINDOW.of_day(DAY + dt.timedelta(days=1))
    raw_rows.load(WINDOW, [raw_rows.entry("a", NOON, 100)])
    raw_rows.load(next_day, [raw_rows.entry("b", NOON + dt.timedelta(days=1), 100)])
    build_all(WINDOW, "stg_climate_entries")
    spoiled = read.scan("main", "bronze.stg_climate_entries")
    column = spoiled.column_names.index("lux")
    spoiled = spoiled.set_column(column, spoiled.field(column), pa.array([9_999], spoiled.field(column).type))
    spec = TableSpec("bronze.stg_climate_entries", spoiled.schema, window_column="_partition_date")
    replace([Replacement(spec, spoiled, WINDOW)], ref="main", run_id="by hand")
    assert build_all(next_day, "stg_climate_entries").merged
    (found,) = check([("stg_climate_entries", "stg_climate_entries_plausible")], ref="main")
    assert (found.passed, found.failures) == (False, 1)


def test_a_build_that_breaks_off_notes_why_on_its_branch(
    build_all: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    _loaded()

    def broken(*_: object) -> None:
        raise ZeroDivisionError("a defect in an audit")

    monkeypatch.setattr("millpond.transform.audit._collect", broken)
    with pytest.raises(ZeroDivisionError):
        build_all(WINDOW, "stg_climate_entries")
    (branch,) = refs.list_refs()[1:]
    assert (branch.state, branch.kept) == ("audit kept", "a defect in an audit")


def test_a_failure_holds_twenty_sample_rows_at_most(build_all: Build) -> None:
    doubled = [raw_rows.entry(f"{number // 2}", NOON, 100) for number in range(60)]
    raw_rows.load(WINDOW, doubled)
    with pytest.raises(AuditFailed) as failure:
        build_all(WINDOW, "stg_climate_entries")
    (check,) = failure.value.result.blocked_by
    assert (check.failures, len(check.samples)) == (30, 20)


def test_an_unknown_direction_warns_and_does_not_block(build_all: Build, table: Callable[..., Rows]) -> None:
    odd = raw_rows.entry("a", NOON, 100, direction="Sideways")
    raw_rows.load(WINDOW, [odd], [raw_rows.event("e", NOON, "Sale")])
    result = build_all(WINDOW)
    warned = [check for check in result.checks if not check.passed]
    assert [check.check for check in warned] == ["fct_climate_readings_known_direction"]
    assert not warned[0].blocking
    assert warned[0].samples[0]["direction"] == "Sideways"
    assert result.merged
    assert set(table("silver.fct_climate_readings", "entry_id")) == {"a"}


def test_a_missing_raw_table_names_the_asset_to_materialize_first(build_all: Build) -> None:
    with pytest.raises(
        InputMissing, match=r"raw\.climate_entries(.|\n)*materialize dlt_climate_entries first"
    ):
        build_all(WINDOW, "stg_climate_entries")


def test_a_missing_model_names_itself_and_nothing_is_built(build_all: Build) -> None:
    _loaded()
    with pytest.raises(InputMissing, match="materialize stg_climate_entries first"):
        build_all(WINDOW, "fct_climate_readings")
    assert [ref.name for ref in refs.list_refs()] == ["main"]


def test_the_calendar_is_built_along_where_it_is_missing(build_all: Build) -> None:
    _loaded()
    chain = ("stg_climate_entries", "fct_climate_readings", "mrt_climate_readings")
    assert {built.model for built in build_all(WINDOW, *chain).models} == {*chain, "dim_date"}
    assert {built.model for built in build_all(WINDOW, *chain).models} == set(chain)


def test_a_daily_model_is_not_built_without_a_window(build_all: Build) -> None:
    with pytest.raises(BuildFailed, match="fct_climate_readings cannot be built without a window"):
        build_all(None, "fct_climate_readings")


def test_an_unknown_model_is_refused_with_those_there_are(build_all: Build) -> None:
    with pytest.raises(ConfigError, match=r"no model fct_readings(.|\n)*fct_climate_readings"):
        build_all(WINDOW, "fct_readings")


BROKEN = {
    "broken_view": ("{{ config(materialized='view') }} select 1 as one", "use ephemeral"),
    "broken_strategy": (
        "{{ config(materialized='incremental', incremental_strategy='append') }} select 1 as one",
        "use the strategy microbatch",
    ),
    "broken_batch": (
        "{{ config(materialized='incremental', incremental_strategy='microbatch', event_time='day',"
        " batch_size='month', begin='2024-01-01') }} select date '2026-03-04' as day",
        "use batch_size day",
    ),
    "broken_contract": ("select cast(1 as integer) as one", "contract"),
    "broken_column": ("select no_such_column from {{ ref('stg_climate_entries') }}", "no_such_column"),
    "broken_window": (
        "{{ config(materialized='incremental', incremental_strategy='microbatch', event_time='day',"
        " batch_size='day', begin='2024-01-01', tags=['daily']) }} select date '2020-01-01' as day",
        "2020-01-01",
    ),
}


@pytest.fixture
def broken_project(configure: Callable[..., Settings], tmp_path: Path) -> Path:
    """A copy of the project with models that each break one rule."""
    original = settings().project
    shutil.copytree(original / "dbt", tmp_path / "dbt", ignore=shutil.ignore_patterns("target", "logs"))
    (tmp_path / "sources").symlink_to(original / "sources")
    folder = tmp_path / "dbt" / "models" / "silver" / "broken"
    folder.mkdir()
    for name, (sql, _) in BROKEN.items():
        (folder / f"{name}.sql").write_text(sql)
    (folder / "broken.yml").write_text(
        "models: [{name: broken_contract, config: {contract: {enforced: true}},"
        " columns: [{name: one, data_type: varchar}]}]"
    )
    configure(project=tmp_path)
    return tmp_path


def test_a_model_that_breaks_a_rule_fails_with_the_reason_and_changes_nothing(
    build_all: Build, broken_project: Path
) -> None:
    _loaded()
    build_all(WINDOW, "stg_climate_entries")
    with pytest.raises(AuditFailed) as failure:
        build_all(WINDOW, "stg_climate_entries", *BROKEN)
    told = {failed.model: failed.message for failed in failure.value.result.failed}
    assert set(told) == set(BROKEN)
    for name, (_, reason) in BROKEN.items():
        assert reason in told[name], name
    assert "Runtime Error in" not in str(failure.value)
    assert read.list_tables("main") == [
        "bronze.stg_climate_entries",
        "raw.climate_entries",
        "raw.market_events",
    ]


def test_a_project_that_does_not_parse_says_where(build_all: Build, broken_project: Path) -> None:
    (broken_project / "dbt" / "models" / "silver" / "broken" / "broken_column.sql").write_text(
        "select {{ ref('nobody') }}"
    )
    with pytest.raises(ConfigError, match="nobody"):
        build_all(WINDOW, "stg_climate_entries")
