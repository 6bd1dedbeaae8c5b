"""The report of a day is one page that tells everything of it, and shows nothing that is to be hidden."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable
from html.parser import HTMLParser

import dagster as dg
import pytest
from shop_pipeline import BAD_DAY, FAILED_DAY, FIRST

from millpond.errors import PartitionKeyError
from millpond.observability.assets import Asset
from millpond.observability.report import Report, read_report
from millpond.observability.report_page import render_report
from millpond.observability.sensitive import hide_reasons
from millpond.publish.spec import MartSpec, PublishDeclaration
from millpond.runtime.databases import databases
from millpond.settings import settings
from millpond.transform.manifest import load_project
from millpond.transform.sensitive import HIDDEN, find_sensitive_columns, find_sensitive_tables
from typed_commands import run, run_as_typed  # noqa: F401 - fixtures

Worked = tuple[dg.DagsterInstance, list[Asset]]
MARTS = [
    MartSpec(name=name, table=f"gold.{name}", declared=PublishDeclaration(key=(key,)))
    for name, key in (("mrt_orders", "day"), ("mrt_not_there", "day"), ("mrt_whole", "id"))
]
SENSITIVE = {"mrt_orders": frozenset({"customer"}), "marts/mrt_orders": frozenset({"customer"})}


@pytest.fixture(scope="module")
def published(worked: Worked) -> Worked:
    """Two marts with a row of each of two days."""
    with databases().marts.connect() as connection:
        connection.execute("create schema if not exists marts")
        connection.execute("drop table if exists marts.mrt_orders, marts.mrt_whole")
        connection.execute(
            "create table marts.mrt_orders (day date, amount numeric, note text, customer text)"
        )
        connection.execute("create table marts.mrt_whole (id int)")
        connection.execute("grant usage on schema marts to public")
        connection.execute("grant select on all tables in schema marts to public")
        for day, note in ((BAD_DAY, "<script>alert(1)</script>"), (FIRST, "of another day")):
            connection.execute("insert into marts.mrt_orders values (%s, 7.5, %s, 'Ada')", (day, note))
    return worked


def make(worked: Worked, day: dt.date) -> Report:
    return read_report(*worked, MARTS, SENSITIVE, day, dt.datetime.now(dt.UTC), settings().zone)


def test_the_page_has_all_of_the_day_escaped_and_nothing_sensitive(published: Worked) -> None:
    report = make(published, BAD_DAY)
    orders, mart = report.assets
    assert (orders.state, orders.rows, orders.quarantined, orders.seconds) == ("quarantined", 8, 2, 0.5)
    assert (mart.daily, mart.rows, mart.share) == (False, 3, pytest.approx(0.2))
    assert [(each.name, each.published, each.total) for each in report.marts] == [
        ("mrt_not_there", False, 0),
        ("mrt_orders", True, 1),
    ], "a mart without a date in its key has no rows of a day"
    assert report.verdict.endswith("1 problem; the next move is by team:sales.")
    page = render_report(report, settings())
    for shown in ("price is missing", "no_negative_price", "0.0 %", "It is not published yet", "team:sales"):
        assert shown in page
    assert "&lt;script&gt;alert(1)" in page
    assert "`" not in page
    assert page.count(HIDDEN) == 2, "in the mart and in the failing row"
    for absent in ("<script", "Ada", "of another day", "src=", "@import", "url("):
        assert absent not in page
    assert not re.search(r"<link|<img|<iframe", page)
    assert _find_unclosed(page) == []


def test_a_day_that_failed_says_why_and_one_that_nobody_has_is_refused(published: Worked) -> None:
    report = make(published, FAILED_DAY)
    assert not report.good
    assert report.assets[0].error == "the shop is closed"
    assert report.verdict.startswith("Not everything is all right since 20")
    assert "It has no rows of this day" in render_report(report, settings())
    with pytest.raises(PartitionKeyError, match=f"the first day that was ever materialized is {FIRST}"):
        make(published, FIRST - dt.timedelta(days=1))
    with pytest.raises(PartitionKeyError, match="nothing was materialized in this home yet"):
        make((published[0], [Asset("unknown", "raw", daily=True)]), BAD_DAY)


def test_a_report_is_of_one_day_that_has_begun(run: Callable[..., tuple[int, str, str]]) -> None:  # noqa: F811
    code, _, err = run("report", "--partition", "2099-01-01")
    assert (code, "has not begun yet" in err) == (2, True)
    code, _, err = run("report", "--partition", f"{FIRST}...{FAILED_DAY}")
    assert code == 2
    assert f"Next: `millpond report --partition={FAILED_DAY}`" in err


def test_sensitive_columns_are_those_that_dbt_declares() -> None:
    project = load_project(settings())
    device, light = frozenset({"device"}), frozenset({"avg_lux"})
    assert find_sensitive_columns(project) == {
        "dlt_climate_entries": device,
        "mrt_climate_readings": device,
        "mrt_climate_overview": light,
        "marts/mrt_climate_overview": light,
    }
    assert find_sensitive_tables(project) == {
        "raw.climate_entries": device,
        "gold.mrt_climate_readings": device,
        "gold.mrt_climate_overview": light,
        "marts.mrt_climate_overview": light,
    }
    assert find_sensitive_columns(None) == {}


def test_reasons_about_sensitive_columns_name_the_rule_alone() -> None:
    reasons = {"email is missing": 1, "email is no integer: ada@example.org": 2, "age is above 150: 200": 3}
    shown = hide_reasons(reasons, frozenset({"Email"}))
    assert shown == {"email:missing": 1, "email:type": 2, "age is above 150: 200": 3}


def _find_unclosed(page: str) -> list[str]:
    """Return the elements of a page that are not closed in their order."""
    is_open: list[str] = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, _attrs: object) -> None:
            if tag != "meta":
                is_open.append(tag)

        def handle_endtag(self, tag: str) -> None:
            assert is_open.pop() == tag

    Reader().feed(page)
    return is_open
