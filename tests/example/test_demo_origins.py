"""Demo data and rows of a real source never meet in one home."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator

import pytest
from example_source import Entries, reading

from fake_source import DAY, FakeSource, fake_source
from millpond.errors import ConfigError, NoSourceAddress, OriginChanged
from millpond.ingestion.demo_home import open_demo_home
from millpond.ingestion.load import load
from millpond.ingestion.news import look_for_news
from millpond.ingestion.reading import load_sources
from millpond.ingestion.results import LoadResult
from millpond.ingestion.window import Shrink
from millpond.partitions import Window, latest_complete_day
from millpond.runtime.databases import databases
from millpond.runtime.demo_source import is_demo_home, mark_demo_home
from millpond.runtime.home import layout
from millpond.settings import Settings, settings
from source_tables import load_days, raw, table_of

Millpond = Callable[..., tuple[object, str]]


@pytest.fixture
def server(home: object, configure: Callable[..., Settings]) -> Iterator[FakeSource]:
    with fake_source() as source:
        configure(nightscout_url=source.url, github_url=source.url, github_user="octocat")
        yield source


@pytest.fixture
def unmarked(home: object) -> Iterator[None]:
    """A home that `millpond demo` did not make."""
    mark = layout(settings()).root / "demo"
    mark.unlink()
    yield
    mark_demo_home(settings())


@pytest.fixture
def millpond(run: Callable[..., tuple[int, str, str]]) -> Millpond:
    """Return a function that runs `millpond`: its exit code, and all it says."""

    def ran(*arguments: str) -> tuple[object, str]:
        code, out, err = run(*arguments)
        return code, out + err

    return ran


def load_entries(*days: dt.date, **changes: object) -> LoadResult:
    return load_days(*days, table="glucose_entries", **changes)


def entry_ids() -> list[str]:
    return raw("_id", table="raw.glucose_entries")


def forget_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NIGHTSCOUT_URL", "NIGHTSCOUT_TOKEN", "GITHUB_URL", "GITHUB_USER"):
        monkeypatch.delenv(f"MILLPOND_{name}", raising=False)
    settings.cache_clear()


@pytest.mark.parametrize("marked", [True, False])
def test_demo_data_never_replaces_rows_of_a_real_source(
    server: FakeSource, monkeypatch: pytest.MonkeyPatch, marked: bool, unmarked: None
) -> None:
    server.serve = Entries([reading(1, DAY), reading(2, DAY)])
    load_entries(DAY)
    before = entry_ids()
    forget_addresses(monkeypatch)
    if marked:
        mark_demo_home(settings())
    source, table = table_of("glucose_entries")
    for ref in ("main", "dev"):
        with pytest.raises(OriginChanged if marked else NoSourceAddress) as refused:
            load(source, table, Window.of_day(DAY), ref=ref, run_id="test")
    assert entry_ids() == before
    assert "MILLPOND_NIGHTSCOUT_URL" in refused.value.next_step


def test_a_home_with_real_data_or_without_demo_refuses_to_play_one(
    server: FakeSource,
    monkeypatch: pytest.MonkeyPatch,
    millpond: Millpond,
    unmarked: None,
) -> None:
    """The command, the sensor that looks for news, and a load, each with what to do."""
    server.serve = Entries([reading(1, DAY)])
    load_entries(DAY)
    forget_addresses(monkeypatch)
    code, said = millpond("demo", "--days", "1")
    assert code == 2
    assert "holds data that the demo did not load" in said
    assert "MILLPOND_HOME=.millpond-demo millpond demo" in said
    source = next(each for each in load_sources(settings()) if each.source == "nightscout")
    with pytest.raises(NoSourceAddress, match="`millpond demo`"):
        look_for_news(source, source.tables[0], None)
    assert '"no address"' in millpond("sources", "list", "--json")[1]


def test_a_token_without_an_address_is_a_mistake_of_configuration(
    home: object, configure: Callable[..., Settings]
) -> None:
    configure(nightscout_token="secret")
    with pytest.raises(
        ConfigError, match="MILLPOND_NIGHTSCOUT_TOKEN is set but MILLPOND_NIGHTSCOUT_URL is not"
    ):
        load_entries(DAY)


@pytest.mark.usefixtures("clock")
def test_the_demo_opens_a_home_without_a_mark_whose_rows_it_made_and_no_other(
    unmarked: None, configure: Callable[..., Settings]
) -> None:
    mark_demo_home(settings())
    first = DAY - dt.timedelta(days=2)
    assert not load_entries(first, DAY).failed
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
        assert not load_entries(DAY, shrink=Shrink(hold_below=0)).failed
    with pytest.raises(OriginChanged, match=r"did not load \(raw.glucose_entries\)"):
        open_demo_home(settings())
    assert not is_demo_home(settings())


def test_a_real_source_never_adds_to_demo_data(
    home: object, configure: Callable[..., Settings], millpond: Millpond
) -> None:
    load_entries(DAY)
    before = entry_ids()
    with fake_source() as source:
        source.serve = Entries([reading(1, DAY)])
        configure(nightscout_url=source.url)
        with pytest.raises(OriginChanged) as refused:
            load_entries(DAY)
        code, said = millpond("sources", "moved", "nightscout")
        assert source.requests == []
    assert (code, entry_ids()) == (2, before)
    assert "set MILLPOND_HOME to a new folder" in refused.value.next_step
    assert "set MILLPOND_HOME to a new folder" in said


def test_no_table_of_a_real_source_joins_demo_data_nor_demo_data_any_of_it(
    home: object, configure: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch, millpond: Millpond
) -> None:
    """Another table of another source is refused as the demo's own tables are."""
    yesterday = latest_complete_day(settings().zone)
    with fake_source() as real:
        real.serve = Entries([reading(1, DAY)])
        assert not load_entries(DAY).failed
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
        assert not load_entries(DAY, shrink=Shrink(hold_below=0)).failed
        before = entry_ids()
        forget_addresses(monkeypatch)
        with pytest.raises(OriginChanged, match=r"raw.glucose_entries was loaded from 127") as refused:
            load_days(yesterday, table="github_user_events")
        assert "MILLPOND_HOME=.millpond-demo millpond demo" in refused.value.next_step
        code, said = millpond("demo", "--days", "1")
        assert (code, "did not load (raw.glucose_entries)" in said) == (2, True)
        assert entry_ids() == before
        assert not raw(table="raw.github_user_events", key="id")


def test_a_demo_source_elsewhere_is_demo_data_too(home: object, configure: Callable[..., Settings]) -> None:
    with fake_source() as demo, fake_source() as real:
        demo.serve = real.serve = Entries([reading(1, DAY)])
        configure(nightscout_url=demo.url, demo_url=demo.url)
        load_entries(DAY)
        configure(nightscout_url=real.url)
        with pytest.raises(OriginChanged, match="holds demo data"):
            load_entries(DAY)
