"""What is launched when an asset of somebody else has been made: waits.yaml, read."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import yaml
from pydantic import Field, ValidationError, model_validator

from millpond.errors import ConfigError
from millpond.ingestion.part import Part
from millpond.ingestion.window import Duration, Identifier
from millpond.settings import Settings

_EXAMPLE = '{ name: orders, asset: shop/orders, then: "fct_orders*", timeout: 6h }'


class Wait(Part):
    """One asset that is waited for, by its key, and the selection that is launched for its day."""

    name: Identifier
    asset: str = Field(min_length=1)
    then: str = Field(min_length=1)
    timeout: Duration
    days: int = Field(3, gt=0, le=31)

    @property
    def sensor(self) -> str:
        """Name of the sensor that waits."""
        return f"wait_for_{self.name}"

    @property
    def hours(self) -> float:
        """The timeout in hours."""
        return self.timeout.total_seconds() / 3600

    def due(self, end_of_day: dt.datetime) -> dt.datetime:
        """Return the time by which the asset of a day is to be there."""
        return end_of_day + self.timeout


class Waits(Part):
    """All of waits.yaml; the comments in it say what each key means."""

    waits: tuple[Wait, ...] = Field((), strict=False)

    @model_validator(mode="after")
    def _names_differ(self) -> Waits:
        names = [wait.name for wait in self.waits]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"two waits are called {name}; give each its own name")
        return self


def read_waits(settings: Settings) -> tuple[Wait, ...]:
    """Return what the project's waits.yaml declares, nothing without the file; raises ConfigError."""
    path: Path = settings.code / "waits.yaml"
    if not path.exists():
        return ()
    try:
        return Waits.model_validate(yaml.safe_load(path.read_text()) or {}).waits
    except yaml.YAMLError as error:
        raise _refused(f"is no YAML: {' '.join(str(error).split())}") from None
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in problem["loc"]) or "the top"
        raise _refused(f"at {place}: {problem['msg'].removeprefix('Value error, ')}") from None


def _refused(reason: str) -> ConfigError:
    return ConfigError(f"waits.yaml: {reason}", next_step=f"write for example waits: [{_EXAMPLE}]")
