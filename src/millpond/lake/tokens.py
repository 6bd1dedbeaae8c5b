"""Bearer tokens of the REST catalog: what they may do and until when; only hashes of them are stored."""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac
import secrets
from dataclasses import dataclass
from typing import Literal

from pydantic import SecretStr

from millpond.errors import RefRefused
from millpond.lake.connect import borrow_connection
from millpond.lake.pointers import read_pointers
from millpond.naming import LAYERS

Scope = Literal["read", "write"]

SESSION = dt.timedelta(hours=1)
"""How long a token lives that a client got for its id and secret, or for another token."""
_PREFIX = "mpt"
_COLUMNS = "id, name, scope, ref, namespace, created_at, expires_at"
_INSERT = (
    "insert into lake_tokens (id, name, scope, ref, namespace, secret_hash, parent, expires_at)"  # noqa: S608
    f" values (%s, %s, %s, %s, %s, %s, %s, clock_timestamp() + %s) returning {_COLUMNS}"
)


@dataclass(frozen=True)
class Grant:
    """What a token allows: a scope, on one ref and in one namespace if these are given, until it expires.

    `id` is not secret: `millpond catalog tokens` lists it, and the ref log names it.
    """

    id: str
    name: str
    scope: Scope
    ref: str | None = None
    namespace: str | None = None
    created_at: dt.datetime | None = None
    expires_at: dt.datetime | None = None


def issue(
    scope: Scope,
    lifetime: dt.timedelta,
    *,
    name: str = "",
    ref: str | None = None,
    namespace: str | None = None,
) -> tuple[Grant, SecretStr]:
    """Create a token; returns what it allows and its text, which cannot be had again. Raises RefNotFound."""
    if ref is not None:
        with borrow_connection() as conn:
            read_pointers(conn, ref, ())
    return _insert(Grant(_draw_id(), name, scope, ref, namespace), lifetime)


def find_namespaces(ref: str | None) -> list[str]:
    """Return the namespaces that a token may be for: those of a ref, or of all refs. Raises RefNotFound."""
    from millpond.lake.catalog import load_catalog
    from millpond.lake.refs import list_refs

    names = [ref] if ref else [each.name for each in list_refs()]
    return sorted({*LAYERS, *(name[0] for each in names for name in load_catalog(each).list_namespaces())})


def exchange(grant: Grant, scope: Scope | None = None) -> tuple[Grant, SecretStr]:
    """Create a token of at most `SESSION` that allows what `grant` does, or less.

    It ends with `grant`: when that expires or is revoked. Raises ValueError for more than `grant` allows.
    """
    if scope == "write" and grant.scope == "read":
        raise ValueError("this token reads; it cannot be exchanged for one that writes")
    left = (grant.expires_at - dt.datetime.now(dt.UTC)) if grant.expires_at else SESSION
    wanted = Grant(_draw_id(), grant.name or grant.id, scope or grant.scope, grant.ref, grant.namespace)
    return _insert(wanted, min(left, SESSION), parent=grant.id if grant.expires_at else None)


def verify(text: str) -> Grant | None:
    """Return what a token allows; None if there is none, or it has expired or was revoked."""
    prefix, _, rest = text.partition("_")
    key, _, secret = rest.partition("_")
    return verify_secret(key, secret) if prefix == _PREFIX else None


def verify_secret(key: str, secret: str) -> Grant | None:
    """Return what the token allows whose id and secret these are; see `verify`."""
    if secret.startswith(f"{_PREFIX}_{key}_"):
        secret = secret.removeprefix(f"{_PREFIX}_{key}_")
    with borrow_connection() as conn:
        row = conn.execute(
            f"select {_COLUMNS}, secret_hash from lake_tokens"  # noqa: S608 - our own columns
            " where id = %s and expires_at > clock_timestamp()",
            (key.replace("\x00", ""),),
        ).fetchone()
    if row and hmac.compare_digest(bytes(row[-1]), _hash(secret)):
        return Grant(*row[:-1])
    return None


def list_tokens() -> list[Grant]:
    """Return the tokens that were asked for and are valid, oldest first."""
    with borrow_connection() as conn:
        rows = conn.execute(
            f"select {_COLUMNS} from lake_tokens"  # noqa: S608 - our own columns
            " where parent is null and expires_at > clock_timestamp() order by created_at, id"
        ).fetchall()
    return [Grant(*row) for row in rows]


def revoke(key: str) -> Grant:
    """Revoke a token, and those that it was exchanged for, at once. Raises RefRefused if there is none."""
    with borrow_connection() as conn:
        row = conn.execute(
            f"delete from lake_tokens where id = %s returning {_COLUMNS}",  # noqa: S608 - our own columns
            (key,),
        ).fetchone()
    if not row:
        raise RefRefused(
            f"there is no token {key!r}",
            unharmed="every other token",
            next_step="`millpond catalog tokens` lists them",
        )
    return Grant(*row)


def _insert(wanted: Grant, lifetime: dt.timedelta, parent: str | None = None) -> tuple[Grant, SecretStr]:
    secret = secrets.token_urlsafe(32)
    with borrow_connection() as conn:
        conn.execute("delete from lake_tokens where expires_at < clock_timestamp() - interval '1 day'")
        row = conn.execute(
            _INSERT,
            (
                *(wanted.id, wanted.name, wanted.scope, wanted.ref, wanted.namespace),
                *(_hash(secret), parent, lifetime),
            ),
        ).fetchone()
    assert row
    return Grant(*row), SecretStr(f"{_PREFIX}_{wanted.id}_{secret}")


def _draw_id() -> str:
    return secrets.token_hex(6)


def _hash(secret: str) -> bytes:
    """Return what is stored of a secret; it has 256 random bits, so a slow hash would add nothing."""
    return hashlib.sha256(secret.encode()).digest()
