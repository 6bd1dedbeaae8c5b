"""`millpond history`, `undo` and `tables rollback` as typed, and Dagster's record after an undo."""

from __future__ import annotations

import datetime as dt
import getpass
import json
from collections.abc import Callable

import dagster as dg
import pytest

from lake_readings import FIRST, days, found, rows, spec
from millpond.instance.record import UNDONE, read_latest
from millpond.instance.undo_record import Restored, restore_materializations
from millpond.instance.wipe_record import mark_removed
from millpond.lake.tables import Replacement, replace
from millpond.lake.wipe import expire
from millpond.quality.reconciliation import Table, reconcile_day

Run = Callable[..., tuple[int, str, str]]
TABLES = spec("silver.readings"), spec("gold.readings")


def write(value: int) -> None:
    replace(
        [Replacement(t, rows({0: [value]}), days(0, 0)) for t in TABLES], ref="main", run_id=f"run-{value}"
    )


def newest(run: Run) -> str:
    commit: str = json.loads(run("history", "--json", "-n", "1")[1])[0]["id"]
    return commit


@pytest.mark.usefixtures("home")
def test_a_commit_is_shown_undone_after_yes_and_a_table_of_it_only_by_force(run: Run) -> None:
    assert run("history")[1] == "Nothing was committed yet. Next: millpond materialize '*'\n"
    write(1)
    write(2)
    second = newest(run)
    assert "gold.readings    1 → 1 rows" in run("history")[1]
    code, out, err = run("undo", second[:8])
    assert (code, err) == (0, "")
    assert "Next: repeat it with --yes" in out
    code, out, err = run("tables", "rollback", "gold.readings", second[:8], "--yes")
    assert code == 2, out
    assert "committed together with silver.readings" in err
    assert found("gold.readings") == {0: [2]}
    code, out, err = run("tables", "rollback", "gold.readings", second[:8], "--force", "--yes")
    assert code == 0, err
    assert (found("gold.readings"), found("silver.readings")) == ({0: [1]}, {0: [2]})
    code, out, err = run("undo", second[:8], "--yes")
    assert code == 2, out
    assert f"`millpond undo {second[:8]} --with-later`" in err
    code, out, err = run("undo", second[:8], "--with-later", "--yes", "--json")
    assert (code, json.loads(out)["marts"]) == (0, []), err
    assert (found("gold.readings"), found("silver.readings")) == ({0: [1]}, {0: [1]})
    then = "select value from gold.readings"
    assert json.loads(run("sql", then, "--at", second[:8], "--json")[1]) == [{"value": 2}]
    assert json.loads(run("history", "--json", "-n", "1")[1])[0]["client"] == getpass.getuser()
    code, out, err = run("tables", "history", "gold.nosuch")
    assert (code, out) == (2, "")
    assert "main has no table gold.nosuch" in err
    for wrong, said in (("yesterday", "a time in UTC such as"), ("2999-01-01", "is in the future")):
        code, out, err = run("sql", then, "--at", wrong)
        assert (code, out) == (2, "")
        assert said in err
    for undoing in (("undo", "deadbeef"), ("tables", "rollback", "gold.readings", "deadbeef")):
        code, out, err = run(*undoing)
        assert (code, out) == (2, "")
        assert "main has no commit 'deadbeef'" in err
        assert "--at" not in err
    code, out, err = run("sql", then, "--at", "1999-01-01")
    assert (code, out) == (2, "")
    assert "there was no ref main" in err


