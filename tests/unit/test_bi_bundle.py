"""Dashboards are files: read as they are, refused with the name of the file, written without what differs."""

from __future__ import annotations

import shutil
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml

from millpond.bi.bundle import read_bundle, write_bundle
from millpond.bi.columns import Use, find_uses
from millpond.errors import ConfigError

CHECKOUT = Path(__file__).parents[2]
BUNDLE = CHECKOUT / "bi"
CHART, DASHBOARD = "charts/glucose_now.yaml", "dashboards/glucose.yaml"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(BUNDLE, tmp_path / "bi"))


def change(path: Path, **changes: Any) -> None:
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), **changes}))


def as_superset_exports_it(bundle: Path, target: Path) -> Path:
    """Write `bundle` as another Superset would: its own ids, names with them, caches, another order."""
    numbers: dict[str, int] = {}
    for file in sorted(bundle.rglob("*.yaml"), reverse=True):
        content = deepcopy(yaml.safe_load(file.read_text()))
        kind = file.relative_to(bundle).parts[0]
        name = str(file.relative_to(bundle))
        if kind == "charts":
            number = numbers.setdefault(content["uuid"], 900 + len(numbers))
            content["params"] |= {"datasource": "7__table", "slice_id": number, "dashboards": [3]}
            content["query_context"] = '{"form_data": {}}'
            name = f"charts/{content['slice_name'].replace(' ', '_')}_{number}.yaml"
        if kind == "datasets":
            content["columns"].reverse()
            content["metrics"].reverse()
            name = name.replace(".yaml", "_7.yaml")
        place = target / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(yaml.safe_dump(content, sort_keys=False))
    for file in (target / "dashboards").glob("*.yaml"):
        content = yaml.safe_load(file.read_text())
        cells = [
            c["meta"] for c in content["position"].values() if isinstance(c, dict) and c["type"] == "CHART"
        ]
        ids = {cell["chartId"]: numbers.get(cell["uuid"], 800 + n) for n, cell in enumerate(cells)}
        for cell in cells:
            cell["chartId"] = ids[cell["chartId"]]
        metadata = content["metadata"]
        metadata |= {"shared_label_colors": [], "map_label_colors": {"a": "b"}, "default_filters": "{}"}
        metadata["chart_configuration"] = {
            str(n): {"id": n, "crossFilters": {"scope": "global", "chartsInScope": [*ids.values()]}}
            for n in ids.values()
        }
        for each in metadata["native_filter_configuration"]:
            each["chartsInScope"] = [*ids.values()]
            each["scope"]["excluded"] = [ids[n] for n in each["scope"]["excluded"]]
        file.write_text(yaml.safe_dump(content))
    return target


def test_an_export_of_what_was_imported_changes_no_file(folder: Path, tmp_path: Path) -> None:
    exported = as_superset_exports_it(folder, tmp_path / "exported")
    assert write_bundle(folder, exported) == []
    for file in BUNDLE.rglob("*.yaml"):
        assert (folder / file.relative_to(BUNDLE)).read_text() == file.read_text()


def test_an_export_changes_only_the_files_of_what_was_edited_and_removes_what_is_gone(
    folder: Path, tmp_path: Path
) -> None:
    edited = Path(shutil.copytree(folder, tmp_path / "edited"))
    change(edited / CHART, slice_name="Glucose now", description="mg/dL")
    (edited / "charts" / "github_levels.yaml").unlink()
    exported = as_superset_exports_it(edited, tmp_path / "exported")
    assert write_bundle(folder, exported) == ["charts/github_levels.yaml", CHART]
    assert yaml.safe_load((folder / CHART).read_text())["slice_name"] == "Glucose now"
    assert not (folder / "charts" / "github_levels.yaml").exists()


def test_a_new_chart_gets_a_name_without_its_id_and_not_that_of_another(folder: Path, tmp_path: Path) -> None:
    exported = as_superset_exports_it(folder, tmp_path / "exported")
    chart = yaml.safe_load((folder / CHART).read_text())
    new = {**chart, "uuid": "11111111-0000-4000-8000-000000000001", "slice_name": "Night"}
    (exported / "charts" / "Night_12.yaml").write_text(yaml.safe_dump(new))
    other = {**new, "uuid": "22222222-0000-4000-8000-000000000002"}
    (exported / "charts" / "Night_13.yaml").write_text(yaml.safe_dump(other))
    assert write_bundle(folder, exported) == ["charts/night.yaml", "charts/night_22222222.yaml"]


