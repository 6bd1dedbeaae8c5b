"""What errors, lists and alerts advise is typed here as it stands there, and cures what it is given for."""

from __future__ import annotations

import datetime as dt
import json
import re
import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from alerting import put
from fake_source import Answer, Entries, Events, FakeSource, event, fake_source, reading
from lake_readings import found, write
from millpond.alerts.alert import Alert
from millpond.alerts.finders.asset_facts import AssetFacts
from millpond.alerts.finders.find import find_alerts
from millpond.alerts.kinds import KINDS
from millpond.alerts.outbox import list_alerts
from millpond.alerts.routing import Routing
from millpond.backfill import ledger
from millpond.backfill.planner import make_plan
from millpond.errors import SourceUnreachable
from millpond.ingestion import breaker
from millpond.instance.home import open_instance
from millpond.lake import read, refs
from millpond.partitions import Window
from millpond.settings import Settings, settings
from source_tables import load_days

Run = Callable[..., tuple[int, str, str]]
pytestmark = pytest.mark.usefixtures("clock")
TODAY = dt.datetime.now(dt.UTC).date()  # alerts are found of the last days only
DAYS = [TODAY - dt.timedelta(days=n) for n in (3, 2, 1)]
RANGE, NEWEST = f"{DAYS[0]}...{DAYS[-1]}", str(DAYS[-1])
RAW = "dlt_climate_entries"
_COMMAND = re.compile(r"`((?:[A-Z_]+=\S+ )*millpond [^`]+)`|\b(millpond [a-z][^`;\n]*)")


def advised(text: str) -> list[str]:
    """Return the commands in a text, in order."""
    return [quoted or bare.rstrip(". ") for quoted, bare in _COMMAND.findall(text)]


@dataclass
class Typist:
    """Types commands, and those that their output advises."""

    run: Run

    def types(self, command: str, code: int = 0) -> str:
        """Type a command as it was advised; returns what it said."""
        ended, out, err = self.run(*shlex.split(command)[1:])
        assert ended == code, f"{command}\n{out}{err}"
        return out + err

    def is_advised(self, *words: str) -> list[str]:
        """Type what ends in an error; returns the commands that the error advises."""
        code, out, err = self.run(*words)
        said = out + err
        assert code, said
        commands = advised(said[said.index("Next: ") :])
        assert commands, said
        return commands

    def follows(self, *words: str) -> list[str]:
        """Type a command, and what each failure advises first, until it succeeds; returns what it took."""
        taken: list[str] = []
        while (ended := self.run(*words))[0]:
            code, (command, *_) = 1, self.is_advised(*words)
            while code:
                assert command not in taken, (taken, ended)
                taken.append(command)
                code, out, err = self.run(*shlex.split(command)[1:])
                command = next(iter(advised(out + err)), "") if code else ""
        return taken


@pytest.fixture
def typist(home: object, run: Run) -> Typist:
    return Typist(run)


@pytest.fixture
def source(home: object, configure: Callable[..., Settings]) -> Iterator[FakeSource]:
    """Yield a source of three days with 40 readings and two events each."""
    with fake_source() as serving:
        configure(greenhouse_url=serving.url, market_url=serving.url, market_user="corner")
        serve(serving, 40, 40, 40)
        yield serving


def serve(source: FakeSource, *counts: int) -> None:
    entries = Entries(
        [reading(n, day) for day, count in zip(DAYS, counts, strict=True) for n in range(count)]
    )
    before = dt.datetime.combine(DAYS[0] - dt.timedelta(days=1), dt.time(6), dt.UTC)
    events = Events([event(n, before + n * dt.timedelta(hours=12)) for n in range(8)], source.url)
    source.serve = lambda request: (events if "events" in request.path else entries)(request)


def look() -> list[Alert]:
    """Find what failed; returns the alerts that are open."""
    with open_instance() as recorded:
        find_alerts(recorded, settings(), Routing(late_after_days=0), AssetFacts())
    return [alert for alert, _ in list_alerts(everything=False, kind=None, limit=10)]


