"""The report shows data, model, metrics and the stages, and needs no other file in its HTML form."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from forecast_data import Trained, run_stages

from forecast.graph import draw_graph, read_graph
from forecast.manifest import read_manifest
from forecast.pipeline import STAGES
from forecast.spec import read_config

CHECKOUT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_the_report_has_the_metrics_and_figures_of_the_model(trained: Trained) -> None:
    folder = trained.folder("report")
    (packaged,) = trained.folder("package").glob("model_v*")
    manifest = read_manifest(packaged)
    text, page = (folder / "report.md").read_text(), (folder / "report.html").read_text()
    for said in (manifest.hash, f"{manifest.metrics['mae']:.4g}", f"{manifest.metrics['clarke_a']:.2%}"):
        assert said in text
        assert said in page
    figures = re.findall(r"!\[.+?\]\((.+?)\)", text)
    assert sorted(figures) == ["day.svg", "margins.svg", "pairs.svg", "stages.svg"]
    for name in figures:
        ET.parse(folder / name)  # of our own
        assert (folder / name).read_text() in page
    assert page.count("<svg") == len(figures)
    assert not re.search(r"(src|href)=", page)


@pytest.mark.slow
def test_the_report_of_the_second_example_has_r2_and_no_error_grid(tmp_path: Path) -> None:
    done = run_stages(read_config("penguins"), tmp_path)
    text = (done.folder("report") / "report.md").read_text()
    assert "| r2 | at least 0.6 |" in text
    assert "Clarke" not in text
    assert "bill_length_mm is null | 2 |" in text


def test_the_graph_is_that_of_the_assets() -> None:
    graph = read_graph()
    for stage in STAGES:
        wanted = [f"forecast_{name}" for name in stage.reads] or ["fct_glucose_readings"]
        assert graph[f"forecast_{stage.name}"] == sorted(wanted)
    assert graph["fct_glucose_readings"] == []


def test_the_picture_in_the_docs_is_that_of_the_assets() -> None:
    drawn = draw_graph(read_graph())
    assert (CHECKOUT / "docs" / "img" / "forecast.svg").read_text() == drawn, (
        "write it again: python -m forecast.graph > docs/img/forecast.svg"
    )
    ET.fromstring(drawn)  # of our own
