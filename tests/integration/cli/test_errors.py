"""How errors leave the command line: in words, as JSON, with an exit code, and never as a traceback."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import pytest

from documented import commands
from millpond.cli.interrupts import is_interrupt
from millpond.cli.query import run_query
from millpond.errors import ConfigError
from millpond.lake.catalog import load_catalog
from millpond.runtime.databases import databases
from millpond.runtime.home import Home
from millpond.settings import Settings, settings
from millpond.transform.manifest import load_project

Run = Callable[..., tuple[int, str, str]]


def test_the_version_is_the_packages(run: Run) -> None:
    assert run("--version") == (0, f"millpond {metadata.version('millpond')}\n", "")


@pytest.mark.parametrize(
    ("arguments", "kind"),
    [
        (("materialize", "*", "--rang", "2026-11-01", "--json"), "UsageError"),
        (("alerts", "show", "seventeen", "--json"), "UsageError"),
        (("materialize", "--json"), "UsageError"),
        (("materialize", "*", "--dbt-select", "tag:static", "--json"), "UsageError"),
        (("materialize", "--dbt-select", "no_such_model", "--json"), "ConfigError"),
        (("backfill", "lst", "--json"), "UsageError"),
        (("materialize", "no_such_asset", "--json"), "ConfigError"),
        (("materialize", "*", "--partition", "2026-02-30", "--json"), "PartitionKeyError"),
        (("backfill", "show", "0000-000000", "--json"), "BackfillNotFound"),
        (("sources", "reset", "https://nobody.example.org:443", "--json"), "ConfigError"),
        (("sources", "accept", "greenhous", "-p", "2026-11-31", "--json"), "ConfigError"),
        (("sources", "accept", "greenhouse", "--json"), "UsageError"),
        (("demo", "--days", "91", "--json"), "UsageError"),
        (("no_such_command", "--json"), "UsageError"),
        (("sql", "selec 1", "--json"), "QueryRefused"),
        (("alerts", "close", "99999", "--json"), "ConfigError"),
    ],
)
def test_with_json_a_mistake_is_one_json_object_on_standard_error(
    home: Home, run: Run, arguments: tuple[str, ...], kind: str
) -> None:
    code, out, err = run(*arguments)
    assert code == 2
    assert out == ""
    error = json.loads(err)["error"]
    assert error.keys() == {"type", "what", "unharmed", "next", "exit_code"}
    assert (error["type"], error["exit_code"]) == (kind, 2)
    assert error["what"]
    assert error["unharmed"].startswith("everything")
    assert error["next"]


def test_in_words_a_mistake_says_what_is_unharmed_and_what_is_next(
    home: Home, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("alerts", "close", "99999") == (
        2,
        "",
        "there is no alert 99999\n  Unharmed: everything; nothing was started\n"
        "  Next: `millpond alerts list --all` shows them\n",
    )
    with monkeypatch.context() as patch:
        patch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
        patch.setenv("COLUMNS", "40")
        err = run("alerts", "close", "99999")[2]
    lines = re.sub(r"\x1b\[[0-9;]*m", "", err).splitlines()
    assert lines[-2:] == ["  Next: `millpond alerts list --all`", "      shows them"]
    days = ("materialize", "--partition"), ("backfill", "--partitions")
    for command, option in days:
        code, _, err = run(command, "dlt_climate_entries", option, "2026-13-45", "--ref", "nosuch")
        what, unharmed, step = err.splitlines()
        assert code == 2
        assert "2026-13-45" in what
        assert "nosuch" in what
        assert "Unharmed: everything" in unharmed
        assert "YYYY-MM-DD" in step
        assert "millpond branch create nosuch" in step


def test_every_command_has_a_json_form_but_those_that_serve_until_they_are_stopped() -> None:
    without = {name for name, command in commands() if all("--json" not in p.opts for p in command.params)}
    assert without == {"up", "docs", "dashboard", "mcp", "catalog serve"}


@pytest.mark.parametrize(("error", "kind"), [(KeyboardInterrupt(), "Interrupted"), (OSError("x"), "OSError")])
def test_with_json_what_nobody_foresaw_is_one_too(
    run: Run, monkeypatch: pytest.MonkeyPatch, error: BaseException, kind: str
) -> None:
    def breaks(**_: object) -> None:
        raise error

    monkeypatch.setattr("millpond.cli.main.reduce_to", lambda *_: breaks)
    monkeypatch.setattr("millpond.cli.main.exit_interrupted", lambda: sys.exit(130))
    _, out, err = run("sql", "select 1", "--json")
    said = json.loads(err)["error"]
    assert (out, said["type"]) == ("", kind)
    assert said["unharmed"]
    assert said["next"]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), RuntimeError("Query interrupted")])
def test_ctrl_c_says_what_stands_and_what_to_do(
    run: Run, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    def press(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("millpond.cli.query.open_query", press)
    monkeypatch.setattr("millpond.cli.main.exit_interrupted", lambda: sys.exit(130))
    code, out, err = run("sql", "select 1")
    assert (code, out) == (130, "")
    assert err.splitlines()[0] == "interrupted"
    assert "  Next: the same command again" in err


def test_after_ctrl_c_python_warns_of_nothing() -> None:
    held = "from multiprocessing import get_context; lock = get_context('spawn').RLock()"
    ends = "from millpond.cli.interrupts import exit_interrupted; exit_interrupted()"
    ended = subprocess.run([sys.executable, "-c", f"{held}\n{ends}"], capture_output=True, check=False)
    assert (ended.returncode, ended.stderr) == (130, b"")


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize(
    "query",
    [
        "select count(*) from range(1_000_000_000) a, range(1_000) b",
        "select count(*) from range(40_000_000_000) where range % 7 = 3",
        "select a.range from range(3_000_000) a, range(3_000_000) b where a.range + b.range = 7 order by 1",
    ],
)
def test_ctrl_c_ends_a_query_in_whatever_step_it_is_and_is_no_failure(query: str) -> None:
    presses = threading.Timer(1.0, os.kill, (os.getpid(), signal.SIGINT))
    presses.start()
    with pytest.raises((RuntimeError, KeyboardInterrupt)) as raised:
        run_query(query)
    assert isinstance(raised.value, KeyboardInterrupt) or is_interrupt(raised.value), raised.value


def test_with_json_a_failure_is_one_too(home: Home, run: Run) -> None:
    code, _, err = run("alerts", "test", "slack", "--json")
    error = json.loads(err)["error"]
    assert code == error["exit_code"] > 0
    assert "slack is not set up" in error["what"]
    assert error["next"]


def test_main_is_no_name_for_a_branch_and_the_advice_does_not_touch_it(home: Home, run: Run) -> None:
    code, _, err = run("branch", "create", "main")
    assert code == 2
    assert "main" in err
    assert "drop main" not in err
    assert "Next:" in err


@pytest.mark.parametrize(
    "command", ["branch drop main", "branch drop nosuch", "tables --ref nosuch", "branch diff nosuch"]
)
def test_a_ref_that_is_not_there_or_must_stay_is_refused(home: Home, run: Run, command: str) -> None:
    code, _, err = run(*command.split())
    assert code == 2
    assert "Next:" in err


def test_a_word_that_is_no_subcommand_of_backfill_is_named_with_what_there_is(home: Home, run: Run) -> None:
    code, _, err = run("backfill", "lst")
    assert code == 2
    assert "lst" in err
    assert "list" in err


def test_a_word_that_is_nearly_a_subcommand_of_backup_is_no_folder(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    for words in (("verfy",), ("vrify", "/mnt/lake"), ("--no-data", "creat")):
        code, _, err = run("backup", *words)
        assert code == 2
        assert "Did you mean" in err
    assert list(tmp_path.iterdir()) == []
    for words in (("./verfy", "--unknown"), ("lake", "--unknown")):
        assert "Did you mean" not in run("backup", *words)[2]
    (tmp_path / "verfy").mkdir()
    assert "Did you mean" not in run("backup", "verfy", "--unknown")[2]


def test_a_token_is_for_a_namespace_that_is_there_or_that_it_may_create(home: Home, run: Run) -> None:
    code, out, err = run("catalog", "token", "--namespace", "godl")
    assert (code, out) == (2, "")
    assert "no namespace on any ref is called 'godl'" in err
    assert "did you mean gold?" in err
    assert "bronze, gold, quarantine" in run("catalog", "token", "--namespace", "xyz", "--ref", "main")[2]
    for scope, name, said in (("read", "gold", ""), ("write", "godl", "may create it. Did you mean gold?")):
        code, out, err = run("catalog", "token", "--namespace", name, "--scope", scope)
        assert (code, out[:4]) == (0, "mpt_")
        assert said in err
    load_catalog("main").create_namespace("godl")
    assert run("catalog", "token", "--namespace", "godl")[0] == 0


def test_an_unknown_asset_selection_names_it_and_the_near_ones(home: Home, run: Run) -> None:
    for command in (("materialize", "fct_climate_reading"), ("backfill", "fct_climate_reading", "--stale")):
        code, _, err = run(*command)
        assert code == 2
        assert "fct_climate_reading" in err
        assert "fct_climate_readings" in err
        assert "Traceback" not in err


def test_an_unknown_source_in_a_model_names_the_model_and_the_source(
    home: Home, run: Run, configure: Callable[..., Settings], tmp_path: Path
) -> None:
    ignored = shutil.ignore_patterns("target", "logs")
    for name in ("dbt", "sources"):
        shutil.copytree(settings().project / name, tmp_path / name, ignore=ignored)
    model = tmp_path / "dbt" / "models" / "bronze" / "climate" / "stg_climate_entries.sql"
    model.write_text("select * from {{ source('raw', 'no_such_table') }}")
    with pytest.raises(ConfigError, match="no_such_table") as refused:
        load_project(configure(project=tmp_path))
    assert "stg_climate_entries" in str(refused.value)
    assert "Traceback" not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("nope", "no model makes a mart nope; there are: marts.mrt_"),
        ("mrt_climate_overvew", "did you mean marts.mrt_climate_overview"),
        ("mrt_climate_overview", "publish it: `millpond materialize marts/mrt_climate_overview`"),
    ],
)
def test_only_a_mart_that_a_model_makes_is_advised_to_be_published(
    home: Home, run: Run, name: str, advice: str
) -> None:
    with databases().marts.connect() as connection:
        connection.execute("create schema if not exists marts")
    code, _, err = run("sql", f"select * from marts.{name}")
    assert code == 2
    assert advice in err
