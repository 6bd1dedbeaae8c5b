"""Days that lose rows, as a person meets them: held back with both counts, listed, accepted, rebuilt."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Iterator

import dagster as dg
import pytest

from fake_source import DAY, Entries, Events, FakeSource, event, fake_source, reading
from millpond.instance.home import open_instance
from millpond.lake import read
from millpond.partitions import Window
from millpond.settings import Settings
from source_tables import load_days

Run = Callable[..., tuple[int, str, str]]
DAYS = [DAY + dt.timedelta(n) for n in range(3)]
RANGE = f"{DAYS[0]}...{DAYS[-1]}"
TWO_LAYERS = "dlt_climate_entries,stg_climate_entries"


def readings(*counts: int) -> Entries:
    return Entries([reading(n, day) for day, count in zip(DAYS, counts, strict=True) for n in range(count)])


@pytest.fixture
def loaded(home: object, configure: Callable[..., Settings]) -> Iterator[FakeSource]:
    """Yield a source of which three days of 40 readings are loaded."""
    with fake_source() as source:
        configure(greenhouse_url=source.url)
        source.serve = readings(40, 40, 40)
        assert not load_days(DAYS[0], DAYS[-1]).failed
        yield source


def rows(table: str, day: dt.date) -> int:
    return read.count("main", table, window=Window.of_day(day))


def newest_rows(day: dt.date) -> int | None:
    with open_instance() as recorded:
        filters = dg.AssetRecordsFilter(dg.AssetKey("dlt_climate_entries"), asset_partitions=[str(day)])
        (record,) = recorded.fetch_materializations(filters, limit=1).records
    assert record.asset_materialization
    value = record.asset_materialization.metadata["rows_loaded"].value
    return value if isinstance(value, int) else None


def test_a_purged_day_is_held_back_listed_and_gone_from_every_layer_once_accepted(
    loaded: FakeSource, run: Run
) -> None:
    code, out, err = run("materialize", TWO_LAYERS, "--range", RANGE)
    assert code == 0, out + err
    loaded.serve = readings(40, 0, 10)
    code, out, _ = run("materialize", TWO_LAYERS, "--range", RANGE)
    assert code == 1
    assert "dlt_climate_entries, 2026-11-02...2026-11-03: held back" in out
    assert "2026-11-02 40 → 0, 2026-11-03 40 → 10" in out
    assert [rows("raw.climate_entries", day) for day in DAYS] == [40, 40, 40]

    code, out, _ = run("sources", "held", "--json")
    assert [(h["day"], h["rows_loaded"], h["rows_held"]) for h in json.loads(out)] == [
        ("2026-11-02", 40, 0),
        ("2026-11-03", 40, 10),
    ]
    listed = {s["source"]: s["days_held"] for s in json.loads(run("sources", "list", "--json")[1])}
    assert listed == {"market": 0, "greenhouse": 2}
    out = run("sources", "held")[1]
    command = "millpond sources accept dlt_climate_entries --range 2026-11-02...2026-11-03"
    assert f"80 rows loaded, 10 now\n  {command}\n" in out
    assert max(map(len, out.splitlines())) <= 80

    requests = len(loaded.requests)
    code, out, err = run("sources", "accept", "market", "--range", "2026-11-02...2999-01-01")
    assert (code, "no rows of market are held back" in err) == (2, True)
    code, out, err = run("sources", "accept", "greenhouse", "--range", "2999-01-01...2999-01-02")
    assert code == 2
    assert "has not begun yet" in err
    assert "Unharmed: everything" in err
    code, out, err = run("sources", "accept", "greenhouse", "--partition", "2026-11-02")
    assert code == 0, out + err
    assert len(loaded.requests) == requests
    assert newest_rows(DAYS[1]) == 0
    layers = ("raw.climate_entries", "bronze.stg_climate_entries", "silver.fct_climate_readings")
    assert [rows(table, DAYS[1]) for table in layers] == [0, 0, 0]
    assert [rows(table, DAYS[2]) for table in layers] == [40, 40, 0]

    code, _, err = run("sources", "accept", "greenhouse", "--partition", "2026-11-02")
    assert code == 2
    assert "no rows of greenhouse are held back for 2026-11-02" in err
    assert "dlt_climate_entries --partition 2026-11-03" in err

    code, out, err = run(
        "sources", "accept", "greenhouse", "--range", f"{DAYS[0]}...2999-01-01", "--only", "--json"
    )
    assert (code, [o["success"] for o in json.loads(out)]) == (0, [True]), err
    assert rows("raw.climate_entries", DAYS[2]) == 10
    assert run("sources", "held")[:2] == (0, "no days are held back\n")


@pytest.mark.slow
def test_a_backfill_holds_back_days_names_both_counts_and_takes_them_when_told_to(
    loaded: FakeSource, run: Run
) -> None:
    loaded.serve = readings(41, 0, 40)
    code, out, _ = run("backfill", "dlt_climate_entries", "--partitions", "2026-11-01,2026-11-02", "--force")
    assert code == 1
    said = " ".join(out.split())
    assert "2026-11-02: held back, the source now has 0 good rows, 40 are loaded" in said
    assert "failed dlt_climate_entries 2026-11-02 held back, the source now has" in said, "each once, dated"
    assert "millpond sources accept dlt_climate_entries --partition 2026-11-02" in said
    assert [rows("raw.climate_entries", day) for day in DAYS] == [41, 40, 40]
    code, out, err = run("backfill", "dlt_climate_entries", "--partitions", "2026-11-02", "--force", "--json")
    document = json.loads(out)
    (part,) = document["partitions"]
    assert (code, part["state"]) == (1, "failed"), err
    assert "40 rows loaded before, which stay visible" in part["unharmed"]
    command = "millpond sources accept dlt_climate_entries --partition 2026-11-02"
    assert f"`{command}`" in part["next"]
    assert [command in step for step in document["next"]] == [True, False]
    assert f"millpond backfill --resume {document['id']}" in document["next"][1]
    code, out, _ = run("materialize", "dlt_climate_entries", "-p", "2026-11-02", "--json")
    (failure,) = json.loads(out)["failures"]
    assert (code, failure["next"]) == (1, part["next"])
    assert "40 rows loaded before, which stay visible" in failure["unharmed"]
    code, out, err = run("backfill", "--resume", "--accept-shrink")
    assert code == 0, out + err
    assert [rows("raw.climate_entries", day) for day in DAYS] == [41, 0, 40]
    loaded.serve = readings(0, 0, 40)
    code, out, err = run("materialize", "dlt_climate_entries", "-p", "2026-11-01", "--accept-shrink")
    assert code == 0, out + err
    assert [rows("raw.climate_entries", day) for day in DAYS] == [0, 0, 40]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("greenhouse",), "--partition or --range"),
        (("greenhous", "-p", "2026-11-01"), "no source declares a table 'greenhous'"),
        (("greenhouse", "-p", "2026-11-31"), "2026-11-31"),
        (("greenhouse", "-p", "2026-11-01"), "no rows of greenhouse are held back"),
    ],
)
def test_what_cannot_be_accepted_is_refused(
    home: object, run: Run, arguments: tuple[str, ...], said: str
) -> None:
    code, _, err = run("sources", "accept", *arguments)
    assert code == 2
    assert said in err


@pytest.mark.usefixtures("clock")
def test_days_beyond_reach_are_skipped_and_the_others_made(
    home: object, configure: Callable[..., Settings], run: Run
) -> None:
    today = dt.datetime.now(dt.UTC).replace(hour=0, minute=0, second=0, microsecond=0)

    def day(ago: int) -> dt.date:
        return (today - dt.timedelta(ago)).date()

    with fake_source() as source:
        configure(market_url=source.url, market_user="corner")
        listed = [event(1000 * ago + n, today - dt.timedelta(ago)) for ago in range(1, 41) for n in range(10)]
        source.serve = Events(listed, source.url)
        code, out, err = run("materialize", "dlt_market_events", "--range", f"{day(95)}...{day(28)}")
    assert code == 0, out + err
    assert f"dlt_market_events: {day(95)}" in out
    assert "beyond the source's reach" in out
    counts = [read.count("main", "raw.market_events", window=Window.of_day(day(n))) for n in (40, 30, 29, 28)]
    assert counts == [0, 0, 10, 10]
    with open_instance() as recorded:
        made = recorded.get_materialized_partitions(dg.AssetKey("dlt_market_events"))
    assert sorted(made) == [str(day(29)), str(day(28))]
