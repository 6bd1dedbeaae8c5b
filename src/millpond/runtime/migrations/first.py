"""Step 1: the catalog's tables (PyIceberg's and ours), and those of schema `ops`."""

from typing import Final

CATALOG_TABLES: Final = """
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


OPS_TABLES: Final = """
create table if not exists notices (
    id bigint generated always as identity primary key,
    kind text not null,
    key text not null,
    over boolean not null,
    source text,
    title text not null default '',
    reason text not null default '',
    assets text[] not null default '{}',
    partition text not null default '',
    at timestamptz not null default clock_timestamp()
);
comment on table notices is 'what is to become an alert, or the end of one; taken out when it has';
create table if not exists home_zone (
    only_row boolean primary key default true check (only_row),
    zone text not null,
    since timestamptz not null default now()
);
comment on table home_zone is 'the time zone whose midnights bound the days of all that is loaded here';
create table if not exists source_origins (
    table_name text primary key,
    source text not null,
    origin text not null,
    since timestamptz not null default now()
);
comment on table source_origins is 'where each raw table was loaded from, on all refs';
create table if not exists breakers (
    host text primary key,
    failures int not null,
    opened_at timestamptz,
    next_probe timestamptz,
    last_error text not null
);
comment on table breakers is 'hosts that failed of late; open where opened_at is set';
create table if not exists backfills (
    id text primary key,
    selection text not null,
    ref text not null,
    first_day date,
    last_day date,
    options jsonb not null,
    code text not null,
    skipped int not null,
    state text not null,
    stop_asked boolean not null default false,
    host text not null,
    pid int not null,
    pid_started double precision not null,
    heartbeat timestamptz not null default now(),
    started timestamptz not null default clock_timestamp(),
    ended timestamptz,
    seconds double precision not null default 0
);
create table if not exists backfill_chunks (
    backfill text not null references backfills on delete cascade,
    number int not null,
    phase int not null,
    assets text[] not null,
    first_day date,
    last_day date,
    attempt int not null default 0,
    not_before timestamptz not null default now(),
    state text not null default 'open',
    worker_pid int,
    worker_started double precision,
    run_id text,
    primary key (backfill, number)
);
alter table backfill_chunks add column if not exists whole text[] not null default '{}';
create table if not exists backfill_partitions (
    backfill text not null references backfills on delete cascade,
    asset text not null,
    day date,
    chunk int,
    state text not null,
    run_id text,
    reason text,
    rows bigint,
    quarantined bigint,
    seconds double precision,
    unique nulls not distinct (backfill, asset, day)
);
alter table backfill_partitions add column if not exists nulled bigint,
    add column if not exists no_value bigint, add column if not exists duplicates bigint,
    add column if not exists outside bigint, add column if not exists unharmed text not null default '',
    add column if not exists next text not null default '';
create index if not exists backfill_partitions_by_chunk on backfill_partitions (backfill, chunk);
create table if not exists alerts (
    id bigint generated always as identity primary key,
    kind text not null,
    severity text not null,
    source text not null,
    dedup_key text not null,
    title text not null,
    reason text not null,
    assets text[] not null,
    checks text[] not null,
    partition text not null,
    owners text[] not null,
    tags text[] not null,
    ref text not null,
    job text not null,
    run_id text not null,
    run_url text not null,
    position bigint not null,
    times int not null default 1,
    created_at timestamptz not null default clock_timestamp(),
    last_at timestamptz not null default clock_timestamp(),
    resolved_at timestamptz,
    resolution text not null default '',
    routed_at timestamptz,
    end_routed_at timestamptz
);
comment on table alerts is 'what people are told; one row per dedup_key while it is open';
alter table alerts add column if not exists unharmed text not null default '';
alter table alerts add column if not exists next_step text not null default '';
alter table alerts add column if not exists closed_by text not null default '';
alter table alerts add column if not exists causes text[] not null default '{}';
create unique index if not exists alerts_open on alerts (dedup_key) where resolved_at is null;
create index if not exists alerts_unrouted on alerts (id) where routed_at is null;
create index if not exists alerts_end_unrouted on alerts (id)
    where resolved_at is not null and end_routed_at is null;
create table if not exists alert_sources (
    source text primary key,
    at timestamptz not null default clock_timestamp()
);
comment on table alert_sources is 'what was seen already; seeing it again makes no second alert';
create table if not exists alert_cursors (
    name text primary key,
    settled bigint not null,
    seen bigint[] not null default '{}',
    mark bigint,
    mark_xid xid8,
    looked_at timestamptz not null default clock_timestamp()
);
comment on table alert_cursors is 'how far Dagster''s storage was read, moved together with what was found';
create table if not exists alert_deliveries (
    id bigint generated always as identity primary key,
    alert bigint not null references alerts (id) on delete cascade,
    action text not null check (action in ('tell', 'resolve')),
    channel text not null,
    state text not null default 'pending'
        check (state in ('pending', 'sending', 'delivered', 'silenced', 'abandoned')),
    attempts int not null default 0,
    next_attempt timestamptz not null default clock_timestamp(),
    last_error text not null default '',
    created_at timestamptz not null default clock_timestamp(),
    delivered_at timestamptz,
    message text,
    incident text,
    uncertain boolean not null default false,
    claimed_by text,
    unique (alert, action, channel)
);
comment on column alert_deliveries.message is 'the message it went in or is going in; one for a digest';
comment on column alert_deliveries.incident is 'key under which the receiver knows it, for its end';
comment on column alert_deliveries.uncertain is 'whether an earlier try may have arrived';
create index if not exists alert_deliveries_due on alert_deliveries (channel, next_attempt)
    where state = 'pending';
create index if not exists alert_deliveries_incident on alert_deliveries (channel, incident);
create table if not exists alert_silences (
    id bigint generated always as identity primary key,
    pattern text not null,
    until timestamptz not null,
    created_at timestamptz not null default clock_timestamp()
);
"""
