"""The forecast's package is the example project's: it is imported from the checkout, as a project's is."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
if str(CHECKOUT) not in sys.path:
    sys.path.insert(0, str(CHECKOUT))

from forecast_data import Trained, train_on_recording  # noqa: E402 - it imports the package

from typed_commands import run, run_as_typed  # noqa: E402, F401 - fixtures


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """The model of the shipped configuration, trained on all of the real recording, which tests only read."""
    return train_on_recording(tmp_path_factory.mktemp("recording"))
