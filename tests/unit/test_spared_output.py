"""What is printed while a command works does not get into the JSON that it prints."""

from __future__ import annotations

import json
import subprocess
import sys

PROGRAM = """
import os, subprocess
from millpond.cli.output import print_json, spare_stdout

with spare_stdout():
    print("python")
    os.write(1, b"descriptor\\n")
    subprocess.run(["echo", "process"], check=True)
print_json({"rows": 1})
"""


def run(shell: str) -> subprocess.CompletedProcess[str]:
    """Run the program with redirections of a shell."""
    command = ["sh", "-c", f'"$0" -c "$1" {shell}', sys.executable, PROGRAM]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_prints_of_all_kinds_appear_on_standard_error() -> None:
    done = run("")
    assert json.loads(done.stdout) == {"rows": 1}
    assert set(done.stderr.split()) == {"python", "descriptor", "process"}


def test_closed_streams_leave_the_json_alone() -> None:
    assert json.loads(run("2>&-").stdout) == {"rows": 1}
    assert run(">&-").stdout == ""
