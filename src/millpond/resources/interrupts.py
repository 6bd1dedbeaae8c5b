"""Ctrl-C and SIGTERM end a run; Dagster takes them for a failure that a step's retry policy may repeat."""

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg
from dagster import DagsterExecutionInterruptedError

from millpond.internals.dagster import announce_interrupt


@contextmanager
def interrupts_are_final(context: dg.AssetExecutionContext) -> Iterator[None]:
    """Have an interrupt within the block end the step and then the run, whatever the retry policy says.

    Dagster 1.13 asks the policy first, so that a run told to end would wait and begin the step again. It
    records the run as canceled if that was announced, as "Terminate" in the pages does, else as failed.
    """
    try:
        yield
    except (KeyboardInterrupt, DagsterExecutionInterruptedError) as interrupt:
        run = context.instance.get_run_by_id(context.run_id)
        if run and run.status == dg.DagsterRunStatus.STARTED:
            context.instance.report_run_canceling(run, "Its process was told to end.")
        # Dagster raises it anew before the next step begins, where no policy applies.
        announce_interrupt()
        raise dg.Failure("interrupted", allow_retries=False) from interrupt
