"""A spec in sources/ is read as it is written, and every mistake in it is answered with place and example."""

from __future__ import annotations

import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import yaml

from millpond.errors import ConfigError
from millpond.ingestion.reading import find_table, load_sources, read_source
from millpond.settings import Settings, settings

SPEC = """
source: shop
rest: { base_url: "{url}" }
tables:
  - name: orders
    key: [id]
    event_time: { column: at, unit: iso }
    endpoint: { path: orders }
    window: { params: { since: "{start_iso}", until: "{end_iso}" } }
    columns:
      id: { type: string, required: true }
      at: { type: timestamp }
      state: { type: string, allowed: [open, done] }
      total: { type: number, min: 0, required_when: "state = 'done'" }
"""


def read(folder: Path, text: str, name: str = "shop.yaml") -> Any:
    file = folder / "sources" / name
    file.parent.mkdir(exist_ok=True)
    file.write_text(text)
    return read_source(file)


def changed(path: str, value: Any) -> str:
    spec = yaml.safe_load(SPEC)
    node, (*parents, last) = spec, path.split("/")
    for key in parents:
        node = node[int(key) if isinstance(node, list) else key]
    node[last] = value
    return yaml.safe_dump(spec)


def test_the_shipped_sources_are_read_with_their_tables_and_assets() -> None:
    sources = load_sources(settings())
    assert [s.source for s in sources] == ["greenhouse", "market"]
    assert [t.asset for s in sources for t in s.tables] == ["dlt_climate_entries", "dlt_market_events"]
    source, index = find_table(sources, "dlt_climate_entries")
    table = source.tables[index]
    assert (table.raw_table, table.quarantine_table) == ("raw.climate_entries", "quarantine.climate_entries")


def test_an_unknown_table_is_refused_naming_those_there_are() -> None:
    with pytest.raises(ConfigError) as caught:
        find_table(load_sources(settings()), "climate")
    assert "climate_entries, market_events" in caught.value.next_step


