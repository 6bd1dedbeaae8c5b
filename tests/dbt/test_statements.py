from __future__ import annotations

import pytest

from millpond.transform.statements import Target, find_targets


@pytest.mark.parametrize(
    ("sql", "write", "name"),
    [
        ("create table lake.gold.x as select 1", "create", "lake.gold.x"),
        (
            '/* {"node": "create table y"} */ create table "lake"."gold"."x" as (select 1)',
            "create",
            "lake.gold.x",
        ),
        ("-- a note\ncreate view gold.x as select 1", "create", "gold.x"),
        ("create or replace table x(a int)", "replace", "x"),
        ("create table if not exists x (a int)", "create", "x"),
        ("insert into lake.gold.x (a) values (1)", "change", "lake.gold.x"),
        ("with a as (select 1) insert into gold.x select * from a", "change", "gold.x"),
        ("update gold.x as t set a = 1 from y", "change", "gold.x"),
        ("delete from gold.x using y where true", "change", "gold.x"),
        ("truncate table gold.x", "change", "gold.x"),
        ("merge into gold.x as t using y on true when matched then update set a = 1", "change", "gold.x"),
        ("copy gold.x from 'a.csv' (format csv, header true)", "change", "gold.x"),
        ("alter table gold.x add column b int", "change", "gold.x"),
        ("comment on table gold.x is 'why'", "change", "gold.x"),
        ("comment on column gold.x.a is 'why'", "change", "gold.x"),
        ("create index i on gold.x(a)", "change", "gold.x"),
        ("drop table if exists gold.x cascade", "drop", "gold.x"),
        ("drop view gold.x", "drop", "gold.x"),
        ("drop schema if exists lake.gold cascade", "drop schema", "lake.gold"),
    ],
)
def test_what_a_statement_writes_to_is_found(sql: str, write: str, name: str) -> None:
    assert find_targets(sql) == [Target(write, tuple(name.split(".")))]  # type: ignore[arg-type]


def test_what_follows_a_temporary_table_counts() -> None:
    (found,) = find_targets("create temporary table x as select 1; drop table gold.y")
    assert found == Target("drop", ("gold", "y"))


def test_a_renamed_table_is_written_under_both_names_and_each_statement_counts() -> None:
    both = find_targets('alter table gold.a rename to "b"; insert into gold.c select 1')
    assert [".".join(t.name) for t in both] == ["gold.a", "gold.b", "gold.c"]


@pytest.mark.parametrize(
    "sql",
    [
        "select 'insert into gold.x'",
        "create temporary table x as select 1",
        "/* node */ create or replace temporary table x as select 'drop table gold.y' as s",
        "create schema if not exists lake.gold",
        "copy gold.x to 'file.csv'",
        "select updated_at, created from gold.x",
        "no sql at all, drop table",
        "begin",
    ],
)
def test_what_only_reads_or_is_temporary_writes_to_nothing(sql: str) -> None:
    assert find_targets(sql) == []