@pytest.mark.usefixtures("home")
def test_what_is_from_before_a_wipe_is_told_apart_from_what_never_was(run: Run) -> None:
    write(1)
    write(2)
    before, then = dt.datetime.now(dt.UTC).isoformat(), "select value from gold.readings"
    assert expire({"gold.readings": [FIRST]}) == {"gold.readings": 1}
    wiped = newest(run)[:8]
    code, out, err = run("sql", then, "--at", before)
    assert (code, out) == (2, "")
    assert "gold.readings cannot be shown as it was at" in err
    assert f"(commit {wiped})" in err
    assert f"`--at {wiped}` shows it right after the wipe" in err
    for readable in ((then, "--at", wiped), (then.replace("gold", "silver"), "--at", before)):
        assert json.loads(run("sql", *readable, "--json")[1]) == [{"value": 2}]
    assert "gold.nosuch cannot be shown" not in run("sql", "from gold.nosuch", "--at", before)[2]
    out = run("tables", "history", "gold.readings")[1]
    assert "Days of gold.readings were wiped at" in out
    assert "Next: millpond undo" not in out
    write(3)
    assert f"Next: millpond undo {newest(run)[:8]}" in run("tables", "history", "gold.readings")[1]


def test_reconciliation_says_of_a_day_without_rows_why_it_has_none(recorded: dg.DagsterInstance) -> None:
    mark_removed(recorded, {"one": [FIRST]}, "wiped")
    mark_removed(recorded, {"two": [FIRST]}, "expired")
    undone = dg.AssetMaterialization(
        "readings",
        partition=str(FIRST),
        metadata={"ref": "main", UNDONE: "3f2a81c0e1d2"},
        tags={"dagster/data_version": UNDONE},
    )
    recorded.report_runless_asset_event(undone)
    tables = [Table(name, f"raw.{name}") for name in ("one", "two", "readings", "never")]
    lines = list(reconcile_day(recorded, tables, {}, FIRST, "main"))
    assert [line.state for line in lines] == ["wiped", "expired", "not materialized", "not materialized"]
    assert [line.why.partition(" at ")[0] for line in lines] == [
        "wiped",
        "removed",
        "commit 3f2a81c0, which had made it, was undone",
        "",
    ]
    assert "UTC; `millpond materialize` loads it again only with `--accept-wiped`" in lines[0].why


def report(instance: dg.DagsterInstance, day: str, version: str, snapshot: int | None) -> None:
    metadata = {"snapshot_id": str(snapshot)} if snapshot else {}
    event = dg.AssetMaterialization(
        "readings", partition=day, metadata=metadata, tags={"dagster/data_version": version}
    )
    instance.report_runless_asset_event(event)


def versions(instance: dg.DagsterInstance) -> dict[str, str]:
    return {
        str(day): made.version
        for day, made in read_latest(instance, ["readings"], "main")["readings"].items()
    }


@pytest.mark.parametrize("days_known", [True, False])
def test_the_record_after_an_undo_is_that_of_the_version_which_is_there_again(
    recorded: dg.DagsterInstance, days_known: bool
) -> None:
    for day, version, snapshot in (
        ("2026-11-01", "a", 1),
        ("2026-11-01", "b", 2),
        ("2026-11-02", "c", 2),  # a day that the undone commit was the first to have
        ("2026-11-03", "d", None),  # of before snapshots were recorded
        ("2026-11-04", "e", 7),  # of a snapshot that has expired
        ("2026-11-04", "f", 2),
    ):
        report(recorded, day, version, snapshot)
    touched = [dt.date(2026, 11, day) for day in range(1, 5)] if days_known else None
    later = dt.datetime.now(dt.UTC) + dt.timedelta(hours=1)
    key = dg.AssetKey("readings")
    undone = Restored({1: 1}, frozenset({2}), touched, later)
    assert restore_materializations(recorded, {key: undone}, commit="m") == 4
    before = {"2026-11-01": "a", "2026-11-02": UNDONE, "2026-11-03": "d", "2026-11-04": "e"}
    assert versions(recorded) == before
    again = Restored({1: 1, 2: 2}, frozenset(), touched, later)
    restore_materializations(recorded, {key: again}, commit="undo of m")
    assert versions(recorded) == {**before, "2026-11-01": "b", "2026-11-02": "c", "2026-11-04": "f"}
