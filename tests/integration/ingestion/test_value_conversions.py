"""A value is converted as its column declares: fractions, codes for no value, texts, charsets."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from fake_source import DAY, GOOD, Answer, Entries, FakeSource, reading
from millpond.ingestion.columns import NoValue
from millpond.ingestion.window import Quarantine
from source_tables import load_days, quarantined, raw, table_of


def test_fractions_are_rounded_as_the_column_says_times_down_and_values_to_the_nearest(
    server: FakeSource,
) -> None:
    at = reading(0)["date"]
    sent = [
        ("a", {"date": at + 0.9}),
        ("b", {"date": at + 1.5}),
        ("c", {"lux": 120.6}),
        ("d", {"lux": "120.5"}),
    ]
    sent += [("e", {"lux": 120.4}), ("f", {"lux": 1000.4}), ("g", {"lux": 0.0})]
    bad = [("h", {"lux": 19.6}), ("i", {"lux": 0.5}), ("j", {"lux": 1000.6})]
    last = reading(287)["date"] + 299_999.9997
    server.serve = Entries(
        [*GOOD, *(reading(5, _id=key, **c) for key, c in sent + bad), reading(287, date=last)]
    )
    (day,) = load_days(DAY, quarantine=Quarantine(fail_above=1)).partitions
    found = {row["_id"]: row for row in raw()}
    assert [found[key]["date"] - at for key in "ab"] == [0, 1]
    assert [found[key]["lux"] for key in "cdefg"] == [121, 121, 120, 1000, None]
    assert found[reading(287)["_id"]]["date"] == int(last)
    assert day.no_value == {"lux": 1}
    reasons = Counter(quarantined("reason"))
    assert reasons == {"lux is no whole number": 2, "lux is above 1000": 1}


def test_codes_for_no_value_are_neither_values_nor_bad_rows(server: FakeSource) -> None:
    columns = table_of("climate_entries")[1].columns
    spec = columns["lux"].model_copy(update={"no_value": NoValue(below=20, values=("WARMUP", -1))})
    codes = [0, 12, "WARMUP", -1, "5"]
    server.serve = Entries(GOOD + [reading(n, lux=code) for n, code in enumerate([*codes, 20, None])])
    (day,) = load_days(DAY, columns={**columns, "lux": spec}).partitions
    assert (day.rows_loaded, day.rows_quarantined) == (len(GOOD) + 6, 1)
    assert (day.no_value, day.nulled) == ({"lux": 5}, {})
    assert raw("lux")[:6] == [None] * 5 + [20]
    assert quarantined("reason") == ["lux is missing"]


@pytest.mark.parametrize(
    ("kind", "codes", "sent", "loaded"),
    [
        ("int", NoValue(at_least=0, below=20), [-7, 5.7, 0, 19, 19.0, 20], [None, None, None, 20]),
        ("int", NoValue(below=20), [-7, 5.7, -0.5, 19.5, 20], [None, 20]),
        ("int", NoValue(above=400), [400, 400.5, 401], [400, None]),
        ("number", NoValue(at_least=0, below=20), [-7, 5.7, 0, 20.5], [None, None, 20.5]),
        ("number", NoValue(above=400), ["inf", "nan", 400.5, 400], [None, 400]),
    ],
)
def test_only_values_of_the_columns_type_within_the_bounds_are_codes(
    server: FakeSource, kind: str, codes: NoValue, sent: list[object], loaded: list[object]
) -> None:
    columns = table_of("climate_entries")[1].columns
    spec = columns["lux"].model_copy(update={"no_value": codes, "type": kind, "min": 1})
    server.serve = Entries(GOOD + [reading(n, lux=value) for n, value in enumerate(sent)])
    (day,) = load_days(DAY, columns={**columns, "lux": spec}).partitions
    assert raw("lux")[: len(loaded)] == loaded
    assert day.rows_quarantined == len(sent) - len(loaded)
    assert day.no_value_codes == loaded.count(None)


def test_a_value_written_as_text_or_with_a_zero_fraction_is_still_that_value(server: FakeSource) -> None:
    server.serve = Entries([reading(0, lux="123"), reading(1, lux=124.0), reading(2, filtered="1e3")])
    load_days(DAY)
    assert [(r["lux"], r["filtered"]) for r in raw()] == [(123, None), (124, None), (102, 1000.0)]


@pytest.mark.parametrize("charset", ["utf-8", "utf-16", "utf-32-be"])
def test_a_list_laid_out_for_people_is_loaded_whole_in_any_charset(server: FakeSource, charset: str) -> None:
    rows = [reading(n, device="Zażółć 😀", big=10**400) for n in range(5)]
    body = ("\r\n\t" + json.dumps(rows, indent=2, ensure_ascii=False)).encode(charset)
    server.serve = lambda _: Answer(body, headers={"Content-Type": f"application/json; charset={charset}"})
    (day,) = load_days(DAY).partitions
    assert (day.rows_loaded, day.rows_quarantined, raw("device")) == (5, 0, ["Zażółć 😀"] * 5)


def test_texts_of_all_scripts_come_back_as_they_were_sent(server: FakeSource) -> None:
    texts = [
        "Zażółć",
        "e\u0301",
        "\u00e9",
        "😀👩‍👩‍👧",
        "שלום",
        "a\\u0000b",
        'quote " and \\',
        "line\nbreak",
        "},{",
    ]
    server.serve = Entries([reading(n, device=text) for n, text in enumerate(texts)])
    load_days(DAY)
    assert raw("device") == texts
    assert quarantined() == []


@pytest.mark.parametrize(
    ("rounding", "loaded"),
    [
        (None, ["1.10", "2.00", "-3.45", "150.00", None, None, None]),
        ("nearest", ["1.10", "2.00", "-3.45", "150.00", "10.56", "0.13", "123.46"]),
    ],
)
def test_more_decimals_than_a_column_has_are_no_value_of_its_type_unless_it_is_rounded(
    server: FakeSource, rounding: str | None, loaded: list[str | None]
) -> None:
    columns = table_of("climate_entries")[1].columns
    new = {"type": "decimal(18,2)", "min": None, "max": None, "no_value": None, "on_bad": "null"}
    spec = columns["lux"].model_copy(update={**new, "required_when": None, "round": rounding})
    sent = ["1.1", 2.000, -3.45, "1.5e2", "10.555", 0.125, "1.23456e2"]
    server.serve = Entries(GOOD + [reading(n, lux=value) for n, value in enumerate(sent)])
    (day,) = load_days(DAY, columns={**columns, "lux": spec}).partitions
    assert [None if value is None else f"{value}" for value in raw("lux")[: len(sent)]] == loaded
    assert day.nulled == ({"lux is no decimal(18,2)": 3} if rounding is None else {})
