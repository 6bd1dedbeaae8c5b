"""Real readings as a CSV file, and the shipped configuration on them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from forecast.checkpoints import Checkpoint
from forecast.places import Places
from forecast.run_stages import run_due
from forecast.spec import Config, read_config
from millpond.runtime.demo_source.replay import EPOCH_MS, read_recording

Reading = tuple[dt.datetime, int]


@dataclass(frozen=True)
class Trained:
    """One run of all stages, with the lines that they logged."""

    config: Config
    places: Places
    done: dict[str, Checkpoint]
    lines: list[str]

    def folder(self, stage: str) -> Path:
        return self.done[stage].folder


def read_readings(weeks: int | None = None) -> list[Reading]:
    """Return the real readings of the last weeks of the recording, or of all of it."""
    first = dt.datetime.fromtimestamp(EPOCH_MS / 1000, dt.UTC)
    found = [(first + dt.timedelta(seconds=second), value) for second, value in read_recording("glucose")]
    if weeks is None:
        return found
    begin = first + dt.timedelta(weeks=28 - weeks)
    return [each for each in found if each[0] >= begin]


def write_readings(file: Path, readings: Iterable[tuple[dt.datetime, Any]]) -> Path:
    """Write readings with the columns that the configuration reads of the lake's table."""
    lines = (f"{at:%Y-%m-%d %H:%M:%S}Z,{value},{at.hour}\n" for at, value in readings)
    file.write_text("reading_at,glucose_mg_dl,hour_of_day\n" + "".join(lines))
    return file


def make_config(file: Path, **changes: Any) -> Config:
    """Return the shipped configuration of glucose on `file`; `changes` replace keys of it."""
    declared = read_config("glucose").model_dump()
    declared["source"] |= {"table": None, "csv": str(file), "min_rows": 500}
    for key, value in changes.items():
        declared[key] = declared[key] | value if key == "source" else value
    return Config.model_validate(declared)


def make_quick(file: Path, **changes: Any) -> Config:
    """Return the same with a linear model alone, which trains in no time, and no threshold."""
    training = {"candidates": [{"kind": "ridge", "parameters": {}}]}
    return make_config(file, **{"training": training, "thresholds": {}, **changes})


def run_stages(config: Config, root: Path, until: str = "report") -> Trained:
    """Run what is due of the stages in a folder."""
    lines: list[str] = []
    places = Places(root)
    done = run_due(config, places, "main", lines.append, until)
    return Trained(config, places, {each.stage: each for each in done}, lines)


def train_on_recording(folder: Path) -> Trained:
    """Train the shipped configuration on the whole recording."""
    return run_stages(make_config(write_readings(folder / "readings.csv", read_readings())), folder / "state")
