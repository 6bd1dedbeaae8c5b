"""Tests have state of their own, below pytest's temporary folder, and never touch the project's."""

import os
import tempfile
from pathlib import Path

os.environ["MILLPOND_PROJECT"] = str(Path(__file__).parents[1])
os.environ["MILLPOND_HOME"] = tempfile.mkdtemp(prefix="my_project-tests-")
