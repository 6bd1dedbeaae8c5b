"""What docs/forecast.md and the help of its commands show is typed here as it stands there."""

from __future__ import annotations

import datetime as dt
import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from documented import Documented, in_blocks, in_help
from forecast.places import find_places, list_models
from forecast.registry import find_serving, read_decisions
from forecast.spec import list_configs
from millpond.partitions import latest_complete_day
from millpond.runtime.home import Home
from millpond.settings import settings
from project_folders import in_example, make_forecasting_example
from typed_commands import Run

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1_200)]
WEEKS = 10
LOADED = "dlt_glucose_entries,stg_glucose_entries,fct_glucose_readings"


@pytest.fixture(scope="module", autouse=True)
def _in_example() -> Iterator[None]:
    with in_example(make_forecasting_example):
        yield


def shown() -> list[Documented]:
    """Return the commands in the order of the page, then those of the help."""
    page = [each for each in in_blocks() if each.where.startswith("docs/forecast.md")]
    found = [*page, *(each for each in in_help() if each.words[1] == "forecast")]
    return [each for each in found if each.words[0] == "millpond"]


def name_models(words: list[str]) -> list[str]:
    """Return words with models that exist in place of A, B and HASH: B and HASH do not serve."""
    if words[0] != "forecast":
        return words
    decision = find_serving(read_decisions("glucose"))
    models = [manifest.short for _, manifest in list_models(find_places("glucose"))]
    serving = [each for each in models if decision and decision.model.startswith(each)]
    other = [each for each in models if each not in serving]
    names = (
        {"A": (serving or models)[0], "B": (other or models)[-1], "HASH": (other or models)[-1]}
        if models
        else {}
    )
    return [names.get(word, word) for word in words]


def test_each_command_of_the_forecast_does_what_it_is_shown_for(
    home: Home, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in list_configs():
        shutil.rmtree(find_places(name).root, ignore_errors=True)
    monkeypatch.chdir(tmp_path)
    last = latest_complete_day(settings().zone)
    first = last - dt.timedelta(weeks=WEEKS)
    assert run("materialize", LOADED, "--range", f"{first}...{last - dt.timedelta(days=1)}")[0] == 0
    failures = []
    for documented in shown():
        words = name_models(documented.words[1:])
        words = [
            re.sub(r"^2026-.*\.\.\..*$", f"{last - dt.timedelta(days=3)}...{last}", word) for word in words
        ]
        if words[:2] == ["forecast", "compare"] and len(list_models(find_places("glucose"))) == 1:
            assert run("materialize", LOADED, "--partition", str(last))[0] == 0
            assert run("forecast", "run")[0] == 0
            words = name_models(documented.words[1:])
        code, out, err = run(*words)
        if code or not out.strip():
            failures.append(f"{documented}\n  as {shlex.join(words)}\n  exit {code}: {(out + err)[-1500:]}")
    assert not failures, "\n".join(failures)
