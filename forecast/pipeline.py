"""Table of contents: the stages in their order, what each depends on, and how one is run."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from forecast.code import hash_code

if TYPE_CHECKING:
    from forecast.spec import Config
    from forecast.stages.stage import Metadata, Work


@dataclass(frozen=True)
class Stage:
    """One stage: `reads` names earlier stages, `parameters` the keys of the configuration that it uses.

    Without `parameters` it uses all of them.
    """

    name: str
    description: str
    reads: tuple[str, ...]
    parameters: tuple[str, ...] = ()

    @property
    def module(self) -> str:
        """The module with its function `run`."""
        return f"forecast.stages.{self.name}"

    def run(self, work: Work) -> Metadata:
        """Run the stage: write files to `work.output` and return what it says of its work."""
        done: Metadata = importlib.import_module(self.module).run(work)
        return done

    def hash_code(self) -> str:
        """Return the hash of the code that it runs."""
        return hash_code(self.module)

    def select_parameters(self, config: Config) -> dict[str, object]:
        """Return the part of the configuration that it depends on."""
        return config.model_dump(mode="json", include=set(self.parameters) or None)


_DATA: Final = ("source", "columns")

STAGES: Final = (
    Stage("ingest", "Copy the rows of one snapshot of the table.", (), _DATA),
    Stage("validate", "Refuse data that does not fit, and profile the rest.", ("ingest",), _DATA),
    Stage(
        "features",
        "Quarantine bad rows; build features and target of the others.",
        ("ingest", "validate"),
        (*_DATA, "target", "features", "tolerance_minutes", "split", "baselines"),
    ),
    Stage(
        "train",
        "Choose a model on the validation rows and train it.",
        ("features",),
        ("features", "split", "training", "risk"),
    ),
    Stage(
        "evaluate",
        "Measure it on the held-out rows, and the drift of the data.",
        ("validate", "features", "train"),
        (*_DATA, "features", "split", "risk", "clarke_zones", "baselines", "thresholds"),
    ),
    Stage(
        "package",
        "Put the model into a folder with its manifest, where it waits for approval.",
        ("ingest", "validate", "train", "evaluate"),
    ),
    Stage(
        "report",
        "Describe data, model and metrics, with plots.",
        ("ingest", "validate", "features", "train", "evaluate", "package"),
    ),
)
NAMES: Final = tuple(stage.name for stage in STAGES)


def find_stage(name: str) -> Stage:
    """Return the stage of that name."""
    return STAGES[NAMES.index(name)]
