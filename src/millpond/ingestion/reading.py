"""Reads `sources/`: each file one source; every mistake is answered with its place and an example."""

from __future__ import annotations

import difflib
import importlib.util
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from millpond.errors import ConfigError
from millpond.ingestion.spec import SourceSpec
from millpond.ingestion.spec_lines import find_python_line, find_yaml_line
from millpond.ingestion.spec_messages import explain, show_path
from millpond.settings import Settings, source_files
from millpond.yaml_text import LOADER, load_yaml


def load_sources(settings: Settings) -> list[SourceSpec]:
    """Return the sources that the files in the project's `sources/` declare, by name.

    Raises ConfigError naming the file, the place in it and an example.
    """
    sources: dict[str, SourceSpec] = {}
    files: dict[str, Path] = {}
    owners: dict[str, str] = {}
    for file in source_files(settings.code):
        source = read_source(file)
        if source.source in sources:
            raise _mistake(
                file,
                f"{_show_file(files[source.source])} declares the source {source.source} already",
                "keep one of them",
            )
        for table in source.tables:
            if other := owners.get(table.name):
                raise _mistake(
                    file, f"the table {table.name} is declared by {other} already", "give it another name"
                )
            owners[table.name] = _show_file(file)
        sources[source.source], files[source.source] = source, file
    return list(sources.values())


def find_table(sources: list[SourceSpec], name: str) -> tuple[SourceSpec, int]:
    """Return the source of table or asset `name`, and the table's place in it; raises ConfigError."""
    known = {table.name: (source, i) for source in sources for i, table in enumerate(source.tables)}
    wanted = name.removeprefix("dlt_").removeprefix("raw.")
    if wanted not in known:
        near = difflib.get_close_matches(wanted, [*known, *(source.source for source in sources)], n=3)
        raise ConfigError(
            f"no source declares a table {name!r}",
            unharmed="everything; nothing was done",
            next_step=(f"did you mean {' or '.join(near)}? " if near else "")
            + f"there are {', '.join(sorted(known)) or 'none'}; add one as a file in sources/",
        )
    return known[wanted]


def read_source(file: Path) -> SourceSpec:
    """Return the source that `file` declares; raises ConfigError."""
    if file.resolve().parent != file.parent.resolve():
        raise _mistake(file, "the file is a link to a place outside of sources/", "put the file itself here")
    source = _from_python(file) if file.suffix == ".py" else _from_yaml(file)
    if source.source != file.stem:
        raise _mistake(
            file, f"source is {source.source!r}, the file's name says {file.stem!r}", "call both the same"
        )
    return source


def _from_yaml(file: Path) -> SourceSpec:
    try:
        content = load_yaml(file.read_bytes(), _UniqueKeys)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        said = " ".join(str(error).split())
        raise _mistake(
            file, f"is no YAML: {said}", "correct that place", line=mark.line + 1 if mark else None
        ) from None
    if not isinstance(content, dict):
        raise _mistake(file, "declares nothing", f"start with source: {file.stem}, rest: and tables:")
    for path, text in _texts(content, []):
        if "{{" in text or "{%" in text:
            raise _mistake(
                file,
                f"at {show_path(path)}: templates are not evaluated here",
                "write placeholders in single braces, for example {start_ms}",
                line=find_yaml_line(file.read_bytes(), path),
            )
    try:
        return SourceSpec.model_validate(content)
    except ValidationError as error:
        raise _from_validation(file, error, content) from None


def _from_python(file: Path) -> SourceSpec:
    spec = importlib.util.spec_from_file_location(f"millpond_source_{file.stem}", file)
    if spec is None or spec.loader is None:
        raise _mistake(file, "cannot be imported", "make it a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where dlt looks up what it decorates
    try:
        spec.loader.exec_module(module)
    except ValidationError as error:
        raise _from_validation(file, error) from error
    except Exception as error:
        said = f"fails on import: {type(error).__name__}: {error}"
        raise _mistake(file, said, "correct it", line=find_python_line(error, file)) from error
    source = getattr(module, "source", None)
    if not isinstance(source, SourceSpec):
        raise _mistake(
            file, "defines no `source`", "end it with source = SourceSpec(source=…, rest=…, tables=…)"
        )
    return source


class _UniqueKeys(LOADER):  # type: ignore[misc]
    """A safe loader that refuses a key given twice, where YAML would take the last one in silence."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, str | int | bool) and key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"{key!r} is given twice", key_node.start_mark
                )
            seen.add(key if isinstance(key, str | int | bool) else id(key_node))
        constructed: dict[Any, Any] = super().construct_mapping(node, deep)
        return constructed


def _texts(node: Any, path: list[str | int]) -> Iterator[tuple[list[str | int], str]]:
    if isinstance(node, str):
        yield path, node
    elif isinstance(node, Mapping):
        for key, value in node.items():
            yield path, str(key)
            yield from _texts(value, [*path, str(key)])
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from _texts(value, [*path, index])


def _show_file(file: Path) -> str:
    return f"{file.parent.name}/{file.name}"


def _mistake(file: Path, what: str, next_step: str, *, line: int | None = None) -> ConfigError:
    place = f"{_show_file(file)}:{line}" if line else _show_file(file)
    return ConfigError(f"{place}: {what}", next_step=next_step)


def _from_validation(file: Path, error: ValidationError, content: Any = None) -> ConfigError:
    found = explain(error, content)
    line = find_yaml_line(file.read_bytes(), found.path) if content else find_python_line(error, file)
    return _mistake(file, f"at {show_path(found.path)}: {found.what}", found.next_step, line=line)
