"""Step 1 in schema `catalog`: PyIceberg's two tables; ours for refs, pins, held days and the ref log."""

from typing import Final

TABLES: Final = """
create table if not exists iceberg_tables (
    catalog_name varchar(255) not null,
    table_namespace varchar(255) not null,
    table_name varchar(255) not null,
    metadata_location varchar(1000),
    previous_metadata_location varchar(1000),
    iceberg_type varchar(5),
    primary key (catalog_name, table_namespace, table_name)
);
create table if not exists iceberg_namespace_properties (
    catalog_name varchar(255) not null,
    namespace varchar(255) not null,
    property_key varchar(255) not null,
    property_value varchar(1000) not null,
    primary key (catalog_name, namespace, property_key)
);
create table if not exists lake_refs (
    name text primary key,
    base text references lake_refs (name),
    purpose text not null default '',
    run_id text not null default '',
    created_at timestamptz not null default clock_timestamp()
);
comment on table lake_refs is 'main and every branch; base is the ref a branch was taken from';
alter table lake_refs add column if not exists kept text not null default '';
comment on column lake_refs.kept is 'why a run left its audit branch for a look; empty for any other';
create table if not exists lake_branch_bases (
    ref text not null references lake_refs (name) on delete cascade,
    table_namespace text not null,
    table_name text not null,
    metadata_location text not null,
    primary key (ref, table_namespace, table_name)
);
comment on table lake_branch_bases is 'pointers of the base when a branch was taken or last rebased';
create table if not exists lake_pins (
    name text primary key,
    ref text not null,
    pointers jsonb not null,
    holder text not null default '',
    created_at timestamptz not null default clock_timestamp(),
    expires_at timestamptz not null
);
comment on table lake_pins is 'pointers of all tables of a ref, frozen for readers; live until they expire';
create table if not exists lake_held (
    ref text not null,
    table_name text not null,
    day date not null,
    branch text not null references lake_refs (name) on delete cascade,
    run_id text not null,
    held_at timestamptz not null default clock_timestamp(),
    rows_loaded bigint not null,
    rows_held bigint not null,
    loaded_hash text not null,
    details jsonb not null,
    primary key (ref, table_name, day)
);
comment on table lake_held is 'days whose new rows are kept on a branch until somebody accepts them';
create index if not exists lake_held_branch on lake_held (branch);
create table if not exists lake_ref_log (
    id bigint generated always as identity primary key,
    at timestamptz not null default clock_timestamp(),
    ref text not null,
    action text not null,
    other_ref text not null default '',
    run_id text not null default '',
    table_namespace text not null default '',
    table_name text not null default '',
    old_location text,
    new_location text,
    commit_id text
);
comment on table lake_ref_log is 'every move of a pointer and every life event of a ref, in order';
create index if not exists lake_ref_log_table on lake_ref_log (table_namespace, table_name, id);
create index if not exists lake_ref_log_commit on lake_ref_log (commit_id) where commit_id is not null;
insert into lake_refs (name) values ('main') on conflict do nothing;
insert into iceberg_namespace_properties
    select 'main', layer, 'exists', 'true'
    from unnest(array['raw', 'bronze', 'silver', 'gold', 'quarantine']) layer
    on conflict do nothing;
"""
