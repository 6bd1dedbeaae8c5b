"""How long planning ten years of every asset takes, in a process that is warm; and what it found, as a check.

    python bench/plan.py [YEARS]

Works in a home of its own, which is removed at the end. The record of the years is written to Dagster's
tables in bulk: every day of every asset planned and materialized once, all of it fresh.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

YEARS, TARGET, ROUNDS = 10, 2.0, 5


def main(years: int) -> None:
    import dagster as dg

    from millpond.backfill.planner import make_plan
    from millpond.definitions import defs
    from millpond.instance.home import open_instance
    from millpond.instance.record import read_versions
    from millpond.partitions import Window, latest_complete_day
    from millpond.settings import settings

    last = latest_complete_day(settings().zone)
    window = Window.of_days(last - dt.timedelta(days=round(365.25 * years) - 1), last)
    graph = defs.resolve_asset_graph()
    with open_instance() as recording:
        written = _record(recording, graph, window)
        _vacuumed(recording)
        keys = [key.to_user_string() for key in graph.toposorted_asset_keys]
        print(f"{len(window)} days x {len(keys)} assets; {written} materializations, each planned too")

        def planned(**more: Any) -> None:
            taken, cpu, plan = [], [], None
            for _ in range(ROUNDS):
                began, began_cpu = time.perf_counter(), time.process_time()
                plan = make_plan("*", window.days, instance=recording, definitions=defs, ref="main", **more)
                taken.append(time.perf_counter() - began)
                cpu.append(time.process_time() - began_cpu)
            assert plan
            states = Counter(item.state.value for item in plan.items)
            median = statistics.median(taken)
            verdict = "ok" if median < TARGET else f"above {TARGET} s"
            print(
                f"{_named(more):<28} median {median:.2f} s ({statistics.median(cpu):.2f} s of this process)"
                f"  {verdict}   {dict(states)}, {len(plan.chunks)} runs"
            )

        planned()
        planned(force=True)
        stale = window.days[len(window) // 2]
        _again(recording, dg.AssetKey("dlt_glucose_entries"), stale)
        planned()
        planned(stale_only=True)
        taken = []
        for _ in range(ROUNDS):
            began = time.perf_counter()
            read_versions(recording, ["fct_glucose_readings"], "main")
            taken.append(time.perf_counter() - began)
        print(f"what a step adds that reads all days of an asset: median {statistics.median(taken):.3f} s")


def _named(more: dict[str, Any]) -> str:
    return ", ".join(more) or "plan"


def _record(instance: Any, graph: Any, window: Any) -> int:
    """Write the events, with versions that make everything fresh; return how many materializations."""
    from millpond.instance.provenance import Inputs, edges

    versions: dict[str, dict[dt.date | None, str]] = {}
    written = 0
    for key in graph.toposorted_asset_keys:
        name, node = key.to_user_string(), graph.get(key)
        inputs = Inputs({name: edges(graph, name)}, versions)
        days: list[dt.date | None] = list(window.days) if node.is_partitioned else [None]
        versions[name] = {day: f"{hash((name, day)) & (1 << 128) - 1:032x}" for day in days}
        events = []
        for day in days:
            tags = {"dagster/data_version": versions[name][day], **inputs.tags(name, day)}
            if node.code_version:
                tags["dagster/code_version"] = node.code_version
            events.append((day, tags))
        _write(instance, key, events)
        written += len(events)
    return written


def _again(instance: Any, key: Any, day: dt.date) -> None:
    _write(instance, key, [(day, {"dagster/data_version": "another"})])


def _write(instance: Any, key: Any, events: list[tuple[dt.date | None, dict[str, str]]]) -> None:
    from sqlalchemy import text

    now = dt.datetime.now(dt.UTC).replace(tzinfo=None)
    storage = instance.event_log_storage
    with storage.index_connection() as conn:
        for kind in ("ASSET_MATERIALIZATION_PLANNED", "ASSET_MATERIALIZATION"):
            ids = conn.execute(
                text(
                    "insert into event_logs"
                    " (run_id, event, dagster_event_type, timestamp, step_key, asset_key, partition)"
                    " select 'bench', body, :kind, :now, 'step', :key, day"
                    " from unnest(cast(:partitions as text[]), cast(:bodies as text[])) as t (day, body)"
                    " returning id"
                ),
                {
                    "kind": kind,
                    "now": now,
                    "key": key.to_string(),
                    "partitions": [day and str(day) for day, _ in events],
                    "bodies": [_body(key, day, tags) for day, tags in events],
                },
            ).scalars()
            found = sorted(ids)
        rows = [(e, tag, v) for e, (_, tags) in zip(found, events, strict=True) for tag, v in tags.items()]
        conn.execute(
            text(
                "insert into asset_event_tags (event_id, asset_key, key, value, event_timestamp)"
                " select e, :key, k, v, :now from unnest(cast(:events as bigint[]), cast(:keys as text[]),"
                " cast(:values as text[])) as t (e, k, v)"
            ),
            {
                "key": key.to_string(),
                "now": now,
                "events": [e for e, _, _ in rows],
                "keys": [k for _, k, _ in rows],
                "values": [v for _, _, v in rows],
            },
        )


def _body(key: Any, day: dt.date | None, tags: dict[str, str]) -> str:
    """Return the body of an event, in its parts that are read and in the size that such events have."""
    numbers = {"rows": 288, "seconds": 0.01}
    entries = [
        {"__class__": "EventMetadataEntry", "label": name, "entry_data": {"value": value}}
        for name, value in numbers.items()
    ]
    made = {
        "asset_key": {"path": key.path},
        "metadata_entries": entries,
        "partition": day and str(day),
        "tags": tags,
    }
    data = {"__class__": "StepMaterializationData", "materialization": made}
    return json.dumps({"dagster_event": {"event_specific_data": data}, "message": os.urandom(700).hex()})


def _vacuumed(instance: Any) -> None:
    """Do what Postgres does by itself after a while."""
    from sqlalchemy import text

    with instance.event_log_storage.index_connection() as conn:
        for table in ("event_logs", "asset_event_tags"):
            conn.execute(text(f"vacuum analyze {table}"))


if __name__ == "__main__":
    home = Path(tempfile.mkdtemp(prefix="millpond-bench-"))
    os.environ["MILLPOND_HOME"] = str(home)
    asked = int(sys.argv[1]) if len(sys.argv) > 1 else YEARS
    long_ago = dt.datetime.now(dt.UTC) - dt.timedelta(days=round(365.25 * asked) + 1)
    os.environ["MILLPOND_START_DATE"] = str(long_ago.date())
    from millpond.runtime.down import down
    from millpond.settings import settings

    try:
        main(asked)
    finally:
        down(settings())
        shutil.rmtree(home, ignore_errors=True)
