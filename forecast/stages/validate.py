"""Refuses data that does not fit the configuration, and writes down what the rest looks like."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from forecast.cleaning import split_bad_rows
from forecast.errors import UNHARMED, DataRefused
from forecast.profile import Profile, profile_rows
from forecast.spec import Config
from forecast.stages.ingest import ROWS
from forecast.stages.stage import Metadata, Work, read_json, write_json

PROFILE = "data_profile.json"
SUMMARY = "validation_summary.md"


def run(work: Work) -> Metadata:
    """Write `data_profile.json` and `validation_summary.md`; raises DataRefused.

    Refused are: a column that is missing or has another type, too few rows, too many bad ones, and a column
    in which all good rows have one value.
    """
    config = work.config
    rows = pq.read_table(work.inputs["ingest"] / ROWS)
    check_schema(rows.schema, config)
    good, bad = split_bad_rows(rows, config)
    reasons = Counter(bad["reason"].to_pylist())
    _check_rows(good.num_rows, bad.num_rows, reasons, config)
    profile = profile_rows(good, config)
    _check_values(profile, config)
    write_json(work.output / PROFILE, profile.model_dump())
    summary = _summarize(good.num_rows, reasons, profile, config)
    (work.output / SUMMARY).write_text(summary, encoding="utf-8")
    work.log(f"{good.num_rows:,} good rows, {bad.num_rows:,} bad")
    return {
        "rows": rows.num_rows,
        "good_rows": good.num_rows,
        "bad_rows": bad.num_rows,
        "reasons": dict(reasons),
    }


def read_profile(folder: Path) -> Profile:
    """Return the profile in the folder of this stage, or of a packaged model."""
    return Profile.model_validate(read_json(folder / PROFILE))


def check_schema(schema: pa.Schema, config: Config) -> None:
    """Raise DataRefused if a column of the configuration is missing or has another type."""
    wrong = []
    for name, column in config.columns.items():
        if name not in schema.names:
            wrong.append(f"{name} is missing")
            continue
        kind = schema.field(name).type
        numeric = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
        if not (pa.types.is_timestamp(kind) if column.type == "timestamp" else numeric):
            wrong.append(f"{name} is {kind}, not a {column.type}")
    if wrong:
        raise _refused(
            config,
            f"the schema is not the declared one: {'; '.join(wrong)}",
            f"correct the source, or `columns` in forecast/config/{config.name}.yaml",
        )


def _check_rows(good: int, bad: int, reasons: Counter[str], config: Config) -> None:
    if good < config.source.min_rows:
        raise _refused(
            config,
            f"there are {good:,} good rows, fewer than min_rows, {config.source.min_rows:,}",
            "load more days (`millpond backfill --help`), or lower `min_rows`",
        )
    if bad > config.source.max_bad_share * (good + bad):
        shown = ", ".join(f"{count:,} because {reason}" for reason, count in reasons.most_common(3))
        raise _refused(
            config,
            f"{bad / (good + bad):.1%} of the rows are bad, more than max_bad_share, "
            f"{config.source.max_bad_share:.1%}: {shown}",
            "correct the source, or the bounds in `columns`",
        )


def _check_values(profile: Profile, config: Config) -> None:
    if constant := [name for name, column in profile.columns.items() if column.distinct == 1]:
        raise _refused(
            config,
            f"all rows have one value in {', '.join(constant)}: nothing can be learned from it",
            "correct the source, or leave the column out of the configuration",
        )


def _refused(config: Config, why: str, next_step: str) -> DataRefused:
    place = config.source.table or config.source.csv
    return DataRefused(
        f"the data of {config.name} from {place} is refused: {why}", unharmed=UNHARMED, next_step=next_step
    )


def _summarize(good: int, reasons: Counter[str], profile: Profile, config: Config) -> str:
    lines = [
        f"# Data of {config.name}",
        "",
        f"{good:,} good rows; {reasons.total():,} rows are quarantined.",
        "",
        "| column | lowest | median | mean | highest | different values |",
        "|---|---|---|---|---|---|",
    ]
    for name, column in profile.columns.items():
        low, median, high = (column.quantiles[place] for place in (0, 50, 100))
        lines.append(
            f"| {name} | {low:g} | {median:g} | {column.mean:.4g} | {high:g} | {column.distinct:,} |"
        )
    if reasons:
        lines += ["", "| quarantined because | rows |", "|---|---|"]
        lines += [f"| {reason} | {count:,} |" for reason, count in sorted(reasons.items())]
    return "\n".join(lines) + "\n"
