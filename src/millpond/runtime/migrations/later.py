"""What later versions added to the tables of `first`."""

from __future__ import annotations

from typing import Final, LiteralString

REST_CATALOG: Final = """
alter table lake_branch_bases add column if not exists iceberg_type text not null default 'TABLE';
alter table lake_ref_log add column if not exists iceberg_type text not null default 'TABLE';
alter table lake_ref_log add column if not exists client text not null default '';
comment on column lake_ref_log.client is 'program that committed through the REST catalog, and its token';
create table if not exists lake_tokens (
    id text primary key,
    name text not null default '',
    secret_hash bytea not null,
    scope text not null check (scope in ('read', 'write')),
    ref text,
    namespace text,
    parent text references lake_tokens (id) on delete cascade,
    created_at timestamptz not null default clock_timestamp(),
    expires_at timestamptz not null
);
comment on table lake_tokens is 'bearer tokens of the REST catalog; a parent is what one was exchanged for';
"""
"""Views, the programs that commit through the REST catalog, and the tokens that they are given."""

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
"""The table of files that sources were read from."""

UNLISTED_FILES: Final[LiteralString] = """
alter table known_files add column if not exists unlisted_since timestamptz;
comment on column known_files.unlisted_since is 'since when its source does not list it';
"""

RESOURCE_SAMPLES: Final[LiteralString] = """
create table if not exists resource_samples (
    at timestamptz not null,
    part text not null,
    run_id text not null default '',
    cores real not null,
    bytes bigint not null
);
create index if not exists resource_samples_at on resource_samples (at);
comment on table resource_samples is 'what a part of `millpond up`, or a run, used at a moment: processor
 cores since the sample before, and bytes of memory; part machine is all of it, part disk the bytes of the
 file system of the home that are taken. Kept for a week';
"""
"""The table of what parts and runs use of the machine."""
