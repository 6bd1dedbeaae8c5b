"""Run while the image is built: parses the dbt project for the profile scale; connects to nothing."""

import os
import shutil

from millpond.settings import settings
from millpond.transform.manifest import current, shipped

os.environ |= {
    "MILLPOND_PROFILE": "scale",
    "MILLPOND_HOME": "/tmp/home",
    "MILLPOND_PROJECT": "/app",
    "MILLPOND_POSTGRES_HOST": "none",
    "MILLPOND_TRINO_HOST": "none",
    "MILLPOND_ICEBERG_WAREHOUSE_PATH": "s3://none/none",
} | {f"MILLPOND_POSTGRES_{r}_PASSWORD": "none" for r in ("DAGSTER", "CATALOG", "OPS", "MARTS", "READ")}

parsed = current(settings()).folder
shutil.copytree(parsed, shipped(settings()) / parsed.name)
