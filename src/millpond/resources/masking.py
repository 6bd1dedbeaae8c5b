"""Secrets stay out of Dagster's storage, pages and logs, whoever raised the error that holds one.

Dagster makes what it stores and shows of an exception in one place; what runs store otherwise (log lines,
metadata, tags, ticks) passes through one pool of connections.
"""

from __future__ import annotations

import traceback
from typing import Any

from sqlalchemy import Engine, event

from millpond.internals.dagster_on_demand import SerializableErrorInfo
from millpond.redaction import redacted, without_known

_from_traceback = SerializableErrorInfo.from_traceback


def _masked_error(
    cls: type[SerializableErrorInfo], raised: traceback.TracebackException
) -> SerializableErrorInfo:
    """Return what Dagster keeps of an exception, its causes included: Dagster calls this for each of them."""
    made = _from_traceback(raised)
    return cls(
        message=redacted(made.message),
        stack=[redacted(frame) for frame in made.stack],
        cls_name=made.cls_name,
        cause=made.cause,
        context=made.context,
    )


SerializableErrorInfo.from_traceback = classmethod(_masked_error)  # type: ignore[assignment]


def mask_parameters(engine: Engine) -> None:
    """Have registered secrets masked in the text values of all statements."""

    def mask(
        _connection: object, _cursor: object, statement: str, values: Any, *_: object
    ) -> tuple[str, Any]:
        return statement, _masked(values)

    event.listen(engine, "before_cursor_execute", mask, retval=True)


def _masked(values: Any) -> Any:
    if isinstance(values, str):
        return without_known(values)
    if isinstance(values, dict):
        return {name: _masked(value) for name, value in values.items()}
    if isinstance(values, list | tuple):
        return tuple(map(_masked, values)) if isinstance(values, tuple) else list(map(_masked, values))
    return values
