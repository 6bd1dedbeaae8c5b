"""One training as a Dagster run in this process: recorded, watched and alerted like any other run."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Callable

import dagster as dg

from forecast.assets import JOB
from forecast.spec import Config
from millpond.instance.home import CODE_LOCATION, open_instance
from millpond.internals.dagster import make_new_run_id
from millpond.resources.run import REF_TAG

_SILENT = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


def run_recorded(
    config: Config, ref: str, log: Callable[[str], None], definitions: dg.Definitions | None = None
) -> str:
    """Run all stages of a configuration as one run of the job `forecast_training`; returns its id.

    `log` is given the lines of the stages, `definitions` default to the code location's. Raises what a stage
    raised.
    """
    loaded: dg.Definitions = definitions or importlib.import_module(CODE_LOCATION).defs
    job = loaded.resolve_job_def(JOB)
    run_id = make_new_run_id()

    def listen(entry: dg.EventLogEntry) -> None:
        if entry.dagster_event is None and entry.level == logging.INFO:
            log(entry.user_message)

    with open_instance() as instance:
        instance.add_event_listener(run_id, listen)
        job.execute_in_process(
            instance=instance,
            run_id=run_id,
            run_config=_SILENT,
            partition_key=config.name,
            tags={REF_TAG: ref},
        )
    return run_id
