"""Jobs of ops: chores that make no asset."""

from collections.abc import Iterator

import dagster as dg

from millpond.instance.dead_runs import fail_dead_runs


class OldBranches(dg.Config):
    """Whether to look only."""

    dry_run: bool = False


class Night(dg.Config):
    """Which night it is; the schedule says so."""

    weekend: bool = False


@dg.op(
    description="Drops audit branches whose time is over (MILLPOND_BRANCH_RETENTION_DAYS), and expired pins."
)
def drop_old_branches(context: dg.OpExecutionContext, config: OldBranches) -> list[str]:
    """Return the names of the branches that were dropped, or with `dry_run` would be."""
    from millpond.lake import housekeeping  # here, since it takes longer to load than all definitions

    names = [ref.name for ref in housekeeping.drop_old_branches(dry_run=config.dry_run)]
    context.add_output_metadata({"branches": len(names), "names": names, "dry_run": config.dry_run})
    return names


@dg.op(description="Marks runs whose process is gone as failed and frees the pool slots they held.")
def close_dead_runs(context: dg.OpExecutionContext) -> list[str]:
    """Return the ids of the runs that were closed."""
    closed = fail_dead_runs(context.instance)
    context.add_output_metadata({"runs": len(closed), "ids": closed})
    return closed


@dg.op(
    description="Tells a night of the week from one of the weekend, on which there is time for more.",
    out={"weekend": dg.Out(dg.Nothing, is_required=False)},
)
def night(config: Night) -> Iterator[dg.Output[None]]:
    """Yield the output `weekend` on such nights; on others what depends on it is skipped."""
    if config.weekend:
        yield dg.Output(None, "weekend")


@dg.op(
    description="At weekends: removes files that nothing leads to any more (MILLPOND_ORPHAN_RETENTION_DAYS).",
    ins={"after": dg.In(dg.Nothing)},
)
def remove_orphan_files(context: dg.OpExecutionContext) -> None:
    """Sweep the folders of all tables."""
    from millpond.lake import housekeeping  # here, since it takes longer to load than all definitions

    found = housekeeping.remove_orphans()
    size = sum(orphan.bytes for orphan in found)
    context.add_output_metadata({"files": len(found), "bytes": size})
    context.log.info("%d orphan files removed, %d bytes", len(found), size)


@dg.op(description="Says in one line what was tidied.")
def summary(context: dg.OpExecutionContext, branches: list[str], runs: list[str]) -> None:
    """Log what the other ops did."""
    context.log.info("%d old branches dropped, %d dead runs closed", len(branches), len(runs))


@dg.job(
    description="Tidies what failed and killed runs leave behind: audit branches, pins, pool slots;"
    " at weekends also files that no table leads to."
)
def housekeeping() -> None:
    """Run the chores, which do not depend on one another."""
    summary(drop_old_branches(), close_dead_runs())
    remove_orphan_files(night())
