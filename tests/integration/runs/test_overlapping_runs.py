"""Two runs of the same day at once, in processes of their own: they take turns and leave the right rows."""

import datetime as dt
import json
import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise

import pytest

from fake_source import Entries, fake_source, reading
from millpond.instance.home import open_instance
from millpond.lake import duck
from millpond.runtime.databases import databases
from millpond.runtime.home import Home
from millpond.settings import Settings, process_environment

DAY = dt.date(2026, 11, 1)
COMMAND = ["materialize", "dlt_climate_entries*", "--partition", str(DAY), "--json"]


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_overlapping_runs_of_one_day_queue_at_the_pools_and_end_with_the_right_rows(
    home: Home, configure: Callable[..., Settings]
) -> None:
    with fake_source() as source:
        source.serve = Entries([reading(n, DAY) for n in range(288)])
        configure(greenhouse_url=source.url)
        started = [
            subprocess.Popen(
                [sys.executable, "-m", "millpond.cli.main", *COMMAND],
                env=process_environment(),
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for _ in range(2)
        ]
        answers = [process.communicate() for process in started]
    assert [process.returncode for process in started] == [0, 0], answers
    outcomes = [json.loads(out) for out, _ in answers]
    with duck.connect("main") as lake:
        for table in ("raw.climate_entries", "silver.fct_climate_readings"):
            assert lake.execute(f"select count(*) from {table}").fetchone() == (288,)
    with databases().marts_readonly.connect() as marts:
        assert marts.execute("select reading_date, reading_count from mrt_climate_overview").fetchall() == [
            (DAY, 288)
        ]
    with open_instance() as recorded:
        spans = [
            (stats.start_time, stats.end_time)
            for outcome in outcomes
            for stats in recorded.get_run_step_stats(outcome["run_id"])
            if stats.step_key.startswith("dbt_")
        ]
        pools = recorded.event_log_storage.get_concurrency_info("transform")
    spans.sort()
    assert len(spans) == 2
    assert all(before[1] <= after[0] for before, after in pairwise(spans))
    assert (pools.active_slot_count, pools.slot_count) == (0, 1)
