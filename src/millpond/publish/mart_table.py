"""A mart as a table in Postgres: created once, extended by columns, changed by difference; never dropped."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import psycopg
from psycopg import sql

from millpond.errors import PublishFailed
from millpond.publish.postgres_types import PostgresType
from millpond.publish.spec import MartSpec

Connection = psycopg.Connection[Any]
Columns = Mapping[str, PostgresType]
_LONGEST_NAME = 63


@dataclass(frozen=True)
class MartState:
    """What Postgres has of a mart: types of columns, primary key, names of indexes, and comments by column.

    The comment on the mart itself is that of the column None.
    """

    columns: dict[str, str] = field(default_factory=dict)
    key: set[str] = field(default_factory=set)
    indexes: frozenset[str] = frozenset()
    comments: dict[str | None, str] = field(default_factory=dict)


def read_states(connection: Connection, schema: str, names: Sequence[str]) -> dict[str, MartState]:
    """Return what Postgres has of the marts `names` of `schema`, read at once; those missing are left out."""
    states: dict[str, MartState] = {}
    tables = [sql.Identifier(schema, name).as_string() for name in names]
    for mart, comment, indexes, column, kind, in_key, of_column in connection.execute(_STATES, (tables,)):
        state = states.setdefault(mart, MartState(indexes=frozenset(indexes), comments={None: comment}))
        state.columns[column] = kind
        if in_key:
            state.key.add(column)
        if of_column:
            state.comments[column] = of_column
    return states


class MartTable:
    """The table of a mart and its shadow: a temporary table, gone with the connection that fills it."""

    def __init__(self, connection: Connection, schema: str, spec: MartSpec, columns: Columns) -> None:
        self.connection, self.schema, self.spec, self.columns = connection, schema, spec, columns
        self.name = f"{schema}.{spec.name}"
        self._mart = sql.Identifier(schema, spec.name)
        self._shadow = sql.Identifier("pg_temp", spec.name)

    def copy_into_shadow(self, stream: Iterable[bytes]) -> None:
        """Create the shadow and copy `stream` (binary COPY) into it.

        Raises PublishFailed if the key is null or not unique.
        """
        self._run("CREATE TEMPORARY TABLE {name} ({definitions})", name=sql.Identifier(self.spec.name))
        with self._refuse_key():
            self._copy("COPY {shadow} ({columns}) FROM STDIN (FORMAT binary)", stream)
            self._run("ALTER TABLE {shadow} ADD PRIMARY KEY ({key}); ANALYZE {shadow} ({key})")

    def create(self, stream: Iterable[bytes]) -> int:
        """Create the mart with the rows of `stream` (binary COPY) in this transaction; returns how many.

        The primary key comes with `finish`: an index over rows that are there is built faster. The rows are
        frozen, so that whoever sees the mart sees them, also a transaction that began before this one.
        """
        self._run("CREATE TABLE {mart} ({definitions})")
        return self._copy("COPY {mart} ({columns}) FROM STDIN (FORMAT binary, FREEZE)", stream)

    def fit(self, there: MartState) -> None:
        """Add missing columns to the mart; raises PublishFailed if it differs in any other way."""
        for column in [c for c in self.columns if c not in there.columns]:
            self._run(
                "ALTER TABLE {mart} ADD COLUMN {column} {type}",
                column=sql.Identifier(column),
                type=_to_sql(self.columns[column].sql),
            )
        for column, kind in there.columns.items():
            if column not in self.columns:
                raise self._misfit(
                    f"has a column {column} that the model does not have",
                    f"DROP COLUMN {column}",
                    "keep it in the model",
                )
            if kind != (wanted := self.columns[column].sql):
                raise self._misfit(
                    f"has the column {column} as {kind}, the model has {wanted}",
                    f"ALTER COLUMN {column} TYPE {wanted}",
                    f"cast it to {kind} in the model",
                )
        if there.key and there.key != set(self.spec.declared.key):
            key = ", ".join(column for column in there.columns if column in there.key)
            raise self._misfit(
                f"has the primary key ({key}), the model ({', '.join(self.spec.declared.key)})",
                f"DROP CONSTRAINT {self.spec.name}_pkey",
                "declare that key in meta.publish",
            )

    def replace(self, stream: Iterable[bytes]) -> int:
        """Delete all rows and copy `stream` (binary COPY) in; returns how many were written or removed."""
        removed = self._run("DELETE FROM {mart}").rowcount
        with self._refuse_key():
            return max(removed, self._copy("COPY {mart} ({columns}) FROM STDIN (FORMAT binary)", stream))

    def take_over(self) -> int:
        """Make the mart equal to the shadow, and drop that; returns how many rows were written or removed."""
        merge = _MERGE if self.others else _MERGE_KEY_ONLY
        return self._run(f"{merge}; DROP TABLE {{shadow}}").rowcount

    def finish(self, there: MartState) -> None:
        """Add the primary key, indexes and comments that the model declares; nothing is removed.

        Raises PublishFailed if the key is null or not unique.
        """
        if not there.key:
            with self._refuse_key():
                self._run("ALTER TABLE {mart} ADD PRIMARY KEY ({key})")
        for index in self.spec.declared.indexes:
            if (name := _name_index(self.spec.name, index)) not in there.indexes:
                self._run(
                    "CREATE INDEX IF NOT EXISTS {index} ON {mart} ({indexed})",
                    index=sql.Identifier(name),
                    indexed=_join_identifiers(index),
                )
        for column, comment in [(None, self.spec.description), *self.spec.comments.items()]:
            known = column is None or column in self.columns
            if comment and known and there.comments.get(column) != comment:
                self._run(
                    "COMMENT ON TABLE {mart} IS {comment}" if column is None else _COMMENT_ON_COLUMN,
                    comment=sql.Literal(comment),
                    column=sql.Identifier(self.schema, self.spec.name, column or ""),
                )

    def totals(self) -> tuple[Any, ...]:
        """Return the number of rows, then for each column how many values it has and their exact sum."""
        found = self._run("SELECT {totals} FROM {mart}", totals=self._list_totals())
        return tuple(found.fetchone() or ())

    def measure(self) -> tuple[int, tuple[Any, ...]]:
        """Return the bytes that the mart and its indexes take in Postgres, and its `totals`."""
        parts, name = self._list_totals(), sql.Literal(self._mart.as_string())
        found = self._run(
            "SELECT pg_total_relation_size({name}), {parts} FROM {mart}", name=name, parts=parts
        )
        size, *totals = found.fetchone() or (0,)
        return int(size), tuple(totals)

    @property
    def others(self) -> list[str]:
        """The columns that are not part of the key."""
        return [c for c in self.columns if c not in self.spec.declared.key]

    def _list_totals(self) -> sql.Composed:
        parts = [sql.SQL("count(*)")]
        before_18 = self.connection.info.server_version < 180_000
        for column, kind in self.columns.items():
            name = sql.Identifier(column).as_string()
            total = (before_18 and kind.total_sql_17) or kind.total_sql
            parts += [_to_sql(p) for p in (f"count({name})", total.format(name))]
        return sql.SQL(", ").join(parts)

    @contextmanager
    def _refuse_key(self) -> Iterator[None]:
        """Raise PublishFailed if Postgres finds in the block that the key is null or not unique."""
        try:
            yield
        except (psycopg.errors.UniqueViolation, psycopg.errors.NotNullViolation) as error:
            key = ", ".join(self.spec.declared.key)
            detail = None if self.spec.is_sensitive else error.diag.message_detail
            raise PublishFailed(
                f"the key ({key}) of mart {self.name} is null or not unique:"
                f" {detail or error.diag.message_primary}",
                unharmed="the mart as it was before",
                next_step=f"correct the model {self.spec.name} or the key in its meta.publish",
            ) from error

    def _misfit(self, what: str, alter: str, instead: str) -> PublishFailed:
        return PublishFailed(
            f"mart {self.name} {what}; Millpond does not change that by itself,"
            " because other programs may depend on it",
            unharmed="the mart as it was before",
            next_step=f"{instead}, or change the mart: ALTER TABLE {self.name} {alter}; then publish again",
        )

    def _copy(self, statement: str, stream: Iterable[bytes]) -> int:
        with self.connection.cursor() as cursor:
            with cursor.copy(self._sql(statement)) as copy:
                for block in stream:
                    copy.write(block)
            return cursor.rowcount

    def _run(self, statement: str, **parts: sql.Composable) -> psycopg.Cursor[Any]:
        return self.connection.execute(self._sql(statement, **parts), prepare=False)

    def _sql(self, statement: str, **parts: sql.Composable) -> sql.Composed:
        return _to_sql(statement).format(**self._parts, **parts)

    @cached_property
    def _parts(self) -> dict[str, sql.Composable]:
        """What statements name in braces."""
        others = self.others
        parts: dict[str, sql.Composable] = {
            "mart": self._mart,
            "shadow": self._shadow,
            "key": _join_identifiers(self.spec.declared.key),
            "columns": _join_identifiers(list(self.columns)),
            "definitions": sql.SQL(", ").join(
                _to_sql("{} " + kind.sql).format(sql.Identifier(name)) for name, kind in self.columns.items()
            ),
            "same_key": sql.SQL(" AND ").join(
                sql.SQL("m.{0} = s.{0}").format(sql.Identifier(name)) for name in self.spec.declared.key
            ),
            "of_mart": _join_identifiers(others, "m"),
            "of_shadow": _join_identifiers(others, "s"),
            "all_of_shadow": _join_identifiers(list(self.columns), "s"),
            "assignments": sql.SQL(", ").join(
                sql.SQL("{0} = s.{0}").format(sql.Identifier(n)) for n in others
            ),
        }
        return {name: _to_sql(part.as_string()) for name, part in parts.items()}


_STATES = """
SELECT c.relname, obj_description(c.oid, 'pg_class'),
       ARRAY(SELECT i.relname::text FROM pg_index JOIN pg_class i ON i.oid = indexrelid
             WHERE indrelid = c.oid),
       a.attname, format_type(a.atttypid, a.atttypmod), a.attnum = ANY(p.conkey),
       col_description(c.oid, a.attnum)
