"""What a file in `config/` may declare: data, target, features, split, models and thresholds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from millpond.errors import ConfigError
from millpond.ingestion.spec_lines import find_yaml_line
from millpond.yaml_text import load_yaml

FOLDER: Final = Path(__file__).parent / "config"
_UNHARMED: Final = "everything; no stage ran"


class _Declared(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Source(_Declared):
    """A table of the lake, or a CSV file beside the configuration.

    `time` is the column that orders the rows; `weeks` takes the last weeks of it only.
    """

    table: str | None = None
    csv: str | None = None
    time: str | None = None
    weeks: int | None = Field(None, ge=1)
    min_rows: int = Field(100, ge=10)
    max_bad_share: float = Field(0.1, ge=0, le=1)

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if (self.table is None) == (self.csv is None):
            raise ValueError("name either a table or a csv")
        if self.weeks and not self.time:
            raise ValueError("weeks needs the column time")
        return self


class Column(_Declared):
    """A column that is read; a row with a value outside of `min` and `max` is quarantined."""

    type: Literal["number", "timestamp"] = "number"
    min: float | None = None
    max: float | None = None


class Target(_Declared):
    """The column to predict: of the same row, or of the reading `minutes_ahead`."""

    column: str
    minutes_ahead: float | None = Field(None, gt=0)


class Value(_Declared):
    """The value of a column in the row itself."""

    column: str


class Lag(_Declared):
    """The values of a column so many minutes before the row."""

    lag: str
    minutes: list[float] = Field(min_length=1)


class Cycle(_Declared):
    """Sine and cosine of a column that repeats: of an hour with the period 24."""

    cycle: str
    period: float = Field(gt=0)


Feature = Value | Lag | Cycle


class Split(_Declared):
    """Which rows are held out: the last days, or without a time a random share."""

    by: Literal["time", "random"]
    test_share: float = Field(gt=0, lt=1)
    validation_share: float = Field(0.15, gt=0, lt=1)
    seed: int = 0


class Candidate(_Declared):
    """A kind of model and its parameters, as scikit-learn names them."""

    kind: Literal["ridge", "hist_gradient_boosting"]
    parameters: dict[str, Any] = {}


class Training(_Declared):
    """The candidates, from simple to complex, and the seeds.

    A later candidate is chosen if it is surely better on the validation rows than the ones before.

    A model is unstable if its error on the validation rows is `unstable_above` times that of the mean.
    """

    candidates: list[Candidate] = Field(min_length=1)
    seed: int = 0
    fallback_seed: int = 1
    unstable_above: float = Field(1.0, gt=0)


class Risk(_Declared):
    """The event whose probability is predicted too: the target lies below this value."""

    below: float


class SameAsNow(_Declared):
    """The baseline that predicts the present value of a column."""

    kind: Literal["same_as_now"]
    column: str


class Linear(_Declared):
    """The baseline that continues the line through now and so many minutes ago."""

    kind: Literal["linear"]
    column: str
    minutes: float = Field(gt=0)


class Mean(_Declared):
    """The baseline that predicts the mean of the training rows."""

    kind: Literal["mean"]


Baseline = Annotated[SameAsNow | Linear | Mean, Field(discriminator="kind")]


class Threshold(_Declared):
    """The bounds of a metric; a model outside of them is blocked."""

    min: float | None = None
    max: float | None = None


class Config(_Declared):
    """One model: everything its stages need to know."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]{0,40}$")
    description: str = ""
    source: Source
    columns: dict[str, Column]
    target: Target
    features: list[Feature] = Field(min_length=1)
    tolerance_minutes: float = Field(2.5, gt=0)
    split: Split
    training: Training
    risk: Risk | None = None
    clarke_zones: bool = False
    baselines: list[Baseline] = Field(min_length=1)
    thresholds: dict[str, Threshold] = {}

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        for path, name in self._named_columns():
            if name not in self.columns:
                raise ValueError(_at(path, f"there is no column {name}; columns: {', '.join(self.columns)}"))
        for number, feature in enumerate(self.features):
            if isinstance(feature, Lag) and min(feature.minutes) <= self.tolerance_minutes:
                least = f"more than tolerance_minutes, {self.tolerance_minutes:g}"
                raise ValueError(_at(f"features.{number}", f"a lag is {least}: less would reach the future"))
            if self.target.minutes_ahead is None and _reads(feature, self.target.column):
                raise ValueError(
                    _at(f"features.{number}", f"{self.target.column} is the target of the same row")
                )
        needs_time = self.target.minutes_ahead or any(isinstance(each, Lag) for each in self.features)
        if not self.source.time and (needs_time or self.split.by == "time"):
            raise ValueError(_at("source", "lags, a target ahead and a split by time need the column time"))
        if self.source.time and self.split.by == "random":
            raise ValueError(_at("split", "rows that have a time are never split at random: use by: time"))
        return self

    def _named_columns(self) -> list[tuple[str, str]]:
        named = [("target.column", self.target.column)]
        named += [(f"features.{i}", _column_of(each)) for i, each in enumerate(self.features)]
        named += [
            (f"baselines.{i}", each.column) for i, each in enumerate(self.baselines) if each.kind != "mean"
        ]
        return [("source.time", self.source.time), *named] if self.source.time else named


def _column_of(feature: Feature) -> str:
    if isinstance(feature, Lag):
        return feature.lag
    return feature.cycle if isinstance(feature, Cycle) else feature.column


def _reads(feature: Feature, column: str) -> bool:
    return not isinstance(feature, Lag) and _column_of(feature) == column


def _at(path: str, message: str) -> str:
    return f"{path}: {message}"


def list_configs(folder: Path = FOLDER) -> list[str]:
    """Return the names of the configurations, sorted."""
    return sorted(file.stem for file in folder.glob("*.yaml"))


def read_config(name: str, folder: Path = FOLDER) -> Config:
    """Return the configuration `name`; raises ConfigError with file and line."""
    file = folder / f"{name}.yaml"
    if not file.is_file():
        raise ConfigError(
            f"there is no configuration {name!r} in forecast/config",
            unharmed=_UNHARMED,
            next_step=f"there are: {', '.join(list_configs(folder)) or 'none'}",
        )
    text = file.read_bytes()
    try:
        config = Config.model_validate(load_yaml(text))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark else None
        raise _mistake(file, line, f"is no YAML: {' '.join(str(error).split())}") from None
    except ValidationError as error:
        raise _explain(file, text, error) from None
    if config.name != name:
        raise _mistake(file, 1, f"name is {config.name!r}, the file's name says {name!r}")
    return config


def _explain(file: Path, text: bytes, error: ValidationError) -> ConfigError:
    first = error.errors()[0]
    path: list[str | int] = [each for each in first["loc"] if not str(each)[:1].isupper()]
    message = first["msg"].removeprefix("Value error, ")
    if not path and ": " in message:
        place, _, message = message.partition(": ")
        path = [int(each) if each.isdigit() else each for each in place.split(".")]
    if path[:1] == ["features"] and first["type"] in ("missing", "extra_forbidden"):
        path, message = path[:2], "a feature is one of column, lag with minutes, cycle with period"
    shown = ".".join(map(str, path))
    return _mistake(file, find_yaml_line(text, path), f"{shown}: {message}" if shown else message)


def _mistake(file: Path, line: int | None, what: str) -> ConfigError:
    place = f"forecast/config/{file.name}" + (f", line {line}" if line else "")
    return ConfigError(f"{place}: {what}", unharmed=_UNHARMED, next_step="correct the file")
