"""What an Iceberg REST client is told when something fails: status, error type, message."""

from __future__ import annotations

import binascii
import logging

import psycopg
import sqlalchemy.exc
from pydantic import ValidationError as MalformedModel
from pyiceberg.exceptions import (
    CommitFailedException,
    NamespaceAlreadyExistsError,
    NamespaceNotEmptyError,
    NoSuchNamespaceError,
    NoSuchPropertyException,
    NoSuchTableError,
    TableAlreadyExistsError,
    ValidationError,
)
from starlette.requests import Request
from starlette.responses import JSONResponse

from millpond.errors import EmbeddedPartError, OutcomeUnknown, RefNotFound

_log = logging.getLogger(__name__)


class BadRequest(Exception):
    """The request is not what the protocol asks for."""


class NotAuthorized(Exception):
    """The request carries no valid token."""


class Forbidden(Exception):
    """The request would change something: of a pinned view, or with a token that only reads."""


_ANSWERS: tuple[tuple[type[Exception] | tuple[type[Exception], ...], int, str], ...] = (
    (NotAuthorized, 401, "NotAuthorizedException"),
    (Forbidden, 403, "ForbiddenException"),
    (RefNotFound, 404, "NoSuchWarehouseException"),
    (NoSuchTableError, 404, "NoSuchTableException"),
    (NoSuchNamespaceError, 404, "NoSuchNamespaceException"),
    (TableAlreadyExistsError, 409, "AlreadyExistsException"),
    (NamespaceAlreadyExistsError, 409, "AlreadyExistsException"),
    (NamespaceNotEmptyError, 409, "NamespaceNotEmptyException"),
    (CommitFailedException, 409, "CommitFailedException"),
    (OutcomeUnknown, 503, "CommitStateUnknownException"),
    (
        (EmbeddedPartError, psycopg.OperationalError, sqlalchemy.exc.OperationalError),
        503,
        "ServiceUnavailableException",
    ),
    (
        (BadRequest, MalformedModel, ValidationError, NoSuchPropertyException, binascii.Error),
        400,
        "BadRequestException",
    ),
    ((ValueError, KeyError, TypeError, NotImplementedError), 400, "BadRequestException"),
)


def answer(request: Request, error: Exception) -> JSONResponse:
    """Return the response for `error`: by kind where it is known, else 500 with the trace in the log."""
    for kinds, status, name in _ANSWERS:
        if isinstance(error, kinds):
            lacking = f"the request lacks the field {error}" if isinstance(error, KeyError) else str(error)
            return _response(status, name, lacking)
    _log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return _response(
        500, "InternalServerError", f"{type(error).__name__}; the log of the server has the details"
    )


def _response(status: int, name: str, message: str) -> JSONResponse:
    """Return an error as the Iceberg REST specification shapes it."""
    return JSONResponse({"error": {"message": message, "type": name, "code": status}}, status)
