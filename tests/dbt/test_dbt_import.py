"""Classes whose converting methods are not written before they are called convert as mashumaro says."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field

import pytest
from dbt_common.dataclass_schema import ValidationError, dbtClassMixin
from mashumaro.core.meta.code.builder import CodeBuilder

from millpond.transform.dbt_import import defer_class_code
from millpond.transform.dbt_patches import patch_dbt, skip_validation

defer_class_code()


@dataclass
class Part(dbtClassMixin):
    name: str
    at: dt.datetime | None = None


@dataclass
class Whole(Part):
    parts: list[Part] = field(default_factory=list)


def test_classes_convert_the_same_way_whether_their_methods_are_written_at_once_or_late() -> None:
    whole = Whole("a", None, [Part("b", dt.datetime(2026, 1, 2, 3, 4))])
    late = [convert(whole) for convert in _CONVERSIONS]
    for cls in (Part, Whole):
        builder = CodeBuilder(cls, allow_postponed_evaluation=False)
        builder.add_pack_method()
        builder.add_unpack_method()
    assert late == [convert(whole) for convert in _CONVERSIONS]
    assert late[0] == {"name": "a", "at": None, "parts": [{"name": "b", "at": "2026-01-02T03:04:00Z"}]}
    assert Whole.from_msgpack(whole.to_msgpack()).parts[0].name == "b"


_CONVERSIONS = (
    lambda whole: whole.to_dict(),
    lambda whole: whole.to_dict(omit_none=True),
    lambda whole: type(whole).from_dict(whole.to_dict()),
    lambda whole: whole.to_msgpack(),
    lambda whole: type(whole).from_msgpack(whole.to_msgpack()),
)


def test_what_dbt_holds_against_schemas_is_left_out_only_while_it_runs_what_was_parsed() -> None:
    patch_dbt()

    with skip_validation():
        Part.validate({"name": 1})
    with pytest.raises(ValidationError):
        Part.validate({"name": 1})
