"""requirements/*.txt are complete: an installer that checks hashes needs nothing but what they pin."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.metadata import distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

FOLDER = Path(__file__).parents[2] / "requirements"


def _pinned(name: str) -> dict[str, Requirement]:
    """Return what a lock pins for this machine, by canonical name."""
    lines = re.findall(r"^([a-z0-9].*?)(?: \\)?$", (FOLDER / name).read_text(), re.MULTILINE)
    found = [Requirement(line) for line in lines]
    here = [each for each in found if each.marker is None or each.marker.evaluate()]
    return {canonicalize_name(each.name): each for each in here}


def _needed(pin: Requirement) -> Iterator[Requirement]:
    """Yield what the installed package of `pin` asks for, with the extras that the lock names."""
    for line in distribution(pin.name).requires or ():
        need = Requirement(line)
        contexts = [{"extra": extra} for extra in ("", *pin.extras)]
        if need.marker is None or any(need.marker.evaluate(context) for context in contexts):
            yield need


@pytest.mark.parametrize("lock", ["runtime.txt", "dev.txt"])
def test_each_package_that_a_pinned_one_asks_for_is_pinned_too_with_its_extras(lock: str) -> None:
    pinned = _pinned(lock)
    assert len(pinned) > 100
    missing = [
        f"{name} asks for {need}"
        for name, pin in pinned.items()
        for need in _needed(pin)
        if (found := pinned.get(canonicalize_name(need.name))) is None
        or not need.extras <= found.extras
        or not need.specifier.contains(next(iter(found.specifier)).version, prereleases=True)
    ]
    assert missing == []


def test_no_lock_names_where_its_packages_are_downloaded_from() -> None:
    for lock in FOLDER.glob("*.txt"):
        assert not re.search(r"https?://|--(extra-)?index-url|--find-links", lock.read_text()), lock.name


def test_the_image_adds_only_what_the_runtime_lock_covers() -> None:
    pinned = _pinned("runtime.txt") | _pinned("docker.txt")
    assert {"dagster-docker", "docker", "regex"} <= set(pinned)
