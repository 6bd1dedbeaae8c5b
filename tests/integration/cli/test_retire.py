"""Tables and marts whose model is gone are shown, and dropped or renamed by one command."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from millpond.cli.main import app
from millpond.errors import ConfigError, PublishFailed, TableNotFound
from millpond.lake import read
from millpond.publish.publication import publish
from millpond.publish.schemas import list_marts
from millpond.publish.spec import read_marts
from millpond.runtime.databases import databases
from millpond.runtime.home import Home
from millpond.settings import Settings, settings
from millpond.transform.manifest import load_project
from millpond.transform.runner import build
from small_projects import write_files

FORMER = {
    "models/gold/former.sql": "{{ config(schema='gold') }} select 1 as id",
    "models/gold/former.yml": "models: [{name: former, config: {meta: {publish: {key: [id]}}},"
    " columns: [{name: id, data_type: integer}]}]",
}


def retire(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["retire", *arguments], env={"COLUMNS": "140"})


def refused(*arguments: str) -> BaseException | None:
    result = retire(*arguments)
    assert result.exit_code != 0
    return result.exception


@pytest.mark.slow
def test_a_model_that_is_gone_is_listed_and_retired_or_renamed(
    home: Home, configure: Callable[..., Settings], tmp_path: Path
) -> None:
    write_files(tmp_path, FORMER)
    configure(project=tmp_path)
    build(["former"], None, ref="main", run_id="test")
    publish(read_marts(load_project(settings()).document())[0], ref="main", run_id="test")
    assert "Every table and mart has a model" in retire().output
    assert isinstance(error := refused("gold.former", "--yes"), ConfigError)
    assert "a model of the project builds it" in str(error)

    for name in FORMER:
        (tmp_path / "dbt" / name).unlink()
    write_files(tmp_path, {"models/gold/latter.sql": "{{ config(schema='gold') }} select 1 as id"})
    history = read.load_table("main", "gold.former").metadata.current_snapshot_id
    listed = retire().output
    assert "gold.former" in listed
    assert "marts.former" in listed
    assert "gold.former" in CliRunner().invoke(app, ["tables"]).output.splitlines()[-1]
    preview = retire("gold.former").output
    assert "would: drop marts.former\nwould: drop gold.former\nNothing was changed" in preview
    assert (read.list_tables("main"), list_marts("main")) == (["gold.former"], ["former"])

    with databases().marts.connect() as connection:
        connection.execute("create view reader as select * from marts.former")
    assert isinstance(error := refused("gold.former", "--yes"), PublishFailed)
    assert "reader" in str(error)
    assert (read.list_tables("main"), list_marts("main")) == (["gold.former"], ["former"])

    assert (
        "done: rename to gold.latter: gold.former"
        in retire("gold.former", "--to", "gold.latter", "--yes").output
    )
    assert (read.list_tables("main"), list_marts("main")) == (["gold.latter"], ["latter"])
    assert read.load_table("main", "gold.latter").metadata.current_snapshot_id == history

    (tmp_path / "dbt/models/gold/latter.sql").unlink()
    with databases().marts.connect() as connection:
        connection.execute("drop view reader")
    assert "Undo: millpond retire gold.latter --undo --yes" in retire("gold.latter", "--yes").output
    assert (read.list_tables("main"), list_marts("main")) == ([], [])
    assert retire("gold.latter", "--undo", "--yes").exit_code == 0
    assert read.load_table("main", "gold.latter").metadata.current_snapshot_id == history
    assert isinstance(refused("gold.latter", "--undo", "--yes"), TableNotFound)
    assert isinstance(refused("gold.nowhere", "--undo", "--yes"), TableNotFound)
    with pytest.raises(TableNotFound):
        read.load_table("main", "gold.former")
