"""Rows of two origins never meet: demo and real data, or two servers, in one home."""

from __future__ import annotations

import datetime as dt
import sys
from collections.abc import Callable, Iterator

import pytest

from fake_source import DAY, Answer, Entries, FakeSource, fake_source, load_days, raw, reading, table_of
from millpond.cli.main import main
from millpond.errors import NoSourceAddress, OriginChanged
from millpond.ingestion.demo_home import open_demo_home
from millpond.ingestion.load import load
from millpond.ingestion.news import look_for_news
from millpond.ingestion.reading import load_sources
from millpond.ingestion.window import Shrink
from millpond.partitions import Window, latest_complete_day
from millpond.runtime.databases import databases
from millpond.runtime.demo_source import is_demo_home, mark_demo_home
from millpond.runtime.home import layout
from millpond.settings import Settings, settings

Millpond = Callable[..., tuple[object, str]]


@pytest.fixture
def unmarked(home: object) -> Iterator[None]:
    """A home that `millpond demo` did not make."""
    mark = layout(settings()).root / "demo"
    mark.unlink()
    yield
    mark_demo_home(settings())


@pytest.fixture
def millpond(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], one_process: None
) -> Callable[..., tuple[object, str]]:
    def run(*arguments: str) -> tuple[object, str]:
        monkeypatch.setattr(sys, "argv", ["millpond", *arguments])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        printed = capsys.readouterr()
        return ended.value.code or 0, printed.out + printed.err

    return run


def forget_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NIGHTSCOUT_URL", "NIGHTSCOUT_TOKEN", "GITHUB_URL", "GITHUB_USER"):
        monkeypatch.delenv(f"MILLPOND_{name}", raising=False)
    settings.cache_clear()


@pytest.mark.parametrize("marked", [True, False])
def test_demo_data_never_replaces_rows_of_a_real_source(
    server: FakeSource, monkeypatch: pytest.MonkeyPatch, marked: bool, unmarked: None
) -> None:
    server.serve = Entries([reading(1, DAY), reading(2, DAY)])
    load_days(DAY)
    before = raw("_id")
    forget_addresses(monkeypatch)
    if marked:
        mark_demo_home(settings())
    source, table = table_of("glucose_entries")
    for ref in ("main", "dev"):
        with pytest.raises(OriginChanged if marked else NoSourceAddress) as refused:
            load(source, table, Window.of_day(DAY), ref=ref, run_id="test")
    assert raw("_id") == before
    assert "MILLPOND_NIGHTSCOUT_URL" in refused.value.next_step


def test_a_home_with_real_data_or_without_demo_refuses_to_play_one(
    server: FakeSource,
    monkeypatch: pytest.MonkeyPatch,
    millpond: Millpond,
    unmarked: None,
) -> None:
    """The command, the sensor that looks for news, and a load, each with what to do."""
    server.serve = Entries([reading(1, DAY)])
    load_days(DAY)
    forget_addresses(monkeypatch)
    code, said = millpond("demo", "--days", "1")
    assert code == 2
    assert "holds data that the demo did not load" in said
    assert "MILLPOND_HOME=.millpond-demo millpond demo" in said
    source = next(each for each in load_sources(settings()) if each.source == "nightscout")
    with pytest.raises(NoSourceAddress, match="`millpond demo`"):
        look_for_news(source, source.tables[0], None)
    assert '"no address"' in millpond("sources", "list", "--json")[1]


@pytest.mark.usefixtures("clock")
def test_the_demo_opens_a_home_without_a_mark_whose_rows_it_made_and_no_other(
    unmarked: None, configure: Callable[..., Settings]
) -> None:
    mark_demo_home(settings())
    first = DAY - dt.timedelta(days=2)
    assert not load_days(first, DAY).failed
    yesterday = latest_complete_day(settings().zone)
    assert not load_days(yesterday, table="github_user_events").failed
    assert raw("id", table="raw.github_user_events", key="id")
    (layout(settings()).root / "demo").unlink()
    open_demo_home(settings())
    assert is_demo_home(settings())
    (layout(settings()).root / "demo").unlink()
    with fake_source() as real:
        real.serve = Entries([reading(1, DAY)])
        with databases().ops.connect() as connection:
            connection.execute("delete from source_origins")
        configure(nightscout_url=real.url)
        assert not load_days(DAY, shrink=Shrink(hold_below=0)).failed
    with pytest.raises(OriginChanged, match=r"did not load \(raw.glucose_entries\)"):
        open_demo_home(settings())
    assert not is_demo_home(settings())


