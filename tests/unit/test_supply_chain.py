"""Of each pinned package the licence is known and allowed, and an advisory about it is found."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from supply_chain import (
    ALLOWED,
    LOCKS,
    find_unknown_licences,
    match_advisories,
    read_allowed,
    read_licences,
    read_pins,
)

ROOT = Path(__file__).parents[2]


def _advisory(**affected: Any) -> dict[str, Any]:
    package = {"ecosystem": "PyPI", "name": "Shop_Cart"}
    return {"id": "X-1", "summary": "it sells", "affected": [{"package": package, **affected}]}


def _events(*events: dict[str, str]) -> dict[str, Any]:
    return {"ranges": [{"type": "ECOSYSTEM", "events": list(events)}]}


def test_every_pinned_package_has_a_licence_that_is_allowed() -> None:
    licences = read_licences()
    assert len(licences) > 200
    assert find_unknown_licences(licences, read_allowed()) == {}, f"allow them in {ALLOWED.name}, or not"


def test_no_package_is_accepted_that_is_not_pinned_or_has_another_licence() -> None:
    licences, accepted = read_licences(), read_allowed()["packages"]
    pinned = {name for lock in LOCKS for name in read_pins(lock)}
    assert accepted.keys() <= pinned
    assert {name: accepted[name]["licence"] for name in accepted if name in licences} == {
        name: licences[name] for name in accepted if name in licences
    }
    assert all(each["why"] for each in accepted.values())


@pytest.mark.parametrize("licence", ["AGPL-3.0-only", "", "MIT AND GPL-3.0-only", "Proprietary"])
def test_a_new_licence_is_refused_until_somebody_allows_it(licence: str) -> None:
    assert find_unknown_licences({"new": licence}, read_allowed()) == {"new": licence}
    assert find_unknown_licences({"certifi": licence}, read_allowed()), "it is accepted with its own licence"
    assert find_unknown_licences({"new": "MIT AND (Apache-2.0 OR BSD-3-Clause)"}, read_allowed()) == {}


@pytest.mark.parametrize(
    ("affected", "versions"),
    [
        ({"versions": ["1.2.0"]}, {"1.2.0"}),
        (_events({"introduced": "0"}, {"fixed": "1.2.0"}), {"0.9", "1.1.9"}),
        (_events({"introduced": "1.0"}, {"last_affected": "1.2.0"}), {"1.1.9", "1.2.0"}),
        (_events({"introduced": "0"}, {"fixed": "1.0"}, {"introduced": "1.2.0"}), {"0.9", "1.2.0", "2.0"}),
    ],
)
def test_an_advisory_is_about_the_versions_that_it_names(
    affected: dict[str, Any], versions: set[str]
) -> None:
    every = ("0.9", "1.1.9", "1.2.0", "2.0")
    found = {v for v in every if [*match_advisories([_advisory(**affected)], {"shop-cart": v})]}
    assert found == {*versions} & {*every}
    assert [*match_advisories([_advisory(**affected)], {"other": "1.2.0"})] == []


def test_an_audit_with_a_file_of_advisories_fails_for_a_pinned_package(tmp_path: Path) -> None:
    version = read_pins("runtime.txt")["dlt"]
    file = tmp_path / "advisories.json"
    package = {"ecosystem": "PyPI", "name": "dlt"}
    file.write_text(json.dumps({"id": "X-2", "affected": [{"package": package, "versions": [version]}]}))
    script = ROOT / "tests" / "supply_chain.py"
    command = [sys.executable, str(script), "audit", str(file)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, f"dlt {version}: X-2\n")


def test_what_lands_was_audited_and_has_a_bill_of_materials() -> None:
    ci = (ROOT / ".ci" / "run").read_text()
    assert re.search(r"run make sbom", ci)
    assert re.search(r"make audit", ci)
    assert "/sbom.json" in (ROOT / ".gitignore").read_text().splitlines()