@pytest.mark.parametrize(
    ("file", "changes", "said"),
    [
        (CHART, {"dataset_uuid": "9"}, f"bi/{CHART} names dataset 9, which no file has"),
        (CHART, {"params": None}, f"bi/{CHART} has no `params`"),
        (CHART, {"uuid": "eb9a59a9-62fa-566f-b43b-a19ee170a774"}, "has the uuid of charts/"),
        (
            "databases/marts.yaml",
            {"sqlalchemy_uri": "postgresql+psycopg2://a:secret@marts/marts"},
            "bi/databases/marts.yaml holds a password",
        ),
        ("datasets/marts/mrt_glucose_overview.yaml", {"database_uuid": "9"}, "names database 9"),
        (CHART, {"params": "{}"}, f"bi/{CHART} has a `params` that is not a mapping"),
        (
            "databases/marts.yaml",
            {"sqlalchemy_uri": "postgresql://[marts/"},
            "bi/databases/marts.yaml differs",
        ),
        (DASHBOARD, {"position": {"CHART-1": {"type": "CHART"}}}, f"bi/{DASHBOARD} differs in layout"),
        (
            DASHBOARD,
            {"metadata": {"native_filter_configuration": ["x"]}},
            f"bi/{DASHBOARD} differs in layout",
        ),
    ],
)
def test_a_file_that_superset_could_not_import_is_refused_with_its_name(
    folder: Path, file: str, changes: dict[str, Any], said: str
) -> None:
    change(folder / file, **changes)
    with pytest.raises(ConfigError) as refused:
        read_bundle(folder)
    assert said in str(refused.value)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("content", [b"a: [", b"\xff\xfe\x00"])
def test_a_file_that_is_no_yaml_is_refused_with_its_name_and_replaced_by_an_export(
    folder: Path, tmp_path: Path, content: bytes
) -> None:
    exported = as_superset_exports_it(folder, tmp_path / "exported")
    (folder / CHART).write_bytes(content)
    with pytest.raises(ConfigError, match=f"bi/{CHART} is not YAML"):
        read_bundle(folder)
    assert CHART in write_bundle(folder, exported)
    read_bundle(folder)


def test_a_new_dashboard_has_no_slug_and_a_database_of_ones_own_a_masked_password(
    folder: Path, tmp_path: Path
) -> None:
    exported = as_superset_exports_it(folder, tmp_path / "exported")
    new = {"uuid": "33333333-0000-4000-8000-000000000003", "slug": None, "metadata": None, "version": "1.0.0"}
    title = '<b>"Night"</b> / ../x'
    (exported / "dashboards" / "Night_12.yaml").write_text(
        yaml.safe_dump({**new, "dashboard_title": title, "position": {}})
    )
    marts = yaml.safe_load((folder / "databases" / "marts.yaml").read_text())
    own = {"uuid": "44444444-0000-4000-8000-000000000004", "database_name": "metadata"}
    address = "postgresql+psycopg2://me:XXXXXXXXXX@db/x"
    (exported / "databases" / "metadata.yaml").write_text(
        yaml.safe_dump({**marts, **own, "sqlalchemy_uri": address})
    )
    assert write_bundle(folder, exported) == ["dashboards/night.yaml", "databases/metadata.yaml"]
    assert title in {each["dashboard_title"] for each in read_bundle(folder).of("dashboards").values()}


def test_what_an_import_adds_is_in_the_files_before(folder: Path, tmp_path: Path) -> None:
    exported = as_superset_exports_it(folder, tmp_path / "exported")
    bare = {"params": {"viz_type": "table"}, "uuid": "55555555-0000-4000-8000-000000000005"}
    chart = {**yaml.safe_load((folder / CHART).read_text()), **bare}
    (exported / "charts" / "Bare_7.yaml").write_text(yaml.safe_dump(chart))
    assert write_bundle(folder, exported) == ["charts/bare.yaml"]
    assert yaml.safe_load((folder / "charts/bare.yaml").read_text())["params"]["annotation_layers"] == []


def test_a_dashboard_that_shows_a_chart_without_a_file_is_refused(folder: Path) -> None:
    (folder / CHART).unlink()
    with pytest.raises(ConfigError, match=r"bi/dashboards/glucose.yaml names chart \S+, which no file has"):
        read_bundle(folder)


def test_a_project_without_dashboards_has_an_empty_bundle(tmp_path: Path) -> None:
    assert read_bundle(tmp_path / "none").files == {}


def find_use(folder: Path, file: str = CHART) -> Use:
    (found,) = [use for use in find_uses(read_bundle(folder)) if use.file == file]
    return found


