"""A source may be a Python file: what its resource yields is loaded, and what it raises fails the days."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from database_tables import DAY, load_shop, orders, the_error
from millpond.errors import MillpondError, SourceMalformed, SourceRefused, SourceUnreachable
from millpond.ingestion.reading import read_source
from millpond.settings import Settings
from millpond.settings import settings as current

NOON = "2026-11-02T12:00:00Z"
SPEC = """
source = SourceSpec(source="shop", tables=[dict(
    name="orders", key=["id"], event_time=dict(column="at"), resource=orders,
    columns=dict(id="int", at="timestamp", amount=dict(type="decimal(10,2)", optional=True)),
)])
"""
HEAD = """
import asyncio, datetime as dt
from decimal import Decimal
import dlt, pyarrow as pa
from millpond.ingestion.spec import SourceSpec, SourceTable
AT = dt.datetime(2026, 11, 2, 12, tzinfo=dt.timezone.utc)
"""


@pytest.fixture
def load(home: object, configure: Callable[..., Settings]) -> Iterator[Callable[[str], object]]:
    file = current().project / "sources" / "shop.py"

    def write_and_load(code: str, spec: str = SPEC) -> object:
        file.write_text(HEAD + code + spec)
        configure(shop_url="https://shop.example.org", shop_user="reader", shop_token="0123456789-token")
        return load_shop(read_source(file))

    yield write_and_load
    file.unlink(missing_ok=True)


WAYS = {
    "a function that yields dicts": """
def orders():
    yield {"id": 1, "at": AT, "amount": Decimal("1.10")}
    yield {"id": 2, "at": AT, "amount": Decimal("2.50")}
""",
    "a function that returns a list": """
def orders():
    return [{"id": 1, "at": AT, "amount": Decimal("1.10")}, {"id": 2, "at": AT, "amount": Decimal("2.50")}]
""",
    "lists, None and empty lists": """
def orders():
    yield None
    yield []
    yield [{"id": 1, "at": AT, "amount": "1.10"}]
    yield None
    yield ({"id": 2, "at": AT, "amount": 2.5},)
""",
    "Arrow tables and batches": """
def orders():
    at, amount = pa.timestamp("us", "UTC"), pa.decimal128(10, 2)
    kind = pa.schema([("id", pa.int64()), ("at", at), ("amount", amount)])
    yield pa.Table.from_pylist([{"id": 1, "at": AT, "amount": Decimal("1.10")}], kind)
    yield pa.RecordBatch.from_pylist([{"id": 2, "at": AT, "amount": Decimal("2.50")}], kind)
""",
    "an Arrow table that is returned": """
def orders():
    return pa.table({"id": [1, 2], "at": [AT, AT], "amount": [Decimal("1.10"), Decimal("2.50")]})
""",
    "Arrow tables of different types": """
def orders():
    yield pa.table({"id": pa.array([1], pa.int8()), "at": ["2026-11-02 12:00:00"], "amount": ["1.10"]})
    yield pa.table({"at": [AT], "amount": [2.5], "id": pa.array(["2"])})
""",
    "a resource without parameters": """
@dlt.resource(primary_key="id", columns={"amount": {"data_type": "decimal"}})
def orders():
    yield [{"id": 1, "at": AT, "amount": Decimal("1.10")}, {"id": 2, "at": AT, "amount": Decimal("2.50")}]
""",
    "a resource with parameters": """
@dlt.resource(parallelized=True)
def orders(start, end, window, url, user, token, more=1):
    assert (start, end) == (AT.replace(hour=0), AT.replace(hour=0) + dt.timedelta(1))
    assert str(window.start) == "2026-11-02"
    assert (url, user, token) == ("https://shop.example.org", "reader", "0123456789-token")
    yield {"id": 1, "at": start, "amount": "1.10"}
    yield {"id": 2, "at": end - dt.timedelta(seconds=1), "amount": "2.50"}
""",
    "a resource with its arguments": """
@dlt.resource
def some(first):
    yield {"id": first, "at": AT, "amount": "1.10"}
    yield {"id": 2, "at": AT, "amount": "2.50"}
orders = some(1)
""",
    "an incremental resource": """
@dlt.resource
def orders(at=dlt.sources.incremental("at", initial_value=AT - dt.timedelta(1))):
    yield {"id": 0, "at": AT - dt.timedelta(2), "amount": 0}
    yield {"id": 1, "at": AT, "amount": "1.10"}
    yield {"id": 2, "at": AT, "amount": "2.50"}
""",
    "a transformer": """
@dlt.resource
def ids():
    yield [1, 2]
@dlt.transformer(data_from=ids)
def orders(items, start):
    for item in items:
        yield {"id": item, "at": start, "amount": {1: "1.10", 2: "2.50"}[item]}
""",
    "an asynchronous resource": """
@dlt.resource
async def orders():
    await asyncio.sleep(0)
    yield {"id": 1, "at": AT, "amount": "1.10"}
    yield {"id": 2, "at": AT, "amount": "2.50"}
""",
    "an asynchronous function": """
async def orders(start):
    yield {"id": 1, "at": AT, "amount": "1.10"}
    yield {"id": 2, "at": AT, "amount": "2.50"}
""",
    "a source with one resource": """
@dlt.source
def shop(start):
    rows = [{"id": 1, "at": start, "amount": "1.10"}, {"id": 2, "at": AT, "amount": "2.5"}]
    return dlt.resource(rows, name="a")
