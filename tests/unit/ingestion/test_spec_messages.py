"""A misspelt key and a value of another type are answered with file, line and key, in words of the spec."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from millpond.errors import ConfigError
from millpond.ingestion.reading import read_source
from source_reference import EXAMPLES

Keys = tuple[str | int, ...]
FREE = {"columns", "params", "headers", "json", "data"}
"""Keys below which the names are the user's own."""
FOREIGN = re.compile(
    r"tuple|Input|pydantic|dictionary|instance of|valid (string|integer|number)|discriminator"
)
ANSWER = re.compile(r"sources/\w+\.yaml:(\d+): at (\S+): ")


def walk(node: Any, path: Keys = ()) -> Iterator[Keys]:
    found = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in found:
        yield (*path, key)
        yield from walk(value, (*path, key))


def cases() -> Iterator[Any]:
    seen = set()
    for example in EXAMPLES:
        spec = yaml.safe_load(example["spec"])
        for path in walk(spec):
            shape = ".".join(str(key) for key in path if isinstance(key, str))
            if shape not in seen and isinstance(path[-1], str) and path != ("source",):
                seen.add(shape)
                yield pytest.param(spec, path, id=shape)


def parent_of(spec: Any, path: Keys) -> tuple[Any, Any]:
    changed = copy.deepcopy(spec)
    parent = changed
    for key in path[:-1]:
        parent = parent[key]
    return changed, parent


def read(folder: Path, spec: Any) -> tuple[str, ConfigError | None]:
    file = folder / "sources" / f"{spec['source']}.yaml"
    file.parent.mkdir(exist_ok=True)
    file.write_text(yaml.dump(spec, Dumper=yaml.CSafeDumper, sort_keys=False))
    try:
        read_source(file)
    except ConfigError as error:
        return file.read_text(), error
    return file.read_text(), None


@pytest.mark.parametrize(("spec", "path"), [each for each in cases() if not FREE & set(each.values[1][:-1])])
def test_a_misspelt_key_is_answered_with_the_one_that_was_meant(
    tmp_path: Path, spec: Any, path: Keys
) -> None:
    changed, parent = parent_of(spec, path)
    key = str(path[-1])
    misspelt = key[:-2] + key[-1] if len(key) > 2 else f"{key}x"
    items = list(parent.items())
    parent.clear()
    parent.update({misspelt if name == key else name: value for name, value in items})
    text, error = read(tmp_path, changed)
    assert error
    place = ANSWER.match(error.what)
    assert place, error.what
    assert re.match(rf"[\s-]*{misspelt}:", text.splitlines()[int(place[1]) - 1]), error.what
    assert place[2].endswith(f".{misspelt}") or place[2] == misspelt
    assert f"did you mean {key}?" in error.next_step


@pytest.mark.parametrize(
    ("spec", "path"),
    [each for each in cases() if "json" not in each.values[1] and "params" not in each.values[1]],
)
def test_a_value_of_another_type_is_answered_with_its_key_in_plain_words(
    tmp_path: Path, spec: Any, path: Keys
) -> None:
    changed, parent = parent_of(spec, path)
    key, right = path[-1], parent[path[-1]]
    for wrong in ([1], {"a": 1}, 7, True, "x y"):
        if type(wrong) is type(right):
            continue
        parent[key] = wrong
        text, error = read(tmp_path, changed)
        if error is None:
            continue
        said = f"{error.what}\n{error.next_step}"
        place = ANSWER.match(error.what)
        assert place, said
        near = [str(key), "a", "type"]
        assert any(re.match(rf"[\s-]*{name}:", text.splitlines()[int(place[1]) - 1]) for name in near), said
        assert f"{key}" in said
        assert not FOREIGN.search(said), said


@pytest.mark.parametrize(
    ("word", "meant"), [("evolve", "add"), ("discard_value", "ignore"), ("discard_row", "quarantine")]
)
def test_a_word_of_dlt_for_new_columns_is_answered_with_ours(tmp_path: Path, word: str, meant: str) -> None:
    spec = yaml.safe_load(EXAMPLES[0]["spec"])
    spec["tables"][0]["unknown_columns"] = word
    _, error = read(tmp_path, spec)
    assert error
    assert f"is '{word}'; it may be add, ignore, freeze or quarantine" in error.what
    assert f"did you mean {meant}?" in error.next_step
