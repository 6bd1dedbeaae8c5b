"""dbt's classes, made ready in less time: a fifth of importing dbt and reading its manifest is spared."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from millpond.internals.dbt import CodeBuilder

_SCHEMAS = "mashumaro.jsonschema.models"


@cache
def lighten() -> None:
    """Have mashumaro write no code for what it compiles late; to be called before dbt is imported.

    dbt's 500 classes have four methods each that convert them, compiled when first called; most never are.
    What calls the compiler then is compiled too, for each of the 2,000 methods. Here it is a closure, also
    for mashumaro's own classes of JSON schemas, which dbt imports and a build does not use.
    """
    builder: Any = CodeBuilder
    builder.add_pack_method = _late(builder.add_pack_method, _packer)
    builder.add_unpack_method = _late(builder.add_unpack_method, _unpacker)


def _late(compiling: Callable[[Any], None], deferred: Callable[[Any], None]) -> Callable[[Any], None]:
    def add(builder: Any) -> None:
        is_late = builder.get_config().lazy_compilation or builder.cls.__module__ == _SCHEMAS
        if is_late and builder.allow_postponed_evaluation and builder.is_nailed and builder.dialect is None:
            deferred(builder)
        else:
            compiling(builder)

    return add


def _packer(builder: Any) -> None:
    name = builder.get_pack_method_name(builder.initial_type_args, builder.format_name, builder.encoder)
    options = _options(builder, name)
    options |= {"encoder": builder.encoder, "encoder_kwargs": builder.encoder_kwargs}

    def to(self: Any, *args: Any, **named: Any) -> Any:
        CodeBuilder(type(self), **options).add_pack_method()
        return getattr(self, name)(*args, **named)

    _put(builder.cls, name, to)


def _unpacker(builder: Any) -> None:
    name = builder.get_unpack_method_name(builder.initial_type_args, builder.format_name, builder.decoder)
    options = _options(builder, name) | {"decoder": builder.decoder}

    def of(cls: Any, *args: Any, **named: Any) -> Any:
        CodeBuilder(cls, **options).add_unpack_method()
        return getattr(cls, name)(*args, **named)

    _put(builder.cls, name, classmethod(of))


def _options(builder: Any, name: str) -> dict[str, Any]:
    return {
        "first_method": name,
        "allow_postponed_evaluation": False,
        "format_name": builder.format_name,
        "default_dialect": builder.default_dialect,
    }


def _put(cls: type, name: Any, method: Any) -> None:
    setattr(cls, name, method)
    setattr(cls, name.public, method)
