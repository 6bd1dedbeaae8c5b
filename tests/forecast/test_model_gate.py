"""Which model serves is decided by people, one decision at a time, and recorded."""

from __future__ import annotations

import datetime as dt
import json
import shutil
import threading
from typing import Any

import dagster as dg
import pytest
from packaged_models import DAY, package_model, write_readings_of
from typer.testing import CliRunner

from forecast import registry
from forecast.approved import approved_key
from forecast.cli import app
from forecast.errors import DecisionRefused, ModelAltered, ModelNotFound
from forecast.manifest import FILE, Manifest
from forecast.places import find_places
from forecast.registry import approve, find_serving, find_state, read_decisions, roll_back
from forecast.serving_assets import build_training_schedule
from millpond.errors import ConfigError
from millpond.instance.home import open_instance
from millpond.partitions import Window
from millpond.runtime.home import Home

pytestmark = pytest.mark.usefixtures("clean_home")


@pytest.fixture
def clean_home(home: Home) -> Home:
    """A home without models and decisions."""
    shutil.rmtree(find_places("glucose").root, ignore_errors=True)
    return home


def serving() -> str | None:
    found = find_serving(read_decisions("glucose"))
    return found.model if found else None


def states(*models: Manifest) -> list[str]:
    decisions = read_decisions("glucose")
    return [find_state(model, decisions) for model in models]


def test_an_approved_model_serves_until_another_one_or_a_rollback() -> None:
    one, other, blocked = package_model(1), package_model(2), package_model(3, blocked=["mae 30 is above 20"])
    assert states(one, other, blocked) == ["waiting", "waiting", "blocked"]
    approve("glucose", one.short, by="ada", reason="better than same as now")
    approve("glucose", other.hash, by="ben", reason="less bias")
    assert states(one, other, blocked) == ["approved before", "serving", "blocked"]
    roll_back("glucose", by="ada", reason="false alarms")
    assert states(one, other, blocked) == ["serving", "rolled back", "blocked"]
    approve("glucose", other.short, by="ben", reason="the sensor was broken")
    assert serving() == other.hash
    decisions = read_decisions("glucose")
    assert [(each.number, each.action, each.decided_by, each.reason) for each in decisions] == [
        (1, "approve", "ada", "better than same as now"),
        (2, "approve", "ben", "less bias"),
        (3, "rollback", "ada", "false alarms"),
        (4, "approve", "ben", "the sensor was broken"),
    ]
    assert all(each.at for each in decisions)


@pytest.mark.parametrize(
    ("start", "by", "reason", "kind", "said"),
    [
        ("0" * 12, "ada", "better", ModelNotFound, "no model of glucose has a hash that begins with '0000"),
        ("", "ada", "better", ModelNotFound, "begins with ''"),
        ("../../etc", "ada", "better", ModelNotFound, "no model"),
        ("blocked", "ada", "better", DecisionRefused, "is blocked: mae 30 is above 20"),
        ("other", "", "better", DecisionRefused, "a decision needs --by"),
        ("other", "ada", " \n", DecisionRefused, "a decision needs --reason"),
        ("serving", "ada", "again", DecisionRefused, "serves already"),
    ],
)
def test_what_cannot_be_approved_is_refused_and_the_model_that_serves_stays(
    start: str, by: str, reason: str, kind: type[ConfigError], said: str
) -> None:
    named = {
        "serving": package_model(1),
        "other": package_model(2),
        "blocked": package_model(3, blocked=["mae 30 is above 20"]),
    }
    approve("glucose", named["serving"].short, by="ada", reason="first")
    with pytest.raises(kind) as refused:
        approve("glucose", named[start].short if start in named else start, by=by, reason=reason)
    assert said in refused.value.what
    assert "nothing was recorded" in refused.value.unharmed
    assert refused.value.next_step
    assert (serving(), len(read_decisions("glucose"))) == (named["serving"].hash, 1)


def test_a_rollback_needs_an_earlier_model() -> None:
    with pytest.raises(DecisionRefused, match="none was ever approved"):
        roll_back("glucose", by="ada", reason="bad")
    one = package_model(1)
    approve("glucose", one.short, by="ada", reason="first")
    with pytest.raises(DecisionRefused, match="is the first that serves"):
        roll_back("glucose", by="ada", reason="bad")
    assert serving() == one.hash