def test_a_real_source_never_adds_to_demo_data(
    home: object, configure: Callable[..., Settings], millpond: Millpond
) -> None:
    load_days(DAY)
    before = raw("_id")
    with fake_source() as source:
        source.serve = Entries([reading(1, DAY)])
        configure(nightscout_url=source.url)
        with pytest.raises(OriginChanged) as refused:
            load_days(DAY)
        code, said = millpond("sources", "moved", "nightscout")
        assert source.requests == []
    assert (code, raw("_id")) == (2, before)
    assert "set MILLPOND_HOME to a new folder" in refused.value.next_step
    assert "set MILLPOND_HOME to a new folder" in said


def test_no_table_of_a_real_source_joins_demo_data_nor_demo_data_any_of_it(
    home: object, configure: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch, millpond: Millpond
) -> None:
    """Another table of another source is refused as the demo's own tables are."""
    yesterday = latest_complete_day(settings().zone)
    with fake_source() as real:
        real.serve = Entries([reading(1, DAY)])
        assert not load_days(DAY).failed
        configure(github_url=real.url, github_user="octocat")
        with pytest.raises(
            OriginChanged, match=r"raw.glucose_entries holds demo data.* github is 127"
        ) as late:
            load_days(yesterday, table="github_user_events")
        assert "set MILLPOND_HOME to a new folder" in late.value.next_step
        assert real.requests == []
        code, said = millpond("demo", "--days", "1")
        assert (code, "MILLPOND_GITHUB_URL is set" in said) == (2, True)
        with databases().ops.connect() as connection:
            connection.execute("delete from source_origins")
        forget_addresses(monkeypatch)
        configure(nightscout_url=real.url)
        assert not load_days(DAY, shrink=Shrink(hold_below=0)).failed
        before = raw("_id")
        forget_addresses(monkeypatch)
        with pytest.raises(OriginChanged, match=r"raw.glucose_entries was loaded from 127") as refused:
            load_days(yesterday, table="github_user_events")
        assert "MILLPOND_HOME=.millpond-demo millpond demo" in refused.value.next_step
        code, said = millpond("demo", "--days", "1")
        assert (code, "did not load (raw.glucose_entries)" in said) == (2, True)
        assert raw("_id") == before
        assert not raw(table="raw.github_user_events", key="id")


def test_a_demo_source_elsewhere_is_demo_data_too(home: object, configure: Callable[..., Settings]) -> None:
    with fake_source() as demo, fake_source() as real:
        demo.serve = real.serve = Entries([reading(1, DAY)])
        configure(nightscout_url=demo.url, demo_url=demo.url)
        load_days(DAY)
        configure(nightscout_url=real.url)
        with pytest.raises(OriginChanged, match="holds demo data"):
            load_days(DAY)


def test_a_server_that_moved_is_asked_once_a_person_accepts_it(
    server: FakeSource,
    configure: Callable[..., Settings],
    millpond: Millpond,
) -> None:
    server.serve = Entries([reading(1, DAY)])
    load_days(DAY)
    with fake_source() as other:
        other.serve = Entries([reading(2, DAY)])
        configure(nightscout_url=f"{other.url}/")
        with pytest.raises(OriginChanged) as refused:
            load_days(DAY)
        assert other.requests == []
        assert "`millpond sources moved nightscout`" in refused.value.next_step
        assert server.url.removeprefix("http://") in refused.value.what
        code, said = millpond("sources", "moved", "nightscout")
        assert code == 0
        assert f"formerly {server.url.removeprefix('http://')}" in said
        load_days(DAY)
        assert raw("_id") == ["20261101-0002"]
        assert "nothing to do" in millpond("sources", "moved", "nightscout")[1]
    assert millpond("sources", "moved", "nothing")[0] == 2


def test_an_address_that_never_gave_a_row_is_no_origin(
    server: FakeSource, configure: Callable[..., Settings]
) -> None:
    """A typing mistake in the first address does not keep the right one out."""
    server.serve = Entries([reading(1, DAY)])
    with fake_source() as wrong:
        wrong.serve = lambda _: Answer(status=404)
        configure(nightscout_url=wrong.url)
        assert load_days(DAY).failed
    configure(nightscout_url=server.url)
    assert not load_days(DAY).failed


def test_the_origin_names_no_credential_and_heeds_neither_scheme_nor_port_of_it() -> None:
    from millpond.ingestion.origins import origin_of

    source = next(each for each in load_sources(settings()) if each.source == "nightscout")
    configured = settings().model_copy(update={"sources": {"nightscout": _Somewhere()}})
    addresses = {
        origin_of(source, source.tables[0], {"url": url, "user": None, "token": "secret"}, configured).address
        for url in (
            "http://me:secret@CGM.example.org",
            "https://cgm.example.org:443",
            "https://cgm.example.org?token=secret",
        )
    }
    assert addresses == {"cgm.example.org"}
    as_user = origin_of(source, source.tables[0], {"url": "https://a.org/x", "user": "me"}, configured)
    assert as_user.address == "a.org/x as me"


class _Somewhere:
    url = "https://cgm.example.org"
