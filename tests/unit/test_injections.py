"""What comes from outside is text wherever it goes: in SQL, paths, YAML, HTML, messages, a terminal."""

from __future__ import annotations

import ast
import datetime as dt
import re
from collections.abc import Callable
from email.message import EmailMessage
from functools import cache
from pathlib import Path

import duckdb
import pytest
import yaml
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from millpond.alerts.alert import Alert
from millpond.alerts.channels import email, slack
from millpond.alerts.message import Message
from millpond.alerts.routing import read_routing
from millpond.automation.waits import read_waits
from millpond.cli.doc_pages import find_doc
from millpond.cli.output import format_cell, show_controls
from millpond.dashboard.filters import Choices, parse_filters
from millpond.errors import ConfigError, PartitionKeyError
from millpond.ingestion import reading
from millpond.ingestion.reading import read_source
from millpond.naming import dagster_name, identifier, literal, marts_schema, quoted, ref_name, table_name
from millpond.partitions import Window, parse_day, parse_windows
from millpond.settings import Settings
from millpond.transform.invocation import get_variables
from millpond.yaml_text import LOADER

SOURCE = Path(__file__).parents[2] / "src" / "millpond"
HOSTILE = (
    'x"; drop table lake_refs; --',
    "x'; drop table lake_refs; --",
    "../../etc/passwd",
    "/etc/passwd",
    "a b",
    "x\n",
    "x\x00",
    "<script>alert(1)</script>",
    "{{ env_var('HOME') }}",
    "$(id)",
    "x;id",
    "",
)


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize(
    "check", [identifier, ref_name, marts_schema, lambda name: table_name(f"raw.{name}")]
)
def test_a_name_of_a_table_ref_or_schema_is_an_identifier_or_refused(
    name: str, check: Callable[[str], object]
) -> None:
    with pytest.raises(ConfigError):
        check(name)


@pytest.mark.parametrize("text", [*HOSTILE, *(f"2026-11-01{each}" for each in HOSTILE if each)])
@pytest.mark.parametrize("parse", [parse_day, Window.parse, lambda text: parse_windows(text or "x")])
def test_a_partition_key_is_a_day_or_days_or_refused(text: str, parse: Callable[[str], object]) -> None:
    with pytest.raises(PartitionKeyError):
        parse(text)


@pytest.mark.parametrize("text", [each for each in HOSTILE if each])
@pytest.mark.parametrize("name", ["timezone", "start_date"])
def test_a_setting_that_dbt_renders_as_a_variable_has_no_jinja(
    configure: Callable[..., Settings], name: str, text: str
) -> None:
    assert get_variables(configure()).keys() == {"timezone", "start_date"}
    if "\x00" not in text:  # which no environment can hold
        with pytest.raises(ConfigError):
            configure(**{name: text})


@pytest.mark.parametrize("name", HOSTILE)
def test_names_that_dagster_gets_hold_letters_digits_and_underscores(name: str) -> None:
    assert dagster_name(name).replace("_", "a").isalnum() or name == ""


@hypothesis_settings(max_examples=40)
@given(st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=40))
def test_text_in_a_statement_stays_text(text: str) -> None:
    assert duckdb.execute(f"select {literal(text)}").fetchone() == (text,)
    if text:
        cursor = duckdb.execute(f"select 1 as {quoted(text)}")
        assert [each[0] for each in cursor.description or ()] == [text]


@pytest.mark.parametrize(
    "path", ["../pyproject.toml", "../../../etc/passwd", "/etc/passwd", "img/../../.env"]
)
def test_the_documentation_serves_its_own_files_alone(path: str) -> None:
    assert find_doc(path) is None


@pytest.mark.parametrize(
    "text",
    [
        "!!python/object/apply:os.system ['true']",
        "source: !!python/name:os.system",
        "source: shop\nrest: { url: '{{ env_var(\"HOME\") }}' }",
        "source: shop\nsource: other",
    ],
)
def test_a_source_is_plain_yaml_without_tags_templates_or_a_key_twice(text: str, tmp_path: Path) -> None:
    file = tmp_path / "shop.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError):
        read_source(file)


def test_a_source_that_is_a_link_to_elsewhere_is_refused(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "shop.yaml").write_text("source: shop")
    (tmp_path / "sources").mkdir()
    link = tmp_path / "sources" / "shop.yaml"
    link.symlink_to(tmp_path / "outside" / "shop.yaml")
    with pytest.raises(ConfigError, match="link to a place outside"):
        read_source(link)


_TELLING = re.compile(r"\b(eval|exec|system|popen|pickle|yaml|shell)\b")


