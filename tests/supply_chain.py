"""Licences and known vulnerabilities of the packages that requirements/*.txt pin.

`python tests/supply_chain.py audit [FILE]` asks an advisory service with pip-audit or, given a file of
advisories in OSV's JSON (one, or a list), reads that and needs no network. It ends with 0 if nothing is
known, 1 if something is, and 3 if no service could be reached.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path
from typing import Any, Final

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

ROOT: Final = Path(__file__).parents[1]
LOCKS: Final = ("runtime.txt", "dev.txt")
ALLOWED: Final = ROOT / "requirements" / "licences.toml"
NOT_AUDITED: Final = 3
_PIP_AUDIT: Final = ROOT / ".venv" / "audit" / "bin" / "pip-audit"
_PROBE: Final = "pip"
_WORDS: Final = re.compile(r"\s+(?:AND|OR|WITH)\s+|[();]+", re.IGNORECASE)


def read_pins(lock: str) -> dict[str, str]:
    """Return the version of each package that a lock pins for this machine, by canonical name."""
    lines = re.findall(r"^([a-z0-9].*?)(?: \\)?$", (ROOT / "requirements" / lock).read_text(), re.MULTILINE)
    found = [Requirement(line) for line in lines]
    return {
        canonicalize_name(each.name): next(iter(each.specifier)).version
        for each in found
        if each.marker is None or each.marker.evaluate()
    }


def read_licence(name: str) -> str:
    """Return what an installed package says its licence is; empty if it says nothing."""
    about = metadata(name)
    if expression := about.get("License-Expression"):
        return str(expression)
    classifiers = [each for each in about.get_all("Classifier") or [] if each.startswith("License ::")]
    if named := [each.rpartition(" :: ")[2] for each in classifiers if each.count(" :: ") > 1]:
        return "; ".join(named)
    return str(about.get("License") or "").strip().partition("\n")[0]


def find_unknown_licences(licences: Mapping[str, str], allowed: Mapping[str, Any]) -> dict[str, str]:
    """Return the packages whose licence is neither allowed nor accepted for them by name."""
    known = {each.lower() for each in allowed["allowed"]}
    return {
        name: licence
        for name, licence in licences.items()
        if allowed["packages"].get(name, {}).get("licence") != licence
        and not (licence and all(part.lower() in known for part in _split(licence)))
    }


def read_licences() -> dict[str, str]:
    """Return the licence of each pinned package that is installed."""
    found = {}
    for name in sorted({name for lock in LOCKS for name in read_pins(lock)}):
        try:
            found[name] = read_licence(name)
        except PackageNotFoundError:  # of another platform
            continue
    return found


def read_allowed() -> dict[str, Any]:
    """Return the licences that are allowed, and the packages that are accepted with another one."""
    return tomllib.loads(ALLOWED.read_text())


def match_advisories(advisories: list[dict[str, Any]], pins: Mapping[str, str]) -> Iterator[str]:
    """Yield a line for each pinned package that one of the advisories, in OSV's form, is about."""
    for each in advisories:
        for affected in each.get("affected", ()):
            package = affected.get("package", {})
            name = canonicalize_name(str(package.get("name", "")))
            if package.get("ecosystem") == "PyPI" and name in pins and _is_affected(pins[name], affected):
                yield f"{name} {pins[name]}: {each.get('id')} {each.get('summary', '')}".rstrip()


def audit(file: str | None) -> int:
    """Print what is known of the pinned packages; returns the exit code, see above."""
    pins = {name: version for lock in LOCKS for name, version in read_pins(lock).items()}
    if file:
        given = json.loads(Path(file).read_text())
        found = list(match_advisories(given if isinstance(given, list) else [given], pins))
    else:
        if _ask(f"{_PROBE}==20.0") == []:
            print("NOT AUDITED: no advisory service can be reached; give a file: make audit ADVISORIES=FILE")
            return NOT_AUDITED
        answers = _ask(*(f"{name}=={version}" for name, version in pins.items()))
        found = [f"{a['name']} {a['version']}: {v['id']}" for a in answers for v in a["vulns"]]
        if left := len(pins) - len(answers):
            print(f"{left} of {len(pins)} packages are unknown to the advisory service")
    print("\n".join(found) or f"no known vulnerability in {len(pins)} packages")
    return 1 if found else 0


def _ask(*pins: str) -> list[dict[str, Any]]:
    """Return pip-audit's answers about packages; those that no service knows are left out."""
    command = [
        str(_PIP_AUDIT),
        "--requirement",
        "/dev/stdin",
        "--no-deps",
        "--disable-pip",
        "--format",
        "json",
    ]
    command += ["--progress-spinner", "off", "--timeout", "10"]
    done = subprocess.run(command, input="\n".join(pins), capture_output=True, text=True)
    answers = json.loads(done.stdout)["dependencies"] if done.stdout.startswith("{") else []
    return [each for each in answers if "skip_reason" not in each]


def _split(licence: str) -> list[str]:
    return [part.strip() for part in _WORDS.split(licence) if part.strip()]


def _is_affected(version: str, affected: Mapping[str, Any]) -> bool:
    return version in affected.get("versions", ()) or any(
        _is_in_range(version, each.get("events", ()))
        for each in affected.get("ranges", ())
        if each.get("type") == "ECOSYSTEM"
    )


def _is_in_range(version: str, events: list[dict[str, str]]) -> bool:
    """Return whether a version is between an `introduced` and the `fixed` or `last_affected` after it."""
    inside, ours = False, Version(version)
    for event in events:
        (kind, text), *_ = event.items()
        try:
            at = Version(text)
        except InvalidVersion:
            continue
        if kind == "introduced":
            inside = inside or ours >= at
        elif (kind == "fixed" and ours >= at) or (kind == "last_affected" and ours > at):
            inside = False
    return inside


if __name__ == "__main__":
    sys.exit(audit(sys.argv[2] if len(sys.argv) > 2 else None))