MISTAKES: list[tuple[str, Any, str, str]] = [
    ("tables/0/colums", {}, "tables[0].colums: there is nothing called 'colums'", "did you mean columns?"),
    (
        "tables/0/columns/total/mim",
        1,
        "tables[0].columns.total.mim: there is nothing called",
        "did you mean min?",
    ),
    ("tables/0/columns/total/type", "float", "tables[0].columns.total.type", "type: int"),
    ("tables/0/columns/total/min", 5000, "", ""),
    ("tables/0/columns/total/max", -1, "min 0 is above max -1", ""),
    ("tables/0/columns/state/min", 1, "min and max need type int or number, not string", ""),
    ("tables/0/columns/id/allowed", [False], "tables[0].columns.id.allowed", ""),
    (
        "tables/0/columns/total/required_when",
        "stat = 'done'",
        "is no condition over the columns",
        "required_when",
    ),
    ("tables/0/columns/id/on_bad", None, "a required value cannot become null", "on_bad: quarantine"),
    ("tables/0/columns/at/on_bad", None, "at is the event_time: a bad value of it cannot become null", ""),
    ("tables/0/columns/total/on_bad", "ignore", "tables[0].columns.total.on_bad", "on_bad: null"),
    ("tables/0/columns/total/no_value", {}, "no_value names no code", "no_value: { below: 20 }"),
    (
        "tables/0/columns/total/no_value",
        {"at_least": 0},
        "needs a larger no_value.below",
        "at_least: 0, below: 20",
    ),
    ("tables/0/columns/state/no_value", {"below": 1}, "need type int or number", "no_value: [n/a]"),
    ("tables/0/columns/id/no_value", ["-"], "the column id is the key: it cannot have codes", ""),
    ("tables/0/columns/total/required_when", "state", "is neither true nor false", ""),
    ("tables/0/columns/total/required_when", "true) or (select 1", "is no condition", ""),
    (
        "tables/0/columns/total/required_when",
        "exists (select 1 from read_csv('/etc/passwd'))",
        "subquery is not allowed",
        "",
    ),
    ("tables/0/columns/total/required_when", "1 = 1; drop table x", "is no condition", ""),
    ("tables/0/name", 'x";drop', "is not a valid identifier", "name: glucose_entries"),
    ("tables/0/name", "../etc", "is not a valid identifier", ""),
    ("tables/0/name", 5, "tables[0].name", ""),
    ("tables/0/key", ["nr"], "key names the column nr, which columns does not declare", ""),
    ("tables/0/key", [], "tables[0].key", "key: [_id]"),
    ("tables/0/version", "updated", "version names the column updated", ""),
    ("tables/0/event_time/column", "when", "event_time names the column when", ""),
    ("tables/0/event_time/unit", "ms", "event_time of unit ms needs a column of type int or number", ""),
    ("tables/0/event_time/unit", "us", "tables[0].event_time.unit", "unit: ms"),
    ("tables/0/endpoint/path", "../admin", "must be a relative path", "path: api/v1/entries.json"),
    ("tables/0/endpoint/path", "https://elsewhere.example/x", "must be a relative path", ""),
    ("tables/0/endpoint/path", "{{ env.HOME }}", "templates are not evaluated here", "single braces"),
    ("tables/0/endpoint/params", {"q": "{secret}"}, "unknown placeholder {secret}", ""),
    ("tables/0/endpoint/params", {"q": "{token.__class__}"}, "unknown placeholder", ""),
    ("tables/0/endpoint/params", {"q": "{token!r}"}, "unknown placeholder", ""),
    ("tables/0/endpoint/paginator", {"type": "scroll"}, "there is no paginator 'scroll'", ""),
    ("tables/0/endpoint/paginator", {"type": "offset", "limits": 1}, "offset has no option 'limits'", ""),
    (
        "tables/0/endpoint/paginator",
        {"type": "page_number", "base_page": "1"},
        "not a whole number from 0",
        "",
    ),
    ("tables/0/endpoint/paginator", {"type": "offset", "limit": 0}, "limit is 0, not a whole number", ""),
    ("tables/0/endpoint/paginator", {"type": "cursor", "cursor_path": 7}, "cursor_path is 7, not a text", ""),
    (
        "tables/0/endpoint/paginator",
        {"type": "json_link", "missing_means_end": "no"},
        "not true or false",
        "",
    ),
    (
        "tables/0/endpoint",
        {"path": "x", "single_object": True, "paginator": {"type": "cursor"}},
        "single_page",
        "",
    ),
    ("tables/0/endpoint/paginator", {"type": "newest_first"}, "needs page", ""),
    ("tables/0/page", {"param": "n", "size": 9, "most": 5}, "most is less than size", "most: 9"),
    ("tables/0/page", {"param": "n", "size": 9, "most": 50}, "page.most is for", ""),
    ("tables/0/window", {}, "needs either params", "reach: { rows: 300, days: 90 }"),
    ("tables/0/window/params", {"since": "{start}"}, "unknown placeholder {start}", ""),
    ("tables/0/window/parallel", 0, "tables[0].window.parallel", "parallel: 4"),
    ("tables/0/quarantine", {"fail_above": 20}, "tables[0].quarantine.fail_above", "fail_above: 0.2"),
    ("tables/0/freshness", {"warn": "1 hour", "fail": "2h"}, "is no duration", "warn: 1h"),
    ("tables/0/freshness", {"warn": "3h", "fail": "2h"}, "warn must not be longer than fail", ""),
    ("tables/0/cadence", {"cron": "hourly"}, "tables[0].cadence.cron", "0 * * * *"),
    ("tables/0/news", {"every": "5s", "params": {"sort": "desc"}}, "every must be ten seconds or longer", ""),
    ("tables/0/news", {"every": "5m"}, "lists the newest rows first", "news: { params: { sort: desc } }"),
    ("tables/0/news", {"params": {"since": "{start_ms}"}}, "unknown placeholder {start_ms}", ""),
    ("tables/0/owner", "health", "tables[0].owner", "owner: team:health"),
    ("tables/0/columns/_run_id", {}, "_run_id is a name that Millpond uses itself", ""),
    ("tables/0/columns/__x", {}, "__x is a name that Millpond uses itself", ""),
    ("tables/0/columns/State", {}, "name 'State' is not a valid identifier", ""),
    ("tables/0/columns/code", {"field": "STATE"}, "differ only by case", ""),
    ("tables/0/columns/code", {"field": "state"}, "two columns take the field 'state'", ""),
    ("tables/0/columns/code", {"field": "sta te"}, "differ only by case, blanks or composition", ""),
    ("rest/base_url", "ftp://x", "must start with {url}, http:// or https://", 'base_url: "{url}"'),
    ("rest/auth", {"type": "bearer", "token": "abc123"}, "must take its secret from the environment", ""),
    ("rest/auth", {"type": "oauth"}, "rest.auth", "type: bearer"),
    ("source", "store", "source is 'store', the file's name says 'shop'", ""),
]


@pytest.mark.parametrize(
    ("path", "value", "reason", "example"), MISTAKES, ids=[f"{m[0]}={m[1]}" for m in MISTAKES]
)
def test_a_mistake_is_answered_with_file_place_reason_and_example(
    tmp_path: Path, path: str, value: Any, reason: str, example: str
) -> None:
    if not reason:
        read(tmp_path, changed(path, value))
        return
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, changed(path, value))
    assert re.match(r"sources/shop\.yaml(:\d+)?: ", caught.value.what)
    assert reason in caught.value.what
    assert example in caught.value.next_step
    assert caught.value.next_step


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "declares nothing"),
        ("just text", "declares nothing"),
        ("source: [", "is no YAML"),
        ("source: shop\nsource: shop\n", "'source' is given twice"),
        (SPEC + "      id: { type: int }\n", "'id' is given twice"),
        (SPEC + "  - name: orders\n    key: [id]\n", "tables[1]"),
        ("!!python/object/apply:os.system ['true']", "is no YAML"),
        (
            SPEC.replace("name: orders", "name: orders\n    description: '{{ x }}'"),
            "templates are not evaluated",
        ),
    ],
)
def test_a_file_that_is_no_spec_is_refused(tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=r"sources/shop\.yaml") as caught:
        read(tmp_path, text)
    assert reason in caught.value.what


