"""Superset's settings, read by Superset's own Python: at home and in the container alike.

Variables give the addresses, and files the secrets, so that none is in the environment or in the bundle.
"""

import os
from pathlib import Path

from sqlalchemy.engine import URL

MARTS_HOST = "marts"
"""Host of the bundle's database: it stands for this installation's marts, and the role that only reads."""


def _secret(name: str) -> str:
    return Path(os.environ[f"{name}_FILE"]).read_text().strip()


def _address(database: str, role: str, password: str) -> URL:
    return URL.create(
        "postgresql+psycopg2",
        role,
        password,
        os.environ["BI_POSTGRES_HOST"],
        int(os.environ["BI_POSTGRES_PORT"]),
        database,
        {"sslmode": os.environ["BI_POSTGRES_SSLMODE"], "application_name": "superset"},
    )


def DB_CONNECTION_MUTATOR(uri, params, *_):  # noqa: N802 - Superset's name
    """Return the address of the marts for the database of the bundle; others stay as they are."""
    if uri.host == MARTS_HOST:
        uri = _address("marts", "millpond_read", _secret("BI_MARTS_PASSWORD"))
    return uri, params


SECRET_KEY = _secret("BI_SECRET_KEY")
SQLALCHEMY_DATABASE_URI = _address(
    "superset", "millpond_superset", _secret("BI_DATABASE_PASSWORD")
).render_as_string(hide_password=False)
SQLALCHEMY_ENGINE_OPTIONS = {"pool_pre_ping": True, "pool_size": 5, "max_overflow": 5}

SESSION_COOKIE_NAME = "superset_session"
WTF_CSRF_ENABLED = True
TALISMAN_ENABLED = True
TALISMAN_CONFIG = {
    # Nothing is loaded from other hosts: Superset's pages have a tracking pixel built in, and maps and fonts.
    "content_security_policy": {
        "base-uri": ["'self'"],
        "default-src": ["'self'"],
        "img-src": ["'self'", "blob:", "data:"],
        "worker-src": ["'self'", "blob:"],
        "connect-src": ["'self'"],
        "object-src": "'none'",
        "style-src": ["'self'", "'unsafe-inline'"],
        "font-src": ["'self'", "data:"],
        "script-src": ["'self'", "'strict-dynamic'"],
    },
    "content_security_policy_nonce_in": ["script-src"],
    "force_https": False,
    "session_cookie_secure": False,
}

ALLOWED_EXTENSIONS: set[str] = set()
"""No uploads."""
FEATURE_FLAGS = {
    "DASHBOARD_VIRTUALIZATION": False,
    "DRILL_TO_DETAIL": True,
    "DRILL_BY": True,
    "EMBEDDABLE_CHARTS": False,
    "CSS_TEMPLATES": False,
    "TAGGING_SYSTEM": False,
}
RATELIMIT_STORAGE_URI = "memory://"
"""One process serves all requests."""
SUPERSET_WEBSERVER_TIMEOUT = 60
LOG_LEVEL = "WARNING"
ROW_LIMIT = 50_000
