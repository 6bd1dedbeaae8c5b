"""In which line of a file in `sources/` a mistake is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import yaml

from millpond.yaml_text import LOADER


def find_yaml_line(text: bytes, path: Sequence[str | int]) -> int | None:
    """Return the line, counted from 1, of the key or element that `path` leads to in a YAML text.

    Where the path leads further than the text does, it is the line of the last part that is there.
    """
    try:
        node = yaml.compose(text, LOADER)
    except (yaml.YAMLError, UnicodeDecodeError):
        return None
    line = None
    for key in path:
        place, node = _step(node, key)
        if place is None:
            return line
        line = place.start_mark.line + 1
    return line


def _step(node: yaml.Node | None, key: str | int) -> tuple[yaml.Node | None, yaml.Node | None]:
    """Return the node of the key or element, and of its value; None where there is none."""
    if isinstance(node, yaml.SequenceNode) and isinstance(key, int) and key < len(node.value):
        return node.value[key], node.value[key]
    if isinstance(node, yaml.MappingNode):
        for name, value in node.value:
            if isinstance(name, yaml.ScalarNode) and name.value == str(key):
                return name, value
    return None, None


def find_python_line(error: BaseException, file: Path) -> int | None:
    """Return the line of `file`, counted from 1, in which `error` was raised last; None if in none."""
    if isinstance(error, SyntaxError) and error.filename == str(file):
        return error.lineno
    line, trace = None, error.__traceback__
    while trace:
        if trace.tb_frame.f_code.co_filename == str(file):
            line = trace.tb_lineno
        trace = trace.tb_next
    return line