def test_a_table_name_belongs_to_one_source_only(tmp_path: Path, configure: Callable[..., Settings]) -> None:
    folder = tmp_path / "sources"
    folder.mkdir()
    (folder / "shop.yaml").write_text(SPEC)
    (folder / "store.yaml").write_text(SPEC.replace("source: shop", "source: store"))
    with pytest.raises(
        ConfigError, match=r"store.yaml(.|\n)*the table orders is declared by sources/shop.yaml"
    ):
        load_sources(configure(project=tmp_path))


def test_sources_of_one_name_in_two_folders_are_refused_with_both_files(
    tmp_path: Path, configure: Callable[..., Settings]
) -> None:
    (tmp_path / "pyproject.toml").write_text('[tool.millpond]\nsources = ["sources", "more"]\n')
    for folder in ("sources", "more"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "shop.yaml").write_text(SPEC)
    with pytest.raises(ConfigError, match=r"sources/shop.yaml(.|\n)*more/shop.yaml declares the source shop"):
        load_sources(configure(project=tmp_path))
    (tmp_path / "more" / "shop.yaml").rename(tmp_path / "more" / "store.yaml")
    second = SPEC.replace("source: shop", "source: store").replace("name: orders", "name: others")
    (tmp_path / "more" / "store.yaml").write_text(second)
    assert [source.source for source in load_sources(configure(project=tmp_path))] == ["shop", "store"]


def test_a_link_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "sources").mkdir()
    (tmp_path / "outside.yaml").write_text(SPEC)
    (tmp_path / "sources" / "shop.yaml").symlink_to(tmp_path / "outside.yaml")
    with pytest.raises(ConfigError, match="link to a place outside"):
        read_source(tmp_path / "sources" / "shop.yaml")


def test_a_python_file_declares_the_same(tmp_path: Path) -> None:
    code = "import yaml\nfrom millpond.ingestion.spec import SourceSpec\n"
    code += f"source = SourceSpec(**yaml.safe_load({SPEC!r}))"
    assert read(tmp_path, code, "shop.py") == read(tmp_path, SPEC)


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("x = 1", "defines no `source`"),
        ("1 / 0", "fails on import: ZeroDivisionError"),
        ("from millpond.ingestion.spec import SourceSpec\nSourceSpec(source='shop')", "at tables"),
    ],
)
def test_a_python_file_that_declares_nothing_is_refused(tmp_path: Path, code: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=r"sources/shop\.py") as caught:
        read(tmp_path, code, "shop.py")
    assert reason in caught.value.what


def test_threads_that_read_one_spec_at_once_all_read_it(tmp_path: Path) -> None:
    (tmp_path / "shop.yaml").write_text(SPEC)
    with ThreadPoolExecutor(8) as threads:
        read_at_once = list(threads.map(read_source, [tmp_path / "shop.yaml"] * 200))
    assert {source.source for source in read_at_once} == {"shop"}


@pytest.mark.parametrize(
    ("before", "after", "line", "near"),
    [
        ("key: [id]", "keyz: [id]", 6, "did you mean key?"),
        ("min: 0,", "mim: 0,", 14, "did you mean min?"),
        ("unit: iso", "unit: isoo", 7, "did you mean iso?"),
        ("type: number", "type: numbr", 14, "did you mean number?"),
        ("key: [id]", "key: [idd]", 6, "did you mean id?"),
        ("type: string, required", "type: strin, required", 11, "did you mean string?"),
        ("path: orders", "path: '{{ x }}'", 8, ""),
        ("columns:", "columns: [", 12, ""),
    ],
)
def test_a_mistake_is_answered_with_its_line_and_what_was_meant(
    tmp_path: Path, before: str, after: str, line: int, near: str
) -> None:
    assert before in SPEC
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, SPEC.replace(before, after, 1))
    assert caught.value.what.startswith(f"sources/shop.yaml:{line}: ")
    assert near in caught.value.next_step


def test_a_mistake_in_a_python_file_is_answered_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"sources/shop\.py:3: fails on import: KeyError"):
        read(tmp_path, "x = {}\n\nx['a']\n", "shop.py")
    code = "from millpond.ingestion.spec import SourceSpec\n\nsource = SourceSpec(source='shop')\n"
    with pytest.raises(ConfigError, match=r"sources/shop\.py:3: at tables"):
        read(tmp_path, code, "shop.py")