orders = shop
""",
    "a module of its own": """
from _shop_rows import rows
def orders():
    yield from rows(AT)
""",
}


@pytest.mark.parametrize("way", WAYS)
def test_rows_are_loaded_however_they_are_yielded(
    load: Callable[[str], object], way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "_shop_rows.py").write_text(
        "def rows(at):\n    yield {'id': 1, 'at': at, 'amount': '1.10'}\n"
        "    yield {'id': 2, 'at': at, 'amount': '2.50'}\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    for _ in range(2):  # the second time as the first
        result = load(WAYS[way])
        assert not result.failed, result.failed
        assert orders("id", "amount") == [
            {"id": 1, "amount": Decimal("1.10")},
            {"id": 2, "amount": Decimal("2.50")},
        ]
        assert orders("_partition_date") == [DAY, DAY]


@pytest.mark.parametrize(
    ("code", "error", "words"),
    [
        (
            'def orders():\n    yield {"id": 1, "at": AT}\n    raise ValueError("half way")\n',
            SourceMalformed,
            "sources/shop.py, line",
        ),
        (
            'def orders():\n    yield pa.table({"id": [1], "at": [AT]})\n    raise ValueError("half way")\n',
            SourceMalformed,
            "ValueError: half way",
        ),
        ('def orders():\n    raise ConnectionError("down")\n', SourceUnreachable, "down"),
        (
            '@dlt.resource\ndef orders():\n    yield 1\n    raise TimeoutError("late")\n',
            MillpondError,
            "orders",
        ),
        ("def orders():\n    yield 1\n", SourceRefused, "yields int"),
        ('def orders():\n    yield "row"\n', SourceRefused, "yields str"),
        ('def orders():\n    return {"id": 1, "at": object()}\n', SourceRefused, "object"),
        (
            'def orders():\n    yield {"id": 1, "at": AT}\n    yield pa.table({"id": [1]})\n',
            SourceRefused,
            "both dicts and Arrow",
        ),
        (
            'def orders():\n    yield pa.table({"id": [1]})\n    yield {"id": 1, "at": AT}\n',
            SourceRefused,
            "both dicts and Arrow",
        ),
        ("def orders(begin):\n    yield None\n", SourceRefused, "parameter begin"),
        ("@dlt.resource\ndef orders(start, begin):\n    yield 1\n", SourceRefused, "parameter begin"),
        (
            "import inspect\ndef orders():\n    return inspect.signature(lambda begin: 0).bind()\n",
            SourceMalformed,
            "missing a required argument: 'begin'",
        ),
        (
            'def orders(token):\n    raise ValueError(f"{token} refused")\n',
            SourceMalformed,
            "[redacted] refused",
        ),
        (
            '@dlt.source\ndef orders():\n    return [dlt.resource([1], name=n) for n in ("a", "b")]\n',
            SourceRefused,
            "2 resources",
        ),
    ],
)
def test_what_a_resource_does_wrong_fails_the_days_and_nothing_is_written(
    load: Callable[[str], object], code: str, error: type[MillpondError], words: str
) -> None:
    found = the_error(load(code))
    assert isinstance(found, error), found
    assert words in str(found)
    assert "shop.py" in str(found)
    assert orders() == []


def test_values_of_dicts_are_exact(load: Callable[[str], object]) -> None:
    code = """
def orders():
    more = {"n": 2**70, "d": dt.date(2026, 11, 2), "o": {"a": [1.5, None]}}
    yield {"id": 1, "at": AT, "b": b"\\x00\\xff", **more}
"""
    result = load(code)
    assert not result.failed, result.failed
    assert orders("b", "n", "d", "o") == [
        {"b": "AP8=", "n": str(2**70), "d": "2026-11-02", "o": '{"a":[1.5,null]}'}
    ]


def test_no_rows_make_an_empty_day(load: Callable[[str], object]) -> None:
    result = load("def orders():\n    return None\n")
    assert not result.failed, result.failed
    assert [found.rows_loaded for found in result.partitions] == [0]


def test_a_table_object_and_the_resources_of_dlt_may_be_given(
    load: Callable[[str], object], tmp_path: Path
) -> None:
    import sqlite3

    with sqlite3.connect(tmp_path / "shop.db") as connection:
        connection.execute("create table orders (id integer, at text, amount text)")
        connection.execute("insert into orders values (1, ?, '1.10')", (NOON,))
    (tmp_path / "orders.csv").write_text(f"id,at,amount\n1,{NOON},1.10\n")
    table = """
source = SourceSpec(source="shop", tables=[SourceTable.model_validate(dict(
    name="orders", key=["id"], event_time=dict(column="at"), resource=orders,
    columns=dict(id="int", at="timestamp", amount="decimal(10,2)"),
))])
"""
    for code in (
        f"""
from dlt.sources.sql_database import sql_table
orders = sql_table("sqlite:///{tmp_path}/shop.db", "orders", backend="pyarrow")
""",
        f"""
from dlt.sources.filesystem import filesystem, read_csv_duckdb
orders = filesystem("{tmp_path}", file_glob="*.csv") | read_csv_duckdb()
""",
    ):
        result = load(code, table)
        assert not result.failed, result.failed
        assert orders("id", "amount") == [{"id": 1, "amount": Decimal("1.10")}]
