"""The bundle: the project's dashboards as files in Superset's layout, read, validated and written."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import yaml

from millpond.bi.export import normalize_files
from millpond.errors import ConfigError

FOLDER: Final = "bi"
MARTS_HOST: Final = "marts"
"""Host of the bundle's database: Superset's configuration replaces it by the marts of the installation."""
_METADATA: Final = "metadata.yaml"
_METADATA_CONTENT: Final = {"type": "assets", "version": "1.0.0"}
_NEEDED: Final = {
    "databases": ("uuid", "database_name", "sqlalchemy_uri"),
    "datasets": ("uuid", "table_name", "database_uuid"),
    "charts": ("uuid", "slice_name", "viz_type", "params", "dataset_uuid"),
    "dashboards": ("uuid", "dashboard_title", "slug", "position"),
}
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_Dumper: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


@dataclass(frozen=True)
class Bundle:
    """The files of a bundle by their path in it, such as `charts/glucose_now.yaml`, with their content."""

    files: Mapping[str, Mapping[str, Any]]

    def of(self, kind: str) -> dict[str, Mapping[str, Any]]:
        """Return the files of one kind: databases, datasets, charts or dashboards."""
        return {path: content for path, content in self.files.items() if path.startswith(f"{kind}/")}

    def find_dashboards(self, chart: str) -> list[str]:
        """Return the titles of the dashboards that show the chart with this UUID."""
        shown = ((each["dashboard_title"], _list_charts(each)) for each in self.of("dashboards").values())
        return sorted(title for title, charts in shown if chart in charts)


def read_bundle(folder: Path) -> Bundle:
    """Read and validate the bundle in `folder`; an empty one if there is no such folder.

    Raises ConfigError, naming the file, for one that Superset could not import or that holds a password.
    """
    files = {str(path.relative_to(folder)): _read(path, folder) for path in sorted(folder.rglob("*.yaml"))}
    bundle = Bundle({path: content for path, content in files.items() if path != _METADATA})
    for kind, needed in _NEEDED.items():
        for path, content in bundle.of(kind).items():
            for key in needed:
                if not content.get(key):
                    raise _refusal(path, f"has no `{key}`")
    known = {kind: _map_uuids(bundle, kind) for kind in _NEEDED}
    for path, content in bundle.of("databases").items():
        if urlsplit(content["sqlalchemy_uri"]).password:
            raise _refusal(path, "holds a password; leave it out of `sqlalchemy_uri`")
    for path, other, uuid in _list_references(bundle):
        if uuid not in known[other]:
            raise _refusal(path, f"names {other.removesuffix('s')} {uuid}, which no file has")
    return bundle


def write_bundle(folder: Path, exported: Path) -> list[str]:
    """Replace the bundle in `folder` by what Superset `exported`; returns the paths that changed.

    What only differs by machine or moment is left out, and files keep their names, so that a comparison shows
    what was changed in Superset, and nothing else.
    """
    before = {str(path.relative_to(folder)): path for path in folder.rglob("*.yaml")}
    names = {_read(path, folder).get("uuid"): name for name, path in before.items()}
    found = {
        str(path.relative_to(exported)): _read(path, exported)
        for path in sorted(exported.rglob("*.yaml"))
        if path.name != _METADATA
    }
    texts = {path: _dump(content) for path, content in normalize_files(found, names).items()}
    texts[_METADATA] = _dump(_METADATA_CONTENT)
    changed = [p for p, text in texts.items() if p not in before or before[p].read_text() != text]
    for path in changed:
        place = folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(texts[path])
    gone = sorted(before.keys() - texts.keys())
    for path in gone:
        before[path].unlink()
    return sorted({*changed, *gone})


def copy_bundle(bundle: Path, target: Path) -> None:
    """Copy the files of a bundle to `target`, in place of what is there, for Superset to read."""
    shutil.rmtree(target, ignore_errors=True)
    for path in bundle.rglob("*.yaml"):
        place = target / path.relative_to(bundle)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, place)


def _read(path: Path, folder: Path) -> Mapping[str, Any]:
    name = str(path.relative_to(folder))
    try:
        content = yaml.load(path.read_text(), Loader=_Loader)  # noqa: S506 - a safe loader
    except yaml.YAMLError as error:
        raise _refusal(name, f"is not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict):
        raise _refusal(name, "is not a mapping")
    return content


def _dump(content: Mapping[str, Any]) -> str:
    text: str = yaml.dump(content, Dumper=_Dumper, sort_keys=True, allow_unicode=True, width=110)
    return text


def _map_uuids(bundle: Bundle, kind: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for path, content in bundle.of(kind).items():
        if content["uuid"] in found:
            raise _refusal(path, f"has the uuid of {found[content['uuid']]}; give it one of its own")
        found[content["uuid"]] = path
    return found


def _list_references(bundle: Bundle) -> Iterator[tuple[str, str, str]]:
    """Yield each file that names another by its UUID, with the other's kind and this UUID."""
    for path, content in bundle.of("datasets").items():
        yield path, "databases", content["database_uuid"]
    for path, content in bundle.of("charts").items():
        yield path, "datasets", content["dataset_uuid"]
    for path, content in bundle.of("dashboards").items():
        for uuid in _list_charts(content):
            yield path, "charts", uuid
        for each in content.get("metadata", {}).get("native_filter_configuration", ()):
            for target in each.get("targets", ()):
                if uuid := target.get("datasetUuid"):
                    yield path, "datasets", uuid


def _list_charts(dashboard: Mapping[str, Any]) -> list[str]:
    cells = (cell for cell in dashboard["position"].values() if isinstance(cell, dict))
    return [cell["meta"]["uuid"] for cell in cells if cell.get("type") == "CHART" and "uuid" in cell["meta"]]


def _refusal(path: str, what: str) -> ConfigError:
    return ConfigError(
        f"{FOLDER}/{path} {what}",
        unharmed="Superset and its dashboards",
        next_step="correct the file, or write it from Superset: `millpond bi export`",
    )
