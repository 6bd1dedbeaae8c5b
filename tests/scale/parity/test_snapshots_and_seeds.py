"""Snapshots, seeds and constraints on Trino keep and refuse what they do on DuckDB."""

from __future__ import annotations

from pathlib import Path

import pytest
from installation import installed
from servers.stack import Stack

from millpond.lake import read
from millpond.settings import settings
from small_projects import built, write_files
from snapshot_histories import FILES, T1, T2, history, snapshot

_MORE = {
    "seeds/countries.csv": 'code,name,area\nCH,"Switzerland, the",41285\nLI,,160\n',
    "seeds/countries.yml": "seeds: [{name: countries, config: {column_types: {area: bigint}},"
    " columns: [{name: code, data_tests: [{unique: {name: key}}]}]}]",
    "models/silver/final.sql": "select * from {{ ref('countries') }}",
    "models/silver/small.sql": "select cast(5 as integer) as id",
    "models/silver/small.yml": "models: [{name: small, config: {contract: {enforced: true}}, columns:"
    " [{name: id, data_type: integer, constraints: [{type: check, expression: 'id > 10'}]}]}]",
}


@pytest.mark.timeout(900)
@pytest.mark.filterwarnings("ignore:invalid escape sequence")  # in a macro of dbt-trino
def test_snapshots_seeds_and_constraints_do_on_trino_what_they_do_on_duckdb(
    servers: Stack, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    write_files(tmp_path, FILES)
    with installed(servers, tmp_path / "home"):
        monkeypatch.setenv("MILLPOND_PROJECT", str(tmp_path))
        settings.cache_clear()
        snapshot((1, "a", T1), (2, "b", T1))
        again = snapshot((1, "a", T1), (2, "b", T1))
        # With hard_deletes dbt gives the times a zone here, once.
        assert {model.model for model in again.models if model.written.changed} == {"ended", "recorded"}
        snapshot((1, "A", T2), (3, "c", T2))
        changed = {"1 a ended", "1 A now", "3 c now"}
        assert history("kept") == history("checked") == history("renamed") == changed | {"2 b now"}
        assert history("ended") == changed | {"2 b ended"}
        assert history("recorded") == changed | {"2 b ended", "2 b deleted now"}
        write_files(tmp_path, _MORE)
        result, text = built(["final"])
        assert [check.passed for check in result.checks] == [True], text
        assert sorted(read.scan("main", "silver.final").to_pylist(), key=str) == [
            {"code": "CH", "name": "Switzerland, the", "area": 41285},
            {"code": "LI", "name": None, "area": 160},
        ]
        result, text = built(["small"])
        assert not result.merged
        assert "constraint check (id > 10) is broken by 1" in text
