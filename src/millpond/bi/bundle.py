"""The bundle: the project's dashboards as files in Superset's layout, read, validated and written."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

import yaml

from millpond.bi.export import normalize_files
from millpond.errors import ConfigError
from millpond.yaml_text import load_yaml

FOLDER: Final = "bi"
MARTS_HOST: Final = "marts"
"""Host of the bundle's database: Superset's configuration replaces it by the marts of the installation."""
_METADATA: Final = "metadata.yaml"
_METADATA_CONTENT: Final = {"type": "assets", "version": "1.0.0"}
_MASK: Final = "XXXXXXXXXX"
"""What Superset exports in place of a password; it keeps the password that it has."""
_NEEDED: Final[Mapping[str, Mapping[str, type]]] = {
    "databases": {"uuid": str, "database_name": str, "sqlalchemy_uri": str},
    "datasets": {"uuid": str, "table_name": str, "database_uuid": str},
    "charts": {"uuid": str, "slice_name": str, "viz_type": str, "params": dict, "dataset_uuid": str},
    "dashboards": {"uuid": str, "dashboard_title": str, "position": dict},
}
_KINDS: Final[Mapping[type, str]] = {str: "a text", dict: "a mapping"}
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
            for key, wanted in needed.items():
                if content.get(key) in (None, ""):
                    raise _refusal(path, f"has no `{key}`")
                if not isinstance(content[key], wanted):
                    raise _refusal(path, f"has a `{key}` that is not {_KINDS[wanted]}")
    known = {kind: _map_uuids(bundle, kind) for kind in _NEEDED}
    for path, content in bundle.of("databases").items():
        with layout_of(path):
            password = urlsplit(content["sqlalchemy_uri"]).password
        if password and password != _MASK:
            raise _refusal(path, "holds a password; leave it out of `sqlalchemy_uri`")
    for path, other, uuid in _list_references(bundle):
        if uuid not in known[other]:
            raise _refusal(path, f"names {other.removesuffix('s')} {uuid}, which no file has")
    return bundle


def write_bundle(folder: Path, exported: Path) -> list[str]:
    """Replace the bundle in `folder` by what Superset `exported`; returns the paths that changed.

    What only differs by machine or moment is left out, and files keep their names, so that a comparison shows
    what was changed in Superset, and nothing else. A file that cannot be read is replaced.
    """
    before = {str(path.relative_to(folder)): path for path in folder.rglob("*.yaml")}
    names: dict[Any, str] = {}
    for name, file in before.items():
        with suppress(ConfigError):
            names[_read(file, folder).get("uuid")] = name
    exports = {str(file.relative_to(exported)): file for file in sorted(exported.rglob("*.yaml"))}
    found = {name: _read(file, exported) for name, file in exports.items() if name != _METADATA}
    texts = {path: _dump(content) for path, content in normalize_files(found, names).items()}
    texts[_METADATA] = _dump(_METADATA_CONTENT)
    changed = [p for p, text in texts.items() if p not in before or before[p].read_bytes() != text.encode()]
    for path in changed:
        place = folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(texts[path], encoding="utf-8")
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
        content = load_yaml(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
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
        with layout_of(path):
            yield from [(path, "charts", uuid) for uuid in _list_charts(content)]
            yield from [(path, "datasets", each.dataset) for each in list_filters(content)]


class Filter(NamedTuple):
    """A filter of a dashboard: its name, and the dataset and column that it takes values from."""

    name: str
    dataset: str
    column: str


def list_filters(dashboard: Mapping[str, Any]) -> Iterator[Filter]:
    """Yield the filters of a dashboard that take values from a dataset."""
    for each in (dashboard.get("metadata") or {}).get("native_filter_configuration") or ():
        for target in each.get("targets") or ():
            if uuid := target.get("datasetUuid"):
                yield Filter(str(each.get("name")), uuid, (target.get("column") or {}).get("name") or "")


def _list_charts(dashboard: Mapping[str, Any]) -> list[str]:
    cells = (cell for cell in dashboard["position"].values() if isinstance(cell, dict))
    return [cell["meta"]["uuid"] for cell in cells if cell.get("type") == "CHART" and "uuid" in cell["meta"]]


@contextmanager
def layout_of(path: str) -> Iterator[None]:
    """Within the block, content of another layout than Superset's is refused with the name of the file."""
    try:
        yield
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise _refusal(path, f"differs in layout from what Superset exports ({error!r})") from error


def _refusal(path: str, what: str) -> ConfigError:
    return ConfigError(
        f"{FOLDER}/{path} {what}",
        unharmed="Superset and its dashboards",
        next_step="correct the file, or write it from Superset: `millpond bi export`",
    )