def rows(table: str, ref: str = "main") -> list[int]:
    return [read.count(ref, table, window=Window.of_day(day)) for day in DAYS]


@pytest.mark.slow
def test_days_held_back_are_accepted_by_what_the_run_the_list_and_the_alert_advise(
    source: FakeSource, typist: Typist
) -> None:
    assert not load_days(DAYS[0], DAYS[-1]).failed
    serve(source, 40, 0, 10)
    accept = f"millpond sources accept {RAW} --range {DAYS[1]}...{DAYS[2]}"
    assert typist.is_advised("materialize", f"{RAW}*", "--range", RANGE) == [accept]
    assert advised(typist.types("millpond sources held"))[-1] == accept
    (alert,) = look()
    again = f'millpond materialize "{RAW}*" --range {DAYS[1]}...{DAYS[2]}'
    waiting = f'millpond backfill "{RAW}*" --start-date {DAYS[0]} --end-date {DAYS[2]}'
    assert advised(alert.next_step) == [accept, again, waiting]
    for command in (accept, again, f"{waiting} --yes"):
        typist.types(command)
    assert rows("raw.climate_entries") == rows("silver.fct_climate_readings") == [40, 0, 10]
    assert look() == []
    (listing,) = typist.is_advised(*shlex.split(accept)[1:])
    assert "no days are held back" in typist.types(listing)


@pytest.mark.slow
def test_a_failed_partition_is_made_again_on_the_branch_it_failed_on(
    source: FakeSource, typist: Typist
) -> None:
    typist.types("millpond branch create dev")
    source.serve = lambda _: Answer(b"no", status=403)
    assert typist.run("materialize", RAW, "-p", NEWEST, "--ref", "dev")[0] == 1
    look()
    ((alert, _),) = list_alerts(everything=True, kind=None, limit=10)
    serve(source, 40, 40, 40)
    (again,) = advised(alert.next_step)
    typist.types(again)
    assert rows("silver.fct_climate_readings", "dev") == [0, 0, 40]
    assert read.list_tables("main") == []


def test_what_is_missing_is_built_by_what_is_advised_until_it_is_there(
    source: FakeSource, typist: Typist
) -> None:
    first = ["materialize", "stg_climate_entries", "-p", str(DAYS[0])]
    assert typist.follows(*first) == [f"millpond materialize {RAW} --partition {DAYS[0]}"]
    assert rows("bronze.stg_climate_entries") == [40, 0, 0]

    mart = "marts/mrt_climate_overview"
    assert typist.follows("sql", "select * from marts.mrt_climate_overview") == [
        f"millpond materialize {mart}",
        f'millpond materialize "*{mart}"',
    ]
    (command,) = typist.is_advised("sql", "select * from gold.nothing")
    assert "gold.mrt_climate_overview" in typist.types(command)
    typist.types("millpond branch create dev")
    (publish,) = typist.is_advised("sql", "--ref", "dev", "select * from marts.mrt_climate_overview")
    assert publish == "millpond materialize group:marts --ref dev"


@pytest.mark.slow
def test_what_stands_in_the_way_of_a_branch_goes_by_what_is_advised(home: object, typist: Typist) -> None:
    write({0: [1], 1: [1]})
    typist.types("millpond sql --ref main 'select 1'")
    assert typist.follows("env", "--ref", "dev") == ["millpond branch create dev"]
    assert typist.follows("branch", "create", "dev") == ["millpond branch drop dev"]
    refs.create("more", base="dev")
    assert typist.follows("branch", "drop", "dev") == ["millpond branch drop more"]
    for words in (("create", "main"), ("drop", "main"), ("merge", "gone")):
        (listing,) = typist.is_advised("branch", *words)
        assert "main" in typist.types(listing)

    refs.create("dev")
    write({0: [2]}, ref="dev")
    write({0: [3]})
    for command in typist.is_advised("branch", "merge", "dev"):
        typist.types(command)
    assert ([ref.name for ref in refs.list_refs()], found()) == (["main"], {0: [3], 1: [1]})

    refs.create("audit_1", run_id="run-1")
    write({0: [4]}, ref="audit_1")
    refs.keep("audit_1", "check has_key of readings failed for 1 row")
    (force,) = typist.is_advised("branch", "merge", "audit_1")
    typist.types(force)
    assert found() == {0: [4], 1: [1]}


