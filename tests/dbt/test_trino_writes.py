"""What hooks and macros of a build send to Trino: to the build's branch, or nothing."""

from __future__ import annotations

import pytest
from dbt_common.exceptions import DbtRuntimeError

from millpond.transform.trino_writes import rewrite_for_branch


@pytest.mark.parametrize(
    ("sql", "sent"),
    [
        ("select 1 from lake.gold.log", 'select 1 from "lake_audit".gold.log'),
        ('/* note */ insert into "lake"."gold"."log" select * from "lake"."silver"."x"', None),
        ("insert into gold.log values (1)", 'insert into "lake_audit"."gold"."log" values (1)'),
        ("INSERT INTO log values (1)", 'INSERT INTO "lake_audit"."gold"."log" values (1)'),
        ("update LAKE . gold.Log set a = 1", 'update "lake_audit"."gold"."log" set a = 1'),
        (
            "comment on column gold.log.a is 'why'",
            'comment on column "lake_audit"."gold"."log"."a" is \'why\'',
        ),
        ("create or replace table log as select 1 as a", None),
        ("alter table if exists log add column b integer", None),
        ("create schema if not exists lake.gold", "select 1"),
        ("with a as (select 1) select * from a", "with a as (select 1) select * from a"),
    ],
)
def test_tables_of_layers_are_written_on_the_branch(sql: str, sent: str | None) -> None:
    found = rewrite_for_branch(sql, "audit", "gold")
    assert sent is None or found == sent
    assert '"lake_audit"' in found or sent
    assert '"lake".' not in found


@pytest.mark.parametrize(
    ("sql", "why"),
    [
        ("insert into lake.silver.fct_climate_readings select 1", "fct_climate_readings builds it"),
        ("delete from raw.climate_entries", "raw is not one of the layers"),
        ("create table lake.scratch.log (a integer)", "scratch is not one of the layers"),
        ("insert into lake_dev.gold.log values (1)", "lake_dev is not the lake"),
        ("create schema lake.scratch", "outside of the audit"),
        ("create schema if not exists lake.scratch", "no layer scratch"),
        ("alter table gold.log rename to gold.other", "alter its columns only"),
        (
            "alter table gold.log execute expire_snapshots(retention_threshold => '0d')",
            "alter its columns only",
        ),
        ("call lake.system.rollback_to_snapshot('gold', 'log', 1)", "outside of the audit"),
        ("execute immediate 'delete from lake.gold.log'", "outside of the audit"),
        ("explain analyze delete from lake.gold.log", "outside of the audit"),
        ("create view lake.gold.v as select 1", "outside of the audit"),
        ("grant select on lake.gold.log to somebody", "outside of the audit"),
        ("use lake.gold", "outside of the audit"),
        ("select 1; delete from lake.raw.climate_entries", "raw is not one of the layers"),
    ],
)
def test_what_would_change_anything_else_is_refused(sql: str, why: str) -> None:
    with pytest.raises(DbtRuntimeError, match=why):
        rewrite_for_branch(sql, "audit", "gold")


def test_outside_of_a_build_statements_only_read() -> None:
    with pytest.raises(DbtRuntimeError, match="not part of a build"):
        rewrite_for_branch("insert into lake.gold.log values (1)", None, "gold")
    assert rewrite_for_branch("select 1 from lake.gold.log", None, "gold") == 'select 1 from "lake".gold.log'
