"""The command line in this process, and a place for another home that the user of Postgres may pass to."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from millpond.runtime.down import down
from millpond.settings import Settings, settings
from typed_commands import run, run_as_typed  # noqa: F401 - fixtures


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder beside the home: pytest takes back what others may do in its own folders."""
    folder = Path(tempfile.mkdtemp(dir=settings().home.parent))
    folder.chmod(0o711)
    yield folder
    for home in (folder / "restored", folder / "restored" / "restoring"):
        down(Settings(project=settings().project, home=home))
    shutil.rmtree(folder)
