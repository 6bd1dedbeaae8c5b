"""The random passwords of the embedded Postgres, in a file that only its owner can read."""

from __future__ import annotations

import json
import os
import secrets

from pydantic import SecretStr

from millpond.errors import EmbeddedPartError
from millpond.runtime.home import Home

SUPERUSER = "postgres"
ROLES = ("millpond_dagster", "millpond_catalog", "millpond_ops", "millpond_marts", "millpond_read")


def passwords(home: Home) -> dict[str, SecretStr]:
    """Return the password of each role of the home's Postgres; they are drawn when there is no server yet.

    Raises EmbeddedPartError if the file is gone or broken while the data is there.
    """
    path = home.postgres / "passwords.json"
    if not path.exists() and not (home.postgres / "data").exists():
        drawn = {role: secrets.token_urlsafe(32) for role in (SUPERUSER, *ROLES)}
        unfinished = path.with_suffix(f".{os.getpid()}")
        with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            json.dump(drawn, file, indent=2)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    try:
        return {role: SecretStr(password) for role, password in json.loads(path.read_text()).items()}
    except (OSError, ValueError, AttributeError) as error:
        raise EmbeddedPartError(
            f"the passwords of the embedded Postgres cannot be read from {path}: {error}",
            unharmed="the data",
            next_step=f"restore {path.name} from a backup; its owner must be the user that runs Millpond",
        ) from error
