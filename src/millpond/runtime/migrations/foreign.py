"""Views, the programs that commit through the REST catalog, and the tokens that they are given."""

from typing import Final

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
