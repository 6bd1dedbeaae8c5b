"""The midnights between which days lie are those of the first load: another time zone is refused."""

from __future__ import annotations

import datetime as dt
import json
import sys
from collections import Counter
from collections.abc import Callable

import pytest

from fake_source import DAY, Answer, Entries, FakeSource, reading
from millpond.cli.main import main
from millpond.errors import ZoneChanged
from millpond.ingestion.load import load
from millpond.ingestion.news import look_for_news
from millpond.lake import home_zone, read
from millpond.lake.home_zone import have_same_days
from millpond.partitions import Window
from millpond.runtime.databases import databases
from millpond.settings import Settings
from millpond.transform.runner import build
from source_tables import load_days, raw, table_of

NEXT_DAY = DAY + dt.timedelta(days=1)


@pytest.fixture
def loaded(server: FakeSource, configure: Callable[..., Settings]) -> FakeSource:
    """A home in which two days were loaded in Europe/Berlin."""
    server.serve = Entries([reading(number, DAY) for number in range(-12, 2 * 288 + 12)])
    configure(timezone="Europe/Berlin")
    assert not load_days(DAY, NEXT_DAY).failed
    server.requests.clear()
    return server


def test_another_time_zone_asks_loads_and_builds_nothing(
    loaded: FakeSource,
    configure: Callable[..., Settings],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    one_process: None,
) -> None:
    """By a load, a look, a build, a command of one run, and a backfill; on any ref."""
    before, tables = raw(), read.list_tables("main")
    configure(timezone="America/New_York")
    source, table = table_of("climate_entries")
    with pytest.raises(ZoneChanged) as refused:
        load(source, table, Window.of_day(DAY), ref="dev", run_id="test")
    assert "Europe/Berlin" in refused.value.what
    assert "America/New_York" in refused.value.what
    assert "set MILLPOND_TIMEZONE=Europe/Berlin again" in refused.value.next_step
    with pytest.raises(ZoneChanged):
        look_for_news(source, table, None)
    with pytest.raises(ZoneChanged):
        build(["stg_climate_readings"], Window.of_day(DAY), ref="main", run_id="test")
    for command in (
        ("materialize", "dlt_climate_entries", "--partition", str(DAY)),
        ("backfill", "dlt_climate_entries", "--partitions", str(DAY), "--force", "--yes"),
    ):
        monkeypatch.setattr(sys, "argv", ["millpond", *command])
        with pytest.raises(SystemExit) as ended:
            main()
        printed = capsys.readouterr()
        assert ended.value.code == 2
        assert "begin at midnight in Europe/Berlin" in printed.out + printed.err
    assert loaded.requests == []
    assert (raw(), read.list_tables("main")) == (before, tables)


def test_the_advice_works_and_no_row_is_in_two_days(
    loaded: FakeSource, configure: Callable[..., Settings]
) -> None:
    configure(timezone="UTC")
    with pytest.raises(ZoneChanged):
        load_days(DAY)
    configure(timezone="Europe/Berlin")
    assert not load_days(NEXT_DAY).failed
    keys = Counter(raw("_id"))
    assert set(keys.values()) == {1}
    assert len(keys) == 2 * 288


def test_status_names_both_zones(
    loaded: FakeSource,
    configure: Callable[..., Settings],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure(timezone="UTC")
    said = {}
    for flags in ([], ["--json"]):
        monkeypatch.setattr(sys, "argv", ["millpond", "status", *flags])
        with pytest.raises(SystemExit):
            main()
        said[len(flags)] = capsys.readouterr().out
    both = "the days of this home begin at midnight in Europe/Berlin, and MILLPOND_TIMEZONE is now UTC"
    assert f"Nothing is loaded or built: {both}. Next: set MILLPOND_TIMEZONE=Europe/Berlin again" in said[0]
    assert json.loads(said[1])["timezone_refused"] == both


def test_a_zone_by_another_name_is_the_same_zone(
    loaded: FakeSource, configure: Callable[..., Settings]
) -> None:
    configure(timezone="Arctic/Longyearbyen")
    assert not load_days(DAY).failed
    assert have_same_days("Asia/Calcutta", "Asia/Kolkata")
    assert not have_same_days("Africa/Algiers", "Europe/Berlin")


def test_the_zone_may_change_until_a_row_was_loaded(
    server: FakeSource, configure: Callable[..., Settings]
) -> None:
    configure(timezone="Asia/Tokyo")
    server.serve = lambda _: Answer(status=404)
    assert load_days(DAY).failed
    configure(timezone="UTC")
    assert home_zone.zone_error() is None


def test_a_home_from_before_records_its_zone_with_the_next_load(
    loaded: FakeSource, configure: Callable[..., Settings]
) -> None:
    with databases().ops.connect() as connection:
        connection.execute("delete from home_zone")
    home_zone.verified.clear()
    assert not load_days(DAY).failed
    home_zone.verified.clear()
    configure(timezone="UTC")
    with pytest.raises(ZoneChanged):
        load_days(DAY)