@pytest.mark.slow
def test_another_time_zone_or_another_source_is_refused_until_what_is_advised_is_done(
    source: FakeSource, typist: Typist, configure: Callable[..., Settings]
) -> None:
    load = ("materialize", RAW, "-p", NEWEST)
    typist.types(shlex.join(["millpond", *load]))
    configure(timezone="Europe/Berlin")
    code, _, err = typist.run(*load)
    name, _, value = re.findall(r"set (\w+)(=)(\S+) again", err)[0]
    assert (code, name) == (2, "MILLPOND_TIMEZONE")
    configure(timezone=value)
    typist.types(shlex.join(["millpond", *load]))
    with fake_source() as other:
        other.serve = source.serve
        configure(greenhouse_url=other.url)
        assert typist.follows(*load) == ["millpond sources moved greenhouse"]
        assert other.requests
        host = breaker.host_of(other.url)
        for _ in range(settings().breaker_failures):
            breaker.record_failure(host, SourceUnreachable("HTTP 503"), "greenhouse", [])
        assert typist.follows(*load) == [f"millpond sources reset {host}"]
        listed = json.loads(typist.types("millpond sources list --json"))
        assert {each["state"] for each in listed} == {"healthy"}


def test_a_backfill_goes_on_or_ends_by_what_is_advised(source: FakeSource, typist: Typist) -> None:
    from millpond.definitions import defs

    assert "no backfills in this home" in typist.types(*typist.is_advised("backfill", "--resume"))
    with open_instance() as recorded:
        plan = make_plan(RAW, DAYS, instance=recorded, definitions=defs, ref="main")
    backfill = ledger.create(plan, {})
    shown, cancelled = typist.is_advised("backfill", RAW, "--partitions", NEWEST)
    assert backfill in typist.types(shown)
    assert "cancel" in cancelled
    ledger.end(backfill, ledger.BackfillState.INTERRUPTED, 0.0)
    assert "cancel" in typist.types(cancelled)

    other = ledger.create(plan, {})
    ledger.end(other, ledger.BackfillState.INTERRUPTED, 0.0)
    assert other in typist.types("millpond backfill list")
    (resume,) = advised(typist.types(f"millpond backfill show {other}"))
    typist.types(resume)
    assert rows("raw.climate_entries") == [40, 40, 40]


def test_a_paused_home_is_resumed_and_an_open_alert_closed_by_what_is_advised(
    home: object, typist: Typist
) -> None:
    typist.types("millpond automation pause")
    (resume,) = [c for c in advised(typist.types("millpond automation list")) if "resume" in c]
    assert resume in typist.types("millpond status", code=1)
    typist.types(resume)
    assert "paused since" not in typist.types("millpond automation list")

    put(Alert(kind="tick_failed", source="tick:1", dedup_key="tick:1", title="sensor x fails"))
    ((alert, _),) = list_alerts(everything=False, kind=None, limit=10)
    (close,) = [c for c in advised(typist.types(f"millpond alerts show {alert.id}")) if "close" in c]
    typist.types(close)
    assert "no alert is open" in typist.types("millpond alerts list")
    listing, *_ = typist.is_advised("alerts", "show", "999999")
    assert "sensor x fails" in typist.types(listing)


@pytest.mark.slow
def test_the_next_step_of_each_kind_of_alert_can_be_typed(source: FakeSource, typist: Typist) -> None:
    assert not load_days(DAYS[0], DAYS[-1]).failed
    commands = set()
    for kind in KINDS:
        one = Alert(kind=kind, source=kind, dedup_key=kind, title=kind, assets=(RAW,), partition=NEWEST)
        commands |= set(advised(one.next_step))
    assert len(commands) >= 5
    for command in sorted(commands):
        code, out, err = typist.run(*shlex.split(command)[1:])
        assert code == (command == "millpond status"), f"{command}\n{out}{err}"
