"""Slots of pools, which steps claim and free, in few statements, also when several runs do so at once."""

from __future__ import annotations

from dagster_postgres import PostgresEventLogStorage
from sqlalchemy import text
from sqlalchemy.dialects.postgresql import insert

from millpond.internals.dagster import ConcurrencyClaimStatus, ConcurrencySlotStatus
from millpond.internals.dagster_on_demand import ConcurrencyLimitsTable

_CLAIM = text("""
with free as (
    select id from concurrency_slots where concurrency_key = :pool and step_key is null and not deleted
    and not exists (
        select from pending_steps where concurrency_key = :pool and run_id = :run and step_key = :step
    ) and (
        select count(*) from concurrency_slots where concurrency_key = :pool and not deleted
    ) > (
        select count(*) from pending_steps where concurrency_key = :pool and assigned_timestamp is not null
    ) limit 1 for update skip locked
), claimed as (
    update concurrency_slots s set run_id = :run, step_key = :step from free where s.id = free.id
    returning s.id
)
insert into pending_steps (concurrency_key, run_id, step_key, priority, assigned_timestamp)
select :pool, :run, :step, :priority, now() from claimed returning assigned_timestamp, create_timestamp""")
"""Claims a slot that no step waits for, and records it as Dagster does."""

_FREE = text("""
with removed as (
    delete from concurrency_slots where run_id = :run and step_key = :step and deleted
), freed as (
    update concurrency_slots set run_id = null, step_key = null
    where run_id = :run and step_key = :step and not deleted
)
delete from pending_steps where run_id = :run and step_key = :step
returning concurrency_key, assigned_timestamp is not null""")
"""Frees the slots of a step; those that were deleted meanwhile, as a pool was made smaller, go."""


class PoolSlots(PostgresEventLogStorage):
    """Dagster's tables of pools. A step that need not wait takes Dagster 1.13 15 statements, here three."""

    def claim_concurrency_slot(
        self, concurrency_key: str, run_id: str, step_key: str, priority: int | None = None
    ) -> ConcurrencyClaimStatus:
        """Claim a slot of a pool for a step, at once if one is free, else as Dagster does."""
        wanted = {"pool": concurrency_key, "run": run_id, "step": step_key, "priority": priority or 0}
        with self.index_connection() as connection:
            if (row := connection.execute(_CLAIM, wanted).fetchone()) is None:
                return super().claim_concurrency_slot(concurrency_key, run_id, step_key, priority)
        return ConcurrencyClaimStatus(
            concurrency_key=concurrency_key,
            slot_status=ConcurrencySlotStatus.CLAIMED,
            priority=priority or None,
            assigned_timestamp=row[0],
            enqueued_timestamp=row[1],
        )

    def free_concurrency_slot_for_step(self, run_id: str, step_key: str) -> None:
        """Free the slots of a step, and have the next steps in line take them."""
        with self.index_connection() as connection:
            removed = connection.execute(_FREE, {"run": run_id, "step": step_key}).fetchall()
        self.assign_pending_steps([pool for pool, assigned in removed if assigned])

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
