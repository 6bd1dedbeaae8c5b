"""The stack in containers, one for all tests here; how long each step took is told at the end."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "scale")]

from containers import Containers, containers, official_images  # noqa: E402
from engine import NoEngine, docker, running_engine  # noqa: E402
from stand_ins import make_base_images, official_images_can_be_had  # noqa: E402

_HERE = Path(__file__).parent
_laps: list[tuple[str, float]] = []
_notes: list[str] = []


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what lies here, so that only those who ask for it wait for containers."""
    for item in items:
        if item.path.is_relative_to(_HERE):
            item.add_marker(pytest.mark.docker)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Tell how long each step took and how large the image is."""
    for note in _notes:
        terminalreporter.write_line(note)
    for step, seconds in _laps:
        terminalreporter.write_line(f"{seconds:7.1f} s  {step}")


@pytest.fixture(scope="session")
def lap() -> Callable[[str], None]:
    """Call it with the name of what was just done."""
    last = time.monotonic()

    def note(step: str) -> None:
        nonlocal last
        now = time.monotonic()
        _laps.append((step, now - last))
        last = now

    return note


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory, lap: Callable[[str], None]) -> Iterator[Containers]:
    """The stack, built but not yet up; taken down with its volumes at the end."""
    try:
        with running_engine():
            lap("engine ready")
            stand_ins = not official_images_can_be_had(official_images())
            if stand_ins:
                _notes.append(
                    "official images cannot be pulled here: built and used docker/stand-ins instead"
                )
                make_base_images(lap)
            made = containers(tmp_path_factory.mktemp("secrets"), stand_ins=stand_ins)
            # What a killed session left has other passwords in its volumes than this one's.
            made.compose("down", "--volumes", "--timeout=20")
            if stand_ins:
                made.compose("build", "postgres", "s3", "nessie", "trino")
                lap("stand-ins built")
            made.compose("build", "provision")
            lap("our image built")
            made.compose("build", "superset")
            lap("our image of Superset built")
            size = docker("image", "inspect", "--format={{.Size}}", made.environment["MILLPOND_IMAGE"]).stdout
            _notes.append(f"our image has {int(size) / 1e6:.0f} MB unpacked")
            try:
                yield made
            finally:
                made.compose("down", "--volumes", "--timeout=20")
                lap("taken down, volumes removed")
    except NoEngine as missing:
        pytest.fail(str(missing), pytrace=False)
