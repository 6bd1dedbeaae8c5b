"""Run while the image is built: parses the dbt project for the profile scale; connects to nothing."""

import shutil
import tempfile
from pathlib import Path

from millpond.settings import Settings
from millpond.transform.manifest import get_shipped_folder, load_project

_NOBODY = {f"postgres_{role}_password": "none" for role in ("dagster", "catalog", "ops", "marts", "read")}

with tempfile.TemporaryDirectory() as home:
    settings = Settings(
        profile="scale",
        project=Path("/app"),
        home=Path(home),
        postgres_host="none",
        trino_host="none",
        iceberg_warehouse_path="s3://none/none",
        **_NOBODY,
    )
    for parsed in load_project(settings).parts:
        shutil.copytree(parsed.folder, get_shipped_folder(settings, parsed.project) / parsed.folder.name)
