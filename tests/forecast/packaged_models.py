"""Small models, packaged as the stages package one, without training for minutes."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from forecast.features import feature_names
from forecast.manifest import Identity, Lineage, Manifest
from forecast.model_files import Model, hash_file, save_model
from forecast.places import find_places
from forecast.profile import profile_rows
from forecast.spec import read_config
from forecast.stages.stage import write_json
from forecast.stages.validate import PROFILE
from millpond.lake.spec import Replacement, TableSpec
from millpond.lake.tables import replace
from millpond.partitions import Window

DAY = dt.date(2026, 11, 2)
STEP = dt.timedelta(minutes=5)
READINGS = TableSpec(
    "silver.fct_glucose_readings",
    pa.schema(
        [
            ("entry_id", pa.string()),
            ("reading_at", pa.timestamp("us", "UTC")),
            ("reading_date", pa.date32()),
            ("hour_of_day", pa.int64()),
            ("glucose_mg_dl", pa.int64()),
        ]
    ),
    window_column="reading_date",
    key=("entry_id",),
)


def package_model(number: int, *, blocked: Sequence[str] = ()) -> Manifest:
    """Package a model that expects glucose to be `number` mg/dL higher than now, without any risk of less."""
    config = read_config("glucose")
    identity = Identity(
        name="glucose",
        data_hash=f"{number}",
        parameters=config.model_dump(mode="json", exclude={"name", "description"}),
        code_hash="",
        packages={},
    )
    manifest = Manifest(
        hash=identity.hash,
        identity=identity,
        lineage=Lineage(place="silver.fct_glucose_readings", rows=1, last="2026-11-01T23:55:00+00:00"),
        features=feature_names(config),
        chosen={"kind": "ridge"},
        metrics={"mae": 10.0 + number},
        intervals={},
        thresholds={name: each.model_dump() for name, each in config.thresholds.items()},
        blocked=list(blocked),
    )
    folder = find_places("glucose").artifacts / manifest.folder
    folder.mkdir(parents=True)
    if not blocked:
        save_model(_fit(manifest.features, number), folder)
        profile = profile_rows(make_readings(Window.of_day(DAY)), config)
        write_json(folder / PROFILE, profile.model_dump())
        files = {file.name: hash_file(file) for file in folder.iterdir()}
        manifest = manifest.model_copy(update={"files": files})
    manifest.write(folder)
    return manifest


def make_readings(window: Window, *, higher: int = 0) -> pa.Table:
    """Return a reading each five minutes, 100 to 199 mg/dL and `higher`, with a gap from 12:00 to 12:30."""
    rows = []
    for day in window.days:
        start = dt.datetime.combine(day, dt.time(), dt.UTC)
        for number in (n for n in range(288) if not 144 <= n < 150):
            at = start + number * STEP
            rows.append((f"{at:%m%d%H%M}", at, day, at.hour, 100 + number % 100 + higher))
    columns = [list(column) for column in zip(*rows, strict=True)]
    return pa.table(dict(zip(READINGS.schema.names, columns, strict=True)), schema=READINGS.schema)


def write_readings_of(window: Window, *, ref: str = "main", higher: int = 0) -> None:
    """Write the readings of some days to the lake."""
    replace([Replacement(READINGS, make_readings(window, higher=higher), window)], ref=ref, run_id="readings")


def _fit(features: Sequence[str], number: int) -> Model:
    from sklearn.linear_model import LogisticRegression, Ridge

    random = np.random.default_rng(0)
    x = random.uniform(50, 300, (200, len(features)))
    now = x[:, list(features).index("glucose_mg_dl")]
    return Model(features, Ridge(alpha=1e-9).fit(x, now + number), LogisticRegression().fit(x, now < 70))
