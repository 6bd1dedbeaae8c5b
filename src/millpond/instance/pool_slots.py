"""Slots of pools, which steps claim and free, in few statements, also when several runs do so at once."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from dagster_postgres import PostgresEventLogStorage
from sqlalchemy.dialects.postgresql import insert

from millpond.instance.prepared import execute
from millpond.internals.dagster import (
    ConcurrencyClaimStatus,
    ConcurrencySlotStatus,
    copy_record,
    sleep_until_claims,
)
from millpond.internals.dagster_on_demand import ConcurrencyLimitsTable

_CLAIM = """
with free as (
    select id from concurrency_slots
    where concurrency_key = %(pool)s::text and step_key is null and not deleted
    and not exists (
        select from pending_steps
        where concurrency_key = %(pool)s and run_id = %(run)s::text and step_key = %(step)s::text
    ) and (
        select count(*) from concurrency_slots where concurrency_key = %(pool)s and not deleted
    ) > (
        select count(*) from pending_steps where concurrency_key = %(pool)s and assigned_timestamp is not null
    ) limit 1 for update skip locked
), claimed as (
    update concurrency_slots s set run_id = %(run)s, step_key = %(step)s from free where s.id = free.id
    returning s.id
), inserted as (
    insert into pending_steps (concurrency_key, run_id, step_key, priority, assigned_timestamp)
    select %(pool)s, %(run)s, %(step)s, %(priority)s::int, now() from claimed
    returning assigned_timestamp, create_timestamp
)
select true, assigned_timestamp, create_timestamp from inserted
union all select false, assigned_timestamp, create_timestamp from pending_steps
where concurrency_key = %(pool)s and run_id = %(run)s and step_key = %(step)s"""
"""Claims a slot that no step waits for, and records it as Dagster does; else tells since when it waits."""

_FREE = """
with removed as (
    delete from concurrency_slots where run_id = %(run)s::text and step_key = %(step)s::text and deleted
), freed as (
    update concurrency_slots set run_id = null, step_key = null
    where run_id = %(run)s and step_key = %(step)s and not deleted
)
delete from pending_steps where run_id = %(run)s and step_key = %(step)s
returning concurrency_key, assigned_timestamp is not null"""
"""Frees the slots of a step; those that were deleted meanwhile, as a pool was made smaller, go."""

_ASSIGN = """
update pending_steps set assigned_timestamp = now() where id = (
    select id from pending_steps where concurrency_key = %(pool)s::text and assigned_timestamp is null
    order by priority desc, create_timestamp limit 1
)"""
"""Assigns a slot to the step that is first in line."""

_SHORTEST_WAIT, _LONGEST_WAIT, _OF_WAITED = 0.05, 1.0, 0.05
"""Seconds until a step that waits claims again: a twentieth of what it has waited, within these."""

sleep_until_claims()


class PoolSlots(PostgresEventLogStorage):
    """Dagster's tables of pools. A step that need not wait takes Dagster 1.13 15 statements, here three."""

    def claim_concurrency_slot(
        self, concurrency_key: str, run_id: str, step_key: str, priority: int | None = None
    ) -> ConcurrencyClaimStatus:
        """Claim a slot of a pool for a step, at once if one is free, else wait in line as Dagster does.

        A step in line claims again after 0.05 to 1 s; by itself Dagster lets 1 to 15 s pass.
        """
        wanted = {"pool": concurrency_key, "run": run_id, "step": step_key, "priority": priority or 0}
        with self.index_connection() as connection:
            claimed, assigned, since = execute(connection, _CLAIM, wanted).fetchone() or (False, None, None)
        if not claimed and (assigned or not since):
            found = super().claim_concurrency_slot(concurrency_key, run_id, step_key, priority)
            return copy_record(found, sleep_interval=_choose_wait(since))
        return ConcurrencyClaimStatus(
            concurrency_key=concurrency_key,
            slot_status=ConcurrencySlotStatus.CLAIMED if claimed else ConcurrencySlotStatus.BLOCKED,
            priority=priority or None,
            assigned_timestamp=assigned,
            enqueued_timestamp=since,
            sleep_interval=None if claimed else _choose_wait(since),
        )

    def free_concurrency_slot_for_step(self, run_id: str, step_key: str) -> None:
        """Free the slots of a step, and have the next steps in line take them."""
        with self.index_connection() as connection:
            removed = execute(connection, _FREE, {"run": run_id, "step": step_key}).fetchall()
        self.assign_pending_steps([pool for pool, assigned in removed if assigned])

    def assign_pending_steps(self, concurrency_keys: Sequence[str]) -> None:
        """Assign a slot of each of these pools to the first step in line."""
        with self.index_connection() as connection:
            for pool in concurrency_keys:
                execute(connection, _ASSIGN, {"pool": pool})

    def initialize_concurrency_limit_to_default(self, concurrency_key: str) -> bool:
        """Give a pool the default size; safe when several runs do so at once.

        Dagster 1.13 continues in a transaction that Postgres has aborted, so that all runs but the first
        fail.
        """
        size = self._instance.global_op_concurrency_default_limit
        if size is None:
            return super().initialize_concurrency_limit_to_default(concurrency_key)
        limits = ConcurrencyLimitsTable.c
        wanted = {
            limits.concurrency_key: concurrency_key,
            limits.limit: size,
            limits.using_default_limit: True,
        }
        upsert = insert(ConcurrencyLimitsTable).values(wanted)
        with self.index_transaction() as connection:
            # The row stays locked until the slots exist.
            connection.execute(
                upsert.on_conflict_do_update(
                    index_elements=[limits.concurrency_key],
                    set_={limits.limit: size},
                    where=limits.using_default_limit,
                )
            )
            self._allocate_concurrency_slots(connection, concurrency_key, size)
        return True


def _choose_wait(since: dt.datetime | None) -> float:
    """Return the seconds until a step that waits in line since then, in UTC, claims again."""
    waited = (dt.datetime.now(dt.UTC) - since.replace(tzinfo=dt.UTC)).total_seconds() if since else 0.0
    return min(max(waited * _OF_WAITED, _SHORTEST_WAIT), _LONGEST_WAIT)
