"""Reads YAML of people: what would expand, or nest, beyond all bounds is refused before it is built.

A few lines of aliases of aliases stand for billions of values, an alias of itself for endlessly many, and
libyaml's composer crashes the process on lists in lists in lists.
"""

from __future__ import annotations

from typing import Any, Final

import yaml

LOADER: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""The safe loader, in C where PyYAML has it."""
_DEEPEST = 50
_MOST = 500_000
"""How many values a document may have, those that aliases repeat counted each time."""


def load_yaml(text: str | bytes, loader: Any = LOADER) -> Any:
    """Return the content of a YAML document; raises yaml.YAMLError, with the place, if it is none.

    `loader` is a safe loader.
    """
    _check_size(text)
    return yaml.load(text, loader)  # noqa: S506 - a safe loader


def _check_size(text: str | bytes) -> None:
    """Raise YAMLError for a document that nests too deeply, repeats itself, or has too many values."""
    sizes: list[int] = [0]
    open_anchors: list[str | None] = []
    anchors: dict[str, int] = {}
    for event in yaml.parse(text, LOADER):
        if isinstance(event, yaml.CollectionStartEvent):
            sizes.append(1)
            open_anchors.append(event.anchor)
            if len(open_anchors) > _DEEPEST:
                raise _refuse(f"lists and mappings are nested more than {_DEEPEST} deep", event)
        elif isinstance(event, yaml.CollectionEndEvent):
            size, anchor = sizes.pop(), open_anchors.pop()
            sizes[-1] += size
            anchors |= {anchor: size} if anchor else {}
        elif isinstance(event, yaml.AliasEvent):
            if event.anchor in open_anchors:
                raise _refuse(f"the alias *{event.anchor} is a part of itself", event)
            sizes[-1] += anchors.get(event.anchor or "", 1)
        elif isinstance(event, yaml.ScalarEvent):
            sizes[-1] += 1
            anchors |= {event.anchor: 1} if event.anchor else {}
        if sum(sizes) > _MOST:
            raise _refuse(f"it has more than {_MOST:,} values, with those that aliases repeat", event)


def _refuse(problem: str, event: yaml.Event) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=event.start_mark)  # type: ignore[arg-type]