FROM pg_class c
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
LEFT JOIN pg_constraint p ON p.conrelid = c.oid AND p.contype = 'p'
WHERE c.oid = ANY(ARRAY(SELECT to_regclass(name) FROM unnest(%s::text[]) AS name)::oid[])
ORDER BY c.oid, a.attnum
"""
_MERGE_KEY_ONLY = """
MERGE INTO {mart} AS m USING {shadow} AS s ON {same_key}
WHEN NOT MATCHED BY TARGET THEN INSERT ({columns}) VALUES ({all_of_shadow})
WHEN NOT MATCHED BY SOURCE THEN DELETE
"""
_MERGE = (
    _MERGE_KEY_ONLY
    + "WHEN MATCHED AND ROW({of_mart}) IS DISTINCT FROM ROW({of_shadow}) THEN UPDATE SET {assignments}"
)
_COMMENT_ON_COLUMN = "COMMENT ON COLUMN {column} IS {comment}"


def _to_sql(statement: str) -> sql.SQL:
    return sql.SQL(statement)


def _join_identifiers(names: Sequence[str], prefix: str | None = None) -> sql.Composed:
    return sql.SQL(", ").join(sql.Identifier(prefix, n) if prefix else sql.Identifier(n) for n in names)


def _name_index(mart: str, columns: Sequence[str]) -> str:
    name = f"{mart}_{'_'.join(columns)}_idx"
    if len(name) <= _LONGEST_NAME:
        return name
    return f"{name[:50]}_{hashlib.sha256(name.encode()).hexdigest()[:12]}"
