"""The sensor of files as Dagster drives it: a run for the days of new files, and none for what was seen."""

from __future__ import annotations

import datetime as dt
from typing import Any

import dagster as dg
import pytest
from file_sources import DAY, Drop, sales

from millpond.automation.new_data_sensors import build_new_data_sensors
from millpond.errors import SourceRefused
from millpond.ingestion.assets import build_assets
from millpond.ingestion.files.place import LocalFolder
from millpond.instance.home import open_instance

pytestmark = pytest.mark.usefixtures("clock")
TODAY = dt.date(2026, 1, 10)
ROW = "id,at\n1,2026-01-05T10:00:00Z\n"


class Daemon:
    """Ticks of the sensor, each going on from the cursor of the one before."""

    def __init__(self, drop: Drop, instance: dg.DagsterInstance) -> None:
        source = drop.spec("sales_{date}.csv", table={"news": {"every": "1m"}})
        self.assets = build_assets([source])
        (self.sensor,) = build_new_data_sensors([source], [])
        self.instance, self.cursor = instance, None

    def tick(self, keep: bool = True) -> dg.SensorResult:
        repository = dg.Definitions(assets=self.assets).get_repository_def()
        context = dg.build_sensor_context(
            instance=self.instance, cursor=self.cursor, repository_def=repository
        )
        result: Any = self.sensor(context)
        self.cursor = result.cursor if keep else self.cursor
        return result


def test_a_new_file_starts_one_run_which_loads_its_day(drop: Drop) -> None:
    with open_instance() as instance:
        daemon = Daemon(drop, instance)
        assert not daemon.tick().run_requests
        drop.put("sales_2026-01-05.csv", ROW)
        killed = daemon.tick(keep=False)
        (request,) = daemon.tick().run_requests or ()
        assert [each.run_key for each in killed.run_requests or ()] == [request.run_key]
        assert request.tags["dagster/partition"] == str(DAY)
        assert request.asset_selection == [dg.AssetKey("dlt_sales")]
        assert not daemon.tick().run_requests
        job = dg.Definitions(assets=daemon.assets).resolve_implicit_global_asset_job_def()
        assert job.execute_in_process(instance=instance, tags=dict(request.tags)).success
        assert sales("id") == [1]
        assert "no new files" in str(daemon.tick().skip_reason)


def test_a_folder_that_is_away_is_waited_for_and_one_that_may_not_be_read_fails_the_tick(
    drop: Drop, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_instance() as instance:
        daemon = Daemon(drop, instance)
        away = drop.folder.rename(drop.folder.with_name("away"))
        assert "there is no folder" in str(daemon.tick().skip_reason)
        away.rename(drop.folder)

        def refuse(*_: object) -> Any:
            raise PermissionError(13, "no")

        monkeypatch.setattr(LocalFolder, "entries", refuse)
        with pytest.raises(SourceRefused, match="may not be read"):
            daemon.tick()