@cache
def _calls() -> list[tuple[str, ast.Call]]:
    return [
        (f"{file.relative_to(SOURCE)}:{node.lineno}", node)
        for file in SOURCE.rglob("*.py")
        if "project/files" not in str(file) and _TELLING.search(text := file.read_text())
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Call)
    ]


def test_nothing_of_ours_runs_text_or_reads_it_as_objects() -> None:
    refused = {"eval", "exec", "os.system", "os.popen", "yaml.unsafe_load", "yaml.full_load", "pickle.loads"}
    found = [
        where
        for where, call in _calls()
        if ast.unparse(call.func) in refused
        or any(each.arg == "shell" and ast.unparse(each.value) == "True" for each in call.keywords)
    ]
    assert found == []
    loaders = {
        ast.unparse(call.args[-1] if len(call.args) > 1 else call.keywords[-1].value)
        for _, call in _calls()
        if ast.unparse(call.func) == "yaml.load"
    }
    assert loaders == {"loader"}, "of `load_yaml`"
    for loader in (reading._UniqueKeys, LOADER):
        assert issubclass(loader, yaml.SafeLoader | yaml.CSafeLoader)


def _alias_bomb() -> str:
    levels = [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    return "\n".join(["a0: &a0 x", *levels])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (_alias_bomb(), "more than 500,000 values"),
        ("source: &a [*a]", "is a part of itself"),
        ("source: " + "[" * 200_000, "nested more than 50 deep"),
        ("- " * 20_000 + "x", "nested more than 50 deep"),
    ],
    ids=["aliases", "cycle", "brackets", "dashes"],
)
def test_yaml_that_would_grow_beyond_all_bounds_is_refused_at_once(
    text: str, words: str, tmp_path: Path, configure: Callable[..., Settings]
) -> None:
    for name in ("shop.yaml", "alerts.yaml", "waits.yaml"):
        (tmp_path / name).write_text(text)
    configured = configure(project=tmp_path, alerts_file=Path("alerts.yaml"))
    reads: list[Callable[[], object]] = [
        lambda: read_source(tmp_path / "shop.yaml"),
        lambda: read_routing(configured),
        lambda: read_waits(configured),
    ]
    for read in reads:
        with pytest.raises(ConfigError, match=words):
            read()


@pytest.mark.parametrize(
    "given", [{"source": [each]} for each in HOSTILE] + [{"days": ["7; drop"]}, {"from": ["' or 1=1"]}]
)
def test_an_address_of_the_dashboard_chooses_among_what_is_there(given: dict[str, list[str]]) -> None:
    choices = Choices(source=("shop",), layer=("raw",), owner=("team:shop",))
    found = parse_filters(given, dt.date(2026, 11, 1), choices)
    assert found.filters.source == ()
    assert found.hints or given == {"source": [""]}


@pytest.mark.parametrize("text", ["\x1b[31mred", "\x9b2J", "a\rb", "\x07", "\u202eevil", "\x1b]0;title\x07"])
def test_a_value_does_not_control_the_terminal(text: str) -> None:
    shown = format_cell(text).plain
    assert not any(ord(each) < 32 or 127 <= ord(each) < 160 or each == "\u202e" for each in shown)
    assert show_controls("two\nlines\tand ä") == "two\nlines\tand ä"


def _find_markdown(node: object) -> list[str]:
    """Return the texts of a document that Slack reads as Markdown."""
    if isinstance(node, list):
        return [text for each in node for text in _find_markdown(each)]
    if not isinstance(node, dict):
        return []
    own = [str(node["text"])] if node.get("type") == "mrkdwn" else []
    return own + [text for each in node.values() for text in _find_markdown(each)]


def _message() -> Message:
    hostile = "<script>alert(1)</script> <!channel> <http://evil.example|here> ``` *b*"
    alert = Alert(
        "check_failed", "event:1", "k", title=hostile, reason=hostile, assets=(hostile,), owners=(hostile,)
    )
    return Message("1", "tell", (alert,), "k")


def test_a_text_in_a_mail_is_no_html_and_in_slack_no_mention_or_link() -> None:
    page = email._format_html(_message())
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    blocks = slack.build_blocks(_message())
    marked = [blocks["text"], *_find_markdown(blocks["blocks"])]
    assert len(marked) > 3
    assert not [text for text in marked if "<!channel>" in text or "<http://evil" in text]


def test_a_line_break_in_a_title_makes_no_header_of_a_mail() -> None:
    mail = EmailMessage()
    alert = Alert("check_failed", "event:1", "k", title="x\r\nBcc: evil@example.org", reason="y")
    mail["Subject"] = Message("1", "tell", (alert,), "k").subject(200)
    assert mail["Bcc"] is None
    assert "\n" not in mail["Subject"]