def test_a_chart_reads_the_columns_of_its_metrics_filters_and_calculated_columns(folder: Path) -> None:
    assert find_use(folder).columns == {"glucose_mg_dl", "reading_at"}
    assert find_use(folder).dashboards == ("Glucose",)
    assert find_use(folder, "charts/glucose_categories.yaml").columns == {"glucose_category"}
    params = {
        "x_axis": {"expressionType": "SQL", "sqlExpression": "date_trunc('week', reading_date)"},
        "groupby": ["glucose_range", "device"],
        "metrics": ["readings", {"expressionType": "SIMPLE", "column": {"column_name": "trend"}}],
        "timeseries_limit_metric": {"expressionType": "SQL", "sqlExpression": "max(month)"},
        "adhoc_filters": [
            {"expressionType": "SIMPLE", "subject": "is_in_range", "operator": "==", "comparator": True},
            {"expressionType": "SQL", "sqlExpression": 'hour_of_day > 3 or "year" = 2026'},
        ],
        "order_by_cols": ['["direction", false]'],
    }
    change(folder / CHART, params=params)
    wanted = {"reading_date", "glucose_category", "device", "trend", "month", "is_in_range", "hour_of_day"}
    assert find_use(folder).columns == wanted | {"year", "direction"}


def test_a_chart_on_a_query_reads_the_columns_of_its_table(folder: Path) -> None:
    dataset = "datasets/marts/mrt_glucose_readings.yaml"
    query = "with a as (select device, max(trend) as top from marts.mrt_glucose_readings group by 1)"
    query += " select * from a"
    change(folder / dataset, sql=query)
    assert (find_use(folder).mart, find_use(folder).columns) == (
        "mrt_glucose_readings",
        {"device", "trend"},
    )


@pytest.mark.parametrize(
    ("query", "mart", "columns"),
    [
        (
            "SELECT Device AS D, Trend FROM MARTS.Mrt_Glucose_Readings",
            "mrt_glucose_readings",
            {"device", "trend"},
        ),
        ('select r.*, "Odd ""name" from mrt_glucose_readings r', "mrt_glucose_readings", {'Odd "name'}),
    ],
)
def test_names_in_a_query_are_read_as_postgres_reads_them(
    folder: Path, query: str, mart: str, columns: set[str]
) -> None:
    change(folder / "datasets/marts/mrt_glucose_readings.yaml", sql=query)
    assert (find_use(folder).mart, find_use(folder).columns) == (mart, columns)


def test_a_query_that_is_a_template_and_one_of_another_schema_are_left_out(folder: Path) -> None:
    dataset = folder / "datasets/marts/mrt_glucose_readings.yaml"
    for query in (
        "select {% for x in y %} {{ x }} {% endfor %} from {{ z }}",
        "select a from information_schema.x",
    ):
        change(dataset, sql=query)
        assert CHART not in {use.file for use in find_uses(read_bundle(folder))}
    change(dataset, sql=None, schema="other")
    assert CHART not in {use.file for use in find_uses(read_bundle(folder))}


def test_a_filter_of_a_dashboard_reads_its_column_too(folder: Path) -> None:
    filters = [use for use in find_uses(read_bundle(folder)) if use.file == DASHBOARD]
    assert all(use.chart.startswith("filter ") and use.columns and not use.is_chart for use in filters)
    dataset = yaml.safe_load((folder / "datasets/marts/mrt_glucose_readings.yaml").read_text())["uuid"]
    own = {"name": "Sensor", "targets": [{"datasetUuid": dataset, "column": {"name": "sensor"}}]}
    change(folder / DASHBOARD, metadata={"native_filter_configuration": [own]})
    (found,) = [use for use in find_uses(read_bundle(folder)) if use.file == DASHBOARD]
    assert (found.mart, found.chart, found.columns) == ("mrt_glucose_readings", "filter Sensor", {"sensor"})


def test_a_chart_on_another_database_is_left_out(folder: Path) -> None:
    change(folder / "databases" / "marts.yaml", sqlalchemy_uri="postgresql+psycopg2://reader@elsewhere/sales")
    assert find_uses(read_bundle(folder)) == []


def test_each_dashboard_is_an_exposure_that_depends_on_the_marts_it_shows_and_no_other() -> None:
    bundle = read_bundle(BUNDLE)
    shown: dict[str, set[str]] = {}
    for use in find_uses(bundle):
        for title in use.dashboards:
            shown.setdefault(title, set()).add(f"ref('{use.mart}')")
    slugs = {content["dashboard_title"]: content["slug"] for content in bundle.of("dashboards").values()}
    exposed = {
        each["url"].rstrip("/").rpartition("/")[2]: set(each["depends_on"])
        for file in (CHECKOUT / "dbt" / "models").rglob("exposures.yml")
        for each in yaml.safe_load(file.read_text())["exposures"]
        if each["name"].startswith("superset_")
    }
    assert exposed == {slugs[title]: marts for title, marts in shown.items()}