def test_of_two_decisions_at_once_the_second_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    models, both = [package_model(1), package_model(2)], threading.Barrier(2)
    checked, said = registry.open_approved, list[str]()

    def wait_for_the_other(decision: Any) -> Any:
        both.wait(30)
        return checked(decision)

    monkeypatch.setattr(registry, "open_approved", wait_for_the_other)

    def decide(model: Manifest) -> None:
        try:
            said.append(approve("glucose", model.short, by="ada", reason="better").model)
        except DecisionRefused as refused:
            said.append(refused.what)

    threads = [threading.Thread(target=decide, args=(model,)) for model in models]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (recorded,) = read_decisions("glucose")
    assert sorted(said) == sorted(
        [recorded.model, "someone else decided about glucose at the same time; this approve is void"]
    )


@pytest.mark.parametrize("name", ["model.skops", "risk.skops", "data_profile.json"])
def test_a_model_of_which_one_byte_changed_is_neither_approved_nor_returned_to(name: str) -> None:
    one, other = package_model(1), package_model(2)
    approve("glucose", one.short, by="ada", reason="first")
    approve("glucose", other.short, by="ada", reason="second")
    for model in (one, package_model(3)):
        file = find_places("glucose").artifacts / model.folder / name
        content = bytearray(file.read_bytes())
        content[len(content) // 2] ^= 1
        file.write_bytes(content)
    with pytest.raises(ModelAltered, match=name):
        roll_back("glucose", by="ada", reason="bad")
    with pytest.raises(ModelAltered, match=name):
        approve("glucose", model.short, by="ada", reason="third")
    assert (serving(), len(read_decisions("glucose"))) == (other.hash, 2)


def test_files_that_were_replaced_together_with_their_manifest_are_refused() -> None:
    one, other = package_model(1), package_model(2)
    approve("glucose", one.short, by="ada", reason="first")
    place = find_places("glucose").artifacts
    forged = one.model_copy(update={"files": other.files})
    for name in other.files:
        (place / one.folder / name).write_bytes((place / other.folder / name).read_bytes())
    forged.write(place / one.folder)
    (decision,) = read_decisions("glucose")
    with pytest.raises(ModelAltered, match=FILE):
        registry.open_approved(decision)


def called(*words: str) -> Any:
    done = CliRunner().invoke(app, [*words, "--json"])
    assert done.exit_code == 0, done.output
    return json.loads(done.output)


def test_the_commands_show_and_decide_and_dagster_has_each_decision() -> None:
    one, other = package_model(1), package_model(2)
    assert called("approve", one.short, "--by", "ada", "--reason", "first")["model"] == one.hash
    assert called("approve", other.short, "--by", "ben", "--reason", "second")["number"] == 2
    assert {each["hash"]: each["state"] for each in called("list")} == {
        one.hash: "approved before",
        other.hash: "serving",
    }
    compared = called("compare", one.short, other.short)
    assert compared["differs"] == ["state", "metrics.mae", "identity.data_hash"]
    assert called("rollback", "--by", "ada", "--reason", "third")["model"] == one.hash
    shown = called("status")
    assert (shown["serving"]["model"], len(shown["decisions"])) == (one.hash, 3)
    with open_instance() as instance:
        found = instance.fetch_materializations(approved_key("glucose"), limit=9).records
        made = [each.asset_materialization for each in found if each.asset_materialization]
    assert [each.metadata["model"].value for each in made] == [one.hash, other.hash, one.hash]
    assert made[0].metadata["decided_by"].value == "ada"
    for words in (["list"], ["status"], ["compare", one.short, other.short]):
        assert one.short in CliRunner().invoke(app, words).output


def test_the_weekly_training_is_skipped_without_readings_and_else_requested_once_a_week() -> None:
    schedule = build_training_schedule()
    monday = dg.build_schedule_context(scheduled_execution_time=dt.datetime(2026, 11, 2, 5, tzinfo=dt.UTC))
    skipped = schedule(monday)
    assert isinstance(skipped, dg.SkipReason)
    assert skipped.skip_message == "there is no table silver.fct_glucose_readings yet"
    write_readings_of(Window.of_day(DAY))
    skipped = schedule(monday)
    assert isinstance(skipped, dg.SkipReason)
    assert skipped.skip_message == "silver.fct_glucose_readings has 282 rows, a training needs 2,000"
    write_readings_of(Window.of_days(DAY, DAY + dt.timedelta(days=7)))
    requested = schedule(monday)
    assert isinstance(requested, dg.RunRequest)
    assert (requested.run_key, requested.partition_key) == ("glucose:2026-11-02", "glucose")
