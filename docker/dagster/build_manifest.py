"""Run while the image is built: parses the dbt project and leaves the result in dbt/parsed."""

import shutil

from millpond.settings import settings
from millpond.transform.manifest import current, shipped

parsed = current(settings()).folder
shutil.copytree(parsed, shipped(settings()) / parsed.name)
print(f"parsed the dbt project into {shipped(settings()) / parsed.name}")
