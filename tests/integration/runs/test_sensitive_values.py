"""Whatever goes wrong with rows, a value of a sensitive column leaves the tables nowhere."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import dagster as dg
import psycopg
import pytest

from millpond.alerts.finders.asset_facts import AssetFacts
from millpond.alerts.finders.find import find_alerts
from millpond.alerts.routing import Routing
from millpond.instance.home import open_instance
from millpond.lake import read
from millpond.mcp.query import run_query
from millpond.runtime.databases import connect_superuser
from millpond.runtime.home import Home
from millpond.runtime.postmaster import find_server
from millpond.settings import Settings, settings
from small_projects import write_files
from typed_commands import Run, run, run_as_typed  # noqa: F401 - fixtures

CANARY = "ada-of-the-wood"
_SOURCE = """
source: crm
files: { url: FOLDER }
tables:
  - name: people
    key: [id]
    event_time: { column: at }
    files: { path: "people_{date}.csv", stable_after: 0s }
    quarantine: { fail_above: 0.4, fail_at_least: 1 }
    columns:
      id: { type: int }
      at: { type: timestamp }
      email: { type: string }
      phone: { type: string, optional: true }
      amount: { type: int, on_bad: quarantine }
"""
_MODELS = {
    "models/sources.yml": """
sources:
  - name: raw
    database: lake
    schema: raw
    tables:
      - name: people
        config: {meta: {dagster: {asset_key: [dlt_people]}}}
        columns: [{name: id}, {name: email, config: {meta: {sensitive: true}}}]
""",
    "models/people.sql": "select id, email, amount from {{ source('raw', 'people') }}",
    "models/people.yml": """
models:
  - name: people
    columns:
      - {name: id}
      - {name: amount}
      - name: email
        config: {meta: {sensitive: true}}
        data_tests: [{unique: {config: {severity: warn}}}]
  - name: cards
    config: {meta: {domain: cards}}
    columns: [{name: id, data_tests: [unique]}, {name: email, config: {meta: {sensitive: true}}}]
  - name: numbers
    config: {meta: {domain: numbers}}
  - name: spoken
    config: {meta: {domain: spoken}}
  - name: addresses
    config: {meta: {domain: addresses, publish: {key: [email]}}}
    columns: [{name: email, data_type: varchar, config: {meta: {sensitive: true}}}]
""",
    "models/cards.sql": "select 1 as id, email from {{ ref('people') }}",
    "models/numbers.sql": "select email::int as number from {{ ref('people') }}",
    "models/spoken.sql": "select error('who is ' || email) as words from {{ ref('people') }}",
    "models/addresses.sql": "select email from {{ ref('people') }}",
    "tests/nobody.sql": "{{ config(severity='warn', store_failures=true) }}"
    " select email as who, id from {{ ref('people') }}",
}
_HEAD = "id,at,email,phone,amount\n"


def _row(number: int, day: int, amount: str = "5") -> str:
    return f"{number},2026-11-0{day}T10:00:00Z,{CANARY}@x.org,,{amount}\n"


@pytest.fixture
def project(home: Home, configure: Callable[..., Settings], tmp_path: Path) -> Path:
    """A project whose files, models and mart are each wrong in another way."""
    drop = tmp_path / "drop"
    files = {
        "people_2026-11-01.csv": _HEAD + _row(1, 1) + _row(2, 1) + _row(3, 1) + _row(4, 1, CANARY),
        "people_2026-11-02.csv": _HEAD + _row(5, 2) + _row(6, 2, CANARY) + _row(7, 2, CANARY),
        "people_2026-11-03.csv": _HEAD + f'8,2026-11-03T10:00:00Z,"{CANARY}\n',
    }
    write_files(tmp_path, _MODELS)
    for name, text in {
        **{f"drop/{name}": text for name, text in files.items()},
        "sources/crm.yaml": _SOURCE.replace("FOLDER", str(drop)),
        "pyproject.toml": "[tool.millpond]\n",
        "dagster.yaml": (Path(__file__).parents[3] / "dagster.yaml").read_text(),
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    configure(project=tmp_path, start_date="2026-11-01", automation="false")
    return tmp_path


def _read_databases(home: Home) -> dict[str, str]:
    server = find_server(home)
    assert server is not None
    texts = {}
    for database in ("dagster", "lake"):
        with connect_superuser(home, server, database) as connection:
            for table in connection.execute(
                "select schemaname, tablename from pg_tables where tableowner like 'millpond%'"
            ).fetchall():
                query = psycopg.sql.SQL("select t::text from {} t").format(psycopg.sql.Identifier(*table))
                texts[f"{database} {table}"] = "\n".join(row for (row,) in connection.execute(query))
    return texts


@pytest.mark.slow
def test_a_sensitive_value_is_in_no_event_alert_log_or_page(
    project: Path,
    home: Home,
    run: Run,  # noqa: F811
    caplog: pytest.LogCaptureFixture,
) -> None:
    texts = {}

    def typed(*arguments: str) -> str:
        code, out, err = run(*arguments)
        texts[" ".join(arguments)] = f"{code}\n{out}\n{err}"
        return out + err

    typed("materialize", "dlt_people", "--partition", "2026-11-01")
    typed("materialize", "dlt_people", "--partition", "2026-11-02")
    typed("materialize", "dlt_people", "--partition", "2026-11-03")
    typed("materialize", "people")
    for name in ("cards", "numbers", "spoken", "addresses*"):
        typed("materialize", name)
    assert read.exists("main", "silver.people"), texts
    assert CANARY in str(read.scan("main", "quarantine.nobody").to_pylist())
    failed = {name for name in texts if not texts[name].startswith("0")}
    assert len(failed) == 6, failed
    texts["agent"] = json.dumps(run_query("select * from quarantine.nobody", "main", 10, 30))
    assert "who" in json.loads(texts["agent"])["hidden_columns"]["quarantine.nobody"]
    typed("sources", "preview", "people", "--day", "2026-11-01")
    typed("sources", "preview", "people", "--day", "2026-11-01", "--quarantined", "--json")
    typed("sources", "check", "crm", "--day", "2026-11-03")
    shown = typed("quarantine", "show", "people", "--json")
    assert "amount:type" in shown
    typed("quarantine", "replay", "people", "--partition", "2026-11-02")
    typed("sql", "select count(*) from silver.people")
    with open_instance() as instance:
        assert find_alerts(instance, settings(), Routing(quarantine_above=0), AssetFacts())
        runs = [run.run_id for run in instance.get_runs()]
        logs = [dg.serialize_value(event) for each in runs for event in instance.all_logs(each)]
    texts["events"] = json.dumps(logs)
    typed("alerts", "list")
    typed("report", "--partition", "2026-11-01", "--output", str(home.root / "report.html"))
    texts |= _read_databases(home)
    texts["log"] = caplog.text
    for file in home.root.rglob("*"):
        if file.is_file() and not {"postgres", "warehouse"} & {*file.parts}:
            texts[str(file)] = file.read_bytes().decode(errors="replace")
    found = {name: text for name, text in texts.items() if CANARY in text}
    around = {name: text[max(0, text.index(CANARY) - 300) :][:400] for name, text in found.items()}
    assert around == {}
    assert "check unique_people_email" in texts["events"]
    assert "(sensitive)" in texts["events"]
    assert "Conversion Error: (hidden, as numbers reads sensitive columns)" in texts["events"]
