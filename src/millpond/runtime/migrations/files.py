"""The table of files that sources were read from."""

from __future__ import annotations

from typing import Final, LiteralString

KNOWN_FILES: Final[LiteralString] = """
create table if not exists known_files (
    table_name text not null,
    path text not null,
    version text not null,
    spec text not null,
    days date[],
    due date[] not null default '{}',
    tick bigint,
    primary key (table_name, path)
);
comment on table known_files is 'files of sources: the version seen last and the days of its rows, null where
 these are not known; the days that main is to be loaded for since it is new; the look that asked for that';
"""

UNLISTED_FILES: Final[LiteralString] = """
alter table known_files add column if not exists unlisted_since timestamptz;
comment on column known_files.unlisted_since is 'since when its source does not list it';
"""
