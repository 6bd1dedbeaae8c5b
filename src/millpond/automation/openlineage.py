"""Sends Dagster's events to an OpenLineage backend, where `OPENLINEAGE_URL` names one."""

from __future__ import annotations

import logging
import warnings
from importlib.util import find_spec
from typing import Any, Final

import dagster as dg

from millpond.errors import ConfigError
from millpond.settings import process_environment

URL: Final = "OPENLINEAGE_URL"
_EVENTS_OF_A_TICK: Final = 1000
_SECONDS: Final = 30


def build_openlineage_sensors() -> list[dg.SensorDefinition]:
    """Return the sensor that sends runs, materializations and checks, if `OPENLINEAGE_URL` is set.

    What a branch made is sent once it is merged: until then it leaves observations, which are not sent.
    Raises ConfigError if the packages of the extra `openlineage` are not installed.
    """
    if not process_environment().get(URL):
        return []
    if find_spec("dagster_openlineage") is None:
        raise ConfigError(
            f"{URL} is set, but the packages that send to it are not installed",
            unharmed="everything; nothing was started",
            next_step=f"run `pip install 'millpond[openlineage]'`, or unset {URL}",
        )
    return [_build_sensor()]


def _build_sensor() -> dg.SensorDefinition:
    from dagster_openlineage import openlineage_sensor

    sent = {
        dg.DagsterEventType.RUN_START,
        dg.DagsterEventType.RUN_SUCCESS,
        dg.DagsterEventType.RUN_FAILURE,
        dg.DagsterEventType.RUN_CANCELED,
        dg.DagsterEventType.ASSET_MATERIALIZATION,
        dg.DagsterEventType.ASSET_FAILED_TO_MATERIALIZE,
        dg.DagsterEventType.ASSET_CHECK_EVALUATION,
    }
    logging.getLogger("dagster_openlineage.sensor").setLevel(
        logging.ERROR
    )  # of a second way, which is not used
    tail: Any = openlineage_sensor(
        concerned_event_types=sent, record_filter_limit=_EVENTS_OF_A_TICK, include_asset_events=True
    )

    @dg.sensor(
        name="openlineage",
        description="Sends runs, materializations and checks to the OpenLineage backend.",
        minimum_interval_seconds=_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
    )
    def openlineage(context: dg.SensorEvaluationContext) -> Any:
        with warnings.catch_warnings():
            # The package reads the event log in a way that Dagster calls deprecated.
            warnings.simplefilter("ignore")
            said = list(tail(context))
        yield from said

    return openlineage
