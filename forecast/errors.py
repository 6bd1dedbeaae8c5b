"""What stops a stage: each error says what is unharmed and what to do next."""

from __future__ import annotations

from typing import Final

from millpond.errors import ConfigError, MillpondError

UNHARMED: Final = "the model that serves, and the checkpoints of the stages before"


class DataRefused(MillpondError):
    """The data of a stage does not fit the configuration: nothing was trained on it."""


class TrainingUnstable(MillpondError):
    """No seed gave a model whose predictions are sane."""


class ModelBlocked(MillpondError):
    """A model missed a threshold of its configuration and was not packaged."""


class ModelAltered(MillpondError):
    """A file of a model is not the one that was packaged, or holds what may not be loaded."""


class ModelNotFound(ConfigError):
    """There is no model of this hash, or several hashes begin like it; nothing was decided."""


class DecisionRefused(ConfigError):
    """A decision about a model that cannot be made, or that another one overtook; nothing was recorded."""
