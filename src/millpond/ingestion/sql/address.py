"""What tells one database from another: its server, its name and the account, without the password."""

from __future__ import annotations


def describe_database(address: str, user: str | None) -> str:
    """Return `host:port/database as account` of a SQLAlchemy address; a file by its path."""
    from sqlalchemy import exc  # slow to import, and not needed where no source is a database
    from sqlalchemy.engine import make_url

    try:
        url = make_url(address)
    except (exc.ArgumentError, ValueError):
        return "an address that SQLAlchemy does not read"
    account = user or url.username
    server = f"{url.host or url.get_backend_name() + ':'}{f':{url.port}' if url.port else ''}"
    place = f"{server}/{url.database or ''}"
    return f"{place} as {account}" if account and url.host else place
