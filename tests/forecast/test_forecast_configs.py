"""Configurations are refused with file, line and what there is instead."""

from __future__ import annotations

from pathlib import Path

import pytest

from forecast.spec import FOLDER, list_configs, read_config
from millpond.errors import ConfigError

SHIPPED = (FOLDER / "glucose.yaml").read_text()


def refusal(folder: Path, text: str, name: str = "glucose") -> str:
    (folder / "glucose.yaml").write_text(text)
    with pytest.raises(ConfigError) as refused:
        read_config(name, folder)
    assert "no stage ran" in refused.value.unharmed
    assert refused.value.next_step
    return refused.value.what


def line_of(text: str, part: str) -> int:
    return next(n for n, line in enumerate(text.splitlines(), 1) if part in line)


def test_the_shipped_configurations_are_read() -> None:
    assert list_configs() == ["glucose", "penguins"]
    assert [read_config(name).name for name in list_configs()] == ["glucose", "penguins"]


CYCLE, TARGET = "{ cycle: hour_of_day, period: 24 }", "{ column: glucose_mg_dl, minutes_ahead: 30 }"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("- { column: glucose_mg_dl }", "- { column: insulin }", "features.0: there is no column insulin"),
        ("- { column: glucose_mg_dl }", "- { average: glucose_mg_dl }", "features.0: a feature is one of"),
        (
            "- { cycle: hour_of_day, period: 24 }",
            "- { cycle: hour_of_day }",
            "features.2: a feature is one of",
        ),
        ("minutes: [5, 10,", "minutes: [0, 10,", "a lag is more than tolerance_minutes"),
        ("minutes: [5, 10,", "minutes: [-30, 10,", "would reach the future"),
        (
            "target: { column: glucose_mg_dl, minutes_ahead: 30 }",
            "target: { column: glucose_mg_dl }",
            "is the target",
        ),
        (
            "target: { column: glucose_mg_dl,",
            "target: { column: sugar,",
            "target.column: there is no column sugar",
        ),
        ("by: time, test_share", "by: random, test_share", "never split at random"),
        ("  time: reading_at\n  weeks: 26", "  weeks: 26", "weeks needs the column time"),
        ("kind: ridge", "kind: magic", "training.candidates.0.kind"),
        ("min_rows: 2000", "min_row: 2000", "source.min_row"),
        ("name: glucose", "name: other", "the file's name says 'glucose'"),
        ("risk: { below: 70 }", "risk: { below: [", "is no YAML"),
    ],
)
def test_a_mistake_is_named_with_its_line(tmp_path: Path, old: str, new: str, said: str) -> None:
    text = SHIPPED.replace(old, new, 1)
    assert text != SHIPPED
    what = refusal(tmp_path, text)
    assert said in what
    assert "forecast/config/glucose.yaml, line " in what


def test_the_line_is_that_of_the_mistake(tmp_path: Path) -> None:
    text = SHIPPED.replace("- { cycle: hour_of_day,", "- { cycle: insulin,")
    assert f"line {line_of(text, 'insulin')}:" in refusal(tmp_path, text)


def test_an_unknown_configuration_is_refused_with_those_there_are(tmp_path: Path) -> None:
    (tmp_path / "penguins.yaml").write_text("")
    with pytest.raises(ConfigError, match="there is no configuration 'glucose'") as refused:
        read_config("glucose", tmp_path)
    assert refused.value.next_step == "there are: penguins"
