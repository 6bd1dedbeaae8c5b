"""A project that `millpond init` made builds an image of its own, with its own assets in it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from containers import Containers
from engine import docker
from stand_ins import ROOT

from millpond.project.create import create

LOADED = """
from millpond.definitions import defs
names = {key.to_user_string() for key in defs.resolve_asset_graph().get_all_asset_keys()}
assert {"my_report", "mrt_glucose_overview", "dlt_glucose_entries"} <= names, names
from pathlib import Path
import millpond
assert Path(millpond.__file__).is_relative_to("/opt/venv"), millpond.__file__
left = {path.name for path in Path("/app").iterdir()}
assert not left & {".env", ".millpond", ".template", "docker", "tests"}, left
"""


@pytest.mark.slow
def test_the_image_of_a_project_holds_its_own_assets_and_the_installed_platform(
    stack: Containers, tmp_path: Path
) -> None:
    folder = create(tmp_path / "pond", "glucose")
    (folder / ".env").write_text("MILLPOND_NIGHTSCOUT_TOKEN=secret\n")
    uv = Path(sys.executable).parent / "uv"
    subprocess.run([uv, "build", "--wheel", "--out-dir", folder / "docker" / "wheels", ROOT], check=True)
    built = yaml.safe_load(stack.compose("config", "provision").stdout)["services"]["provision"]["build"]
    options = [f"--build-arg={name}={value}" for name, value in built.get("args", {}).items()]
    if bundle := stack.environment.get("CA_BUNDLE"):
        options.append(f"--secret=id=ca_bundle,src={bundle}")
    image = "millpond-test-pond:test"
    docker("build", *options, f"--file={folder / 'docker' / 'Dockerfile'}", f"--tag={image}", str(folder))
    try:
        docker("run", "--rm", "--network=none", image, "python", "-c", LOADED)
    finally:
        docker("image", "rm", "--force", image, check=False)
