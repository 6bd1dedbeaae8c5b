"""Programs as somebody types them who knows no setting of ours."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from millpond.settings import process_environment


def environment_with(scripts: Path) -> dict[str, str]:
    """Return an environment without our variables, in which the programs in `scripts` are found first."""
    found = {name: value for name, value in process_environment().items() if "MILLPOND" not in name}
    found.pop("PYTHONPATH", None)
    return found | {"PATH": f"{scripts}{os.pathsep}{found['PATH']}"}


def typed(
    environment: dict[str, str],
    folder: Path,
    *command: object,
    code: int = 0,
    aloud: bool = False,
    **more: str,
) -> str:
    """Run a command in `folder`, with `more` variables; returns its output, `aloud` also what is on stderr.

    It has to end with `code`; where that is not 0, both outputs are returned.
    """
    done = subprocess.run(
        [str(word) for word in command],
        cwd=folder,
        env=environment | more,
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert done.returncode == code, done.stdout[-5000:] + done.stderr[-5000:]
    return done.stdout + done.stderr if aloud or code else done.stdout
