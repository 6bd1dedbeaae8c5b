"""The example's sources take what Nightscout servers and GitHub really send."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator

import pytest
from example_source import Entries, event, reading

from fake_source import DAY, Events, FakeSource, fake_source
from millpond.partitions import latest_complete_day
from millpond.settings import Settings, settings
from source_tables import load_days, raw, table_of


@pytest.fixture
def server(home: object, configure: Callable[..., Settings]) -> Iterator[FakeSource]:
    with fake_source() as source:
        configure(nightscout_url=source.url, github_url=source.url, github_user="octocat")
        yield source


def test_what_real_nightscouts_send_is_loaded_as_the_shipped_source_declares_it(server: FakeSource) -> None:
    arrows = ["TripleUp", "TripleDown", "CGM ERROR", "NotComputable", "None", ""]
    rows = [reading(n, direction=name) for n, name in enumerate(arrows)]
    rows += [reading(20 + n, sgv=code) for n, code in enumerate((0, 1, 12, 19, "7"))]
    rows += [reading(30, type=...), reading(31, type="mbg", sgv=..., mbg=6.1)]
    server.serve = Entries(rows)
    (day,) = load_days(DAY, table="glucose_entries").partitions
    assert (day.rows_loaded, day.rows_quarantined) == (len(rows), 0)
    assert sum(day.nulled.values()) == 3
    assert day.no_value == {"sgv": 5}
    found = sorted(raw(table="raw.glucose_entries"), key=lambda row: row["date"])
    assert [row["direction"] for row in found[:6]] == [
        "TripleUp",
        "TripleDown",
        "CGM ERROR",
        None,
        None,
        None,
    ]
    assert [row["sgv"] for row in found[6:11]] == [None] * 5
    assert (found[11]["type"], found[11]["sgv"] is not None, found[12]["mbg"]) == (None, True, 6.1)


def test_the_shipped_contract_accepts_what_nightscout_really_sends(server: FakeSource) -> None:
    names = table_of("glucose_entries")[1].columns["direction"].allowed or ()
    rows = [reading(n, direction=name) for n, name in enumerate(names)]
    rows += [reading(20, direction=None), reading(21, type="cal", sgv=..., slope=1.2, intercept=0, scale=1)]
    rows += [
        reading(22, type="mbg", sgv=..., mbg=99),
        reading(23, _id="65a1b2c3d4e5f60718293a4b", utcOffset=-300),
    ]
    server.serve = Entries(rows)
    assert load_days(DAY, table="glucose_entries").partitions[0].rows_loaded == len(rows)


@pytest.mark.usefixtures("clock")
def test_an_event_of_github_is_loaded_typed_and_its_details_stay_the_json_they_were(
    server: FakeSource,
) -> None:
    day = latest_complete_day(settings().zone)
    noon = dt.datetime.combine(day, dt.time(12), dt.UTC)
    server.serve = Events([event(1, noon)], server.url)
    load_days(day, table="github_user_events")
    (row,) = raw(table="raw.github_user_events", key="id")
    assert (row["actor_id"], row["actor_login"], row["repo_name"]) == (1, "octocat", "octocat/hello")
    assert row["payload"] == '{"commits":[{"sha":"a"},{"sha":"b"}],"size":1.1}'
    assert row["created_at"] == noon
    assert row["public"] is True
