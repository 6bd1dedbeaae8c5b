"""The housekeeping job, whose ops make no asset."""

import dagster as dg

from millpond.instance.dead_runs import fail_dead_runs
from millpond.instance.event_retention import prune


class OldBranches(dg.Config):
    """Whether branches are only listed, not dropped."""

    dry_run: bool = False


@dg.op(description="Drops expired audit branches (MILLPOND_BRANCH_RETENTION_DAYS) and expired pins.")
def drop_old_branches(context: dg.OpExecutionContext, config: OldBranches) -> list[str]:
    """Return the names of the branches that were dropped, or would be with `dry_run`."""
    from millpond.lake import housekeeping  # imported here, as it takes longer than loading all definitions

    names = [ref.name for ref in housekeeping.drop_old_branches(dry_run=config.dry_run)]
    context.add_output_metadata({"branches": len(names), "names": names, "dry_run": config.dry_run})
    return names


@dg.op(description="Marks runs whose process is gone as failed and frees the pool slots they held.")
def close_dead_runs(context: dg.OpExecutionContext) -> list[str]:
    """Return the ids of the runs that were closed."""
    closed = fail_dead_runs(context.instance)
    context.add_output_metadata({"runs": len(closed), "ids": closed})
    return closed


@dg.op(description="Removes orphan files (MILLPOND_ORPHAN_RETENTION_DAYS).")
def remove_orphan_files(context: dg.OpExecutionContext) -> None:
    """Remove orphan files from the folders of all tables."""
    from millpond.lake import housekeeping  # imported here, as it takes longer than loading all definitions

    found = housekeeping.remove_orphans()
    size = sum(orphan.bytes for orphan in found)
    context.add_output_metadata({"files": len(found), "bytes": size})
    context.log.info("%d orphan files removed, %d bytes", len(found), size)


@dg.op(description="Deletes logs of old runs (MILLPOND_EVENT_RETENTION_DAYS).")
def prune_event_log(context: dg.OpExecutionContext) -> None:
    """Delete the progress and the output of runs that ended long ago."""
    events, runs = prune(context.instance)
    context.add_output_metadata({"events": events, "outputs": runs})
    context.log.info("%d events deleted, and the output of %d runs", events, runs)


@dg.op(description="Logs what was cleaned up.")
def summary(context: dg.OpExecutionContext, branches: list[str], runs: list[str]) -> None:
    """Log what the other ops did."""
    context.log.info("%d old branches dropped, %d dead runs closed", len(branches), len(runs))


@dg.job(
    description="Cleans up: audit branches and pool slots of failed and killed runs, orphan files, old logs."
)
def housekeeping() -> None:
    """Run the ops, which are independent of each other."""
    summary(drop_old_branches(), close_dead_runs())
    remove_orphan_files()
    prune_event_log()
