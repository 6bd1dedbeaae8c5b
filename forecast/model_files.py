"""Files of a model: numbers and names only, which load without running code that they bring.

skops writes what scikit-learn trained. Its files are made equal for equal models, whenever and wherever they
are written, and are only read if their hash is the one in the manifest.
"""

from __future__ import annotations

import hashlib
import io
import re
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa

from forecast.columns import Flags, Floats, to_floats
from forecast.errors import UNHARMED, ModelAltered
from forecast.extra import one_thread, require_extra

MODEL_FILE: Final = "model.skops"
RISK_FILE: Final = "risk.skops"
TRUSTED: Final = ("sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",)
"""Types beside those of scikit-learn, NumPy and SciPy that skops trusts by itself."""
_ID = re.compile(rb'"__id__": (\d+)')
_FIRST_DAY = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class Model:
    """A model as it was packaged: `features` names what it takes, in order."""

    features: Sequence[str]
    regressor: Any
    classifier: Any = None

    def predict(self, features: pa.Table) -> Floats:
        """Return the predicted target of each row; NaN where a feature is null."""
        return self._apply(features, self.regressor.predict)

    def predict_risk(self, features: pa.Table) -> Floats:
        """Return the probability of the event of each row, 0 to 1; NaN where a feature is null.

        Without a model of the event all are NaN.
        """
        if self.classifier is None:
            return np.full(features.num_rows, np.nan)
        return self._apply(features, lambda x: self.classifier.predict_proba(x)[:, 1])

    def _apply(self, features: pa.Table, predict: Any) -> Floats:
        matrix = stack_features(features, self.features)
        complete = has_all(matrix)
        found = np.full(len(matrix), np.nan)
        if complete.any():
            with one_thread():
                found[complete] = predict(matrix[complete])
        return found


def stack_features(features: pa.Table, names: Sequence[str]) -> Floats:
    """Return the columns `names` as a matrix, a row for each row."""
    return np.column_stack([to_floats(features, name) for name in names])


def has_all(matrix: Floats) -> Flags:
    """Return which rows of a matrix have every feature."""
    return np.asarray(~np.isnan(matrix).any(axis=1))


def save_model(model: Model, folder: Path) -> None:
    """Write the files of a model to `folder`: the same bytes for the same model."""
    require_extra()
    from skops.io import dumps

    (folder / MODEL_FILE).write_bytes(make_reproducible(dumps(model.regressor)))
    if model.classifier is not None:
        (folder / RISK_FILE).write_bytes(make_reproducible(dumps(model.classifier)))


def load_model(folder: Path, features: Sequence[str], hashes: Mapping[str, str]) -> Model:
    """Return the model in `folder`; `hashes` gives the SHA-256 of each file.

    Raises ModelAltered if a file is missing, differs from its hash, or holds a type that is not trusted.
    """
    require_extra()
    found = {name: _load(folder / name, hashes[name]) for name in (MODEL_FILE, RISK_FILE) if name in hashes}
    if MODEL_FILE not in found:
        raise _altered(folder / MODEL_FILE, "the manifest does not name it")
    return Model(tuple(features), found[MODEL_FILE], found.get(RISK_FILE))


def hash_file(file: Path) -> str:
    """Return the SHA-256 of a file."""
    return hashlib.sha256(file.read_bytes()).hexdigest()


def make_reproducible(packed: bytes) -> bytes:
    """Return a file of skops without what differs between processes: addresses of objects, and times."""
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    schema = content.pop("schema.json")
    numbers = {old: str(new).encode() for new, old in enumerate(dict.fromkeys(_ID.findall(schema)))}
    schema = re.sub(rb"\b\d{6,}\b", lambda found: numbers.get(found[0], found[0]), schema)
    renamed = {_rename(name, numbers): data for name, data in content.items()}
    result = io.BytesIO()
    with zipfile.ZipFile(result, "w", zipfile.ZIP_STORED) as archive:
        for name, data in [*sorted(renamed.items()), ("schema.json", schema)]:
            archive.writestr(zipfile.ZipInfo(name, _FIRST_DAY), data)
    return result.getvalue()


def _rename(name: str, numbers: Mapping[bytes, bytes]) -> str:
    stem, dot, suffix = name.partition(".")
    return numbers.get(stem.encode(), stem.encode()).decode() + dot + suffix


def _load(file: Path, expected: str) -> Any:
    from skops.io import loads
    from skops.io.exceptions import UntrustedTypesFoundException

    if not file.is_file():
        raise _altered(file, "it is missing")
    content = file.read_bytes()
    if hashlib.sha256(content).hexdigest() != expected:
        raise _altered(file, "its SHA-256 is not the one in the manifest")
    try:
        return loads(content, trusted=list(TRUSTED))
    except UntrustedTypesFoundException as error:
        raise _altered(file, f"it holds types that are not trusted: {error}") from None


def _altered(file: Path, why: str) -> ModelAltered:
    return ModelAltered(
        f"the model file {file.name} in {file.parent.name} is refused: {why}",
        unharmed=f"{UNHARMED}; nothing of the file was loaded",
        next_step="restore the file, or remove the folder: `millpond forecast run` packages it again",
    )
