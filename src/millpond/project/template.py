"""The files of a new project: sources and models of this repository, and files that only a project has.

They are text; `my_project` is replaced by the project's name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Final, Literal

Template = Literal["glucose", "empty"]
"""`glucose`: the sources of one person's health with all their models; `empty`: no source and no model."""

NAME: Final = "my_project"
_OWN: Final = Path(__file__).parent / "files"
_SHARED: Final = (
    *("dbt/dbt_project.yml", "dbt/profiles.yml", "dbt/macros", "dbt/models", "dbt/snapshots", "sources"),
    *(
        "bi",
        "dashboards",
        "forecast",
        "docker",
        "dagster.yaml",
        "workspace.yaml",
        "alerts.yaml",
        "waits.yaml",
    ),
    ".env.example",
)
"""Files at the top of the repository, which are in `template/` of the wheel."""
_HIDDEN: Final = ("gitignore", "dockerignore", "github", "devcontainer")
_NEVER: Final = re.compile(
    r"(^|/)(__pycache__|target|logs|secrets|\.env)(/|$)|^docker/(stand-ins|compose\.stand-ins)"
)
_SOURCES: Final = {"glucose": ("diary", "meter", "nightscout"), "empty": ()}
_DOMAINS: Final = {"glucose": ("glucose", "meals", "calendar", "forecast"), "empty": ()}
"""The domains of models of each template."""
_SUPERSET: Final = "# millpond: stages of Superset\n"
"""The line of a project's Dockerfile that stands for the stages of Superset, which all images share."""
_SNAPSHOTS: Final = {"glucose": ("device_versions",), "empty": ()}


def root() -> Path:
    """Return the folder of the shared files: `millpond/template` in the wheel, else the checkout."""
    packed = Path(__file__).parents[1] / "template"
    return packed if packed.is_dir() else Path(__file__).parents[3]


def rendered(name: str, template: Template) -> dict[str, bytes]:
    """Return the files of a new project `name`, by their path below it."""
    found: dict[str, bytes] = {}
    for path, file in _shared():
        if not _left_out(path, template):
            found[path] = _adapted(path, file.read_bytes(), name, template)
    for part in ("common", template):
        for file in _below(_OWN / part):
            path = file.relative_to(_OWN / part).as_posix().replace(NAME, name)
            top = path.partition("/")[0]
            found[f".{path}" if top in _HIDDEN else path] = _adapted(path, file.read_bytes(), name, template)
    return dict(sorted(found.items()))


def _shared() -> Iterator[tuple[str, Path]]:
    for entry in _SHARED:
        place = root() / entry
        for file in _below(place) if place.is_dir() else [place] if place.is_file() else []:
            path = file.relative_to(root()).as_posix()
            if not _NEVER.search(path):
                yield path, file


def _below(folder: Path) -> list[Path]:
    return sorted(file for file in folder.rglob("*") if file.is_file() and "__pycache__" not in file.parts)


def _left_out(path: str, template: Template) -> bool:
    parts, stem = path.split("/"), Path(path).stem
    if parts[0] == "sources":
        return stem not in _SOURCES[template]
    if parts[0] == "dashboards":
        return stem not in _DOMAINS[template]
    if parts[0] == "forecast":
        return template == "empty"
    if parts[0] == "bi" and parts[1] in ("charts", "dashboards", "datasets"):
        return stem.removeprefix("mrt_").split("_")[0] not in _DOMAINS[template]
    if parts[:2] == ["dbt", "models"] and len(parts) > 3:
        return parts[3] not in _DOMAINS[template]
    if parts[:2] == ["dbt", "snapshots"]:
        return stem not in _SNAPSHOTS[template]
    if parts[:2] == ["dbt", "macros"]:
        return stem not in _DOMAINS[template]
    return template == "empty" and path == "dbt/models/groups.yml"


def _adapted(path: str, content: bytes, name: str, template: Template) -> bytes:
    text = content.decode()
    for source in {"diary", "github", "meter", "nightscout"} - set(_SOURCES[template]):
        text = re.sub(rf"(?im)^.*\bmillpond_{source}_.*\n", "", text)
        text = re.sub(rf" {source}_token\b", "", text)
    if path == "dbt/dbt_project.yml":
        text = re.sub(r"\blakehouse\b", name, text)
    if path == "workspace.yaml":
        text = text.replace("location_name: millpond", f"location_name: {name}")
    if path == "docker/Dockerfile":
        text = text.replace(_SUPERSET, _read_superset_stages())
    if path == "docker/compose.yaml":
        text = text.replace("\nname: millpond\n", f"\nname: {name}\n").replace(
            "-millpond:0.1.0}", f"-{name}:0.1.0}}"
        )
    if path == "pyproject.toml":
        extra = "" if template == "empty" else "[forecast]"
        text = text.replace('"millpond"', f'"millpond{extra}=={metadata.version("millpond")}"')
        if extra:
            text = text.replace('dbt = ["dbt"]', 'commands = ["forecast.cli"]\ndbt = ["dbt"]')
    return re.sub(rf"\b{NAME}\b", name, text).encode()


def _read_superset_stages() -> str:
    """Return the part of the repository's Dockerfile from its comment on Superset to the last stage."""
    text = (root() / "docker/Dockerfile").read_text()
    begin, end = text.index("# What the stage `superset` gets"), text.rindex("\nFROM ")
    return text[begin:end]
