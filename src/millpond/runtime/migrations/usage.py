"""The table of what parts and runs use of the machine."""

from __future__ import annotations

from typing import Final, LiteralString

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
