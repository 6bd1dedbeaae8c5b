"""The dashboard's packages may be out of reach: it is down with a note then, and comes once it can."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from millpond.runtime import dashboard_part, dashboard_process, environments
from millpond.runtime.environments import Environment
from millpond.runtime.home import layout
from millpond.runtime.part import DOWN, STARTING, Status, check_health
from millpond.runtime.processes import Process
from millpond.settings import settings
from waiting import until


def test_packages_out_of_reach_are_a_note_and_are_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(environments, "_REQUIREMENTS", tmp_path)
    monkeypatch.setattr(environments, "_find_parent", lambda: tmp_path / "environments")
    monkeypatch.setattr(dashboard_process, "ENVIRONMENT", Environment("small"))
    pins = tmp_path / "small.txt"
    pins.write_text(f"nowhere @ file://{tmp_path}/nowhere.whl --hash=sha256:{'0' * 64}\n")
    home = layout(settings())
    part = dashboard_part.build_dashboard_part(settings(), home)
    nobody = Process("dashboard", 1, 0.0, 1)
    assert check_health(part, nobody).state == STARTING

    found: list[Path] = []
    installing = threading.Thread(target=lambda: found.append(dashboard_process.install(home, 0.05)))
    installing.start()
    until(lambda: check_health(part, nobody).state == DOWN)
    health = check_health(part, nobody)
    assert "small could not be installed" in health.note
    assert not health.restartable, "it would be installed again and again"
    pins.write_text("")
    installing.join(60)
    assert found[0].exists()
    assert check_health(part, nobody).state == STARTING


def test_nothing_counts_as_missing_for_the_dashboard() -> None:
    assert dashboard_part.build_dashboard_part(settings(), layout(settings())).optional
    assert Status("dashboard", DOWN, optional=True).serves
    assert not Status("webserver", DOWN).serves
