"""Forks draw random numbers of their own."""

from __future__ import annotations

import json
import subprocess
import sys

PROGRAM = """
import json, os, sys
import numpy
from millpond.runtime.child import draw_own_numbers

if sys.argv[1] == "seeded":
    numpy.random.seed(42)
found = []
for _ in range(2):
    ours, theirs = os.pipe()
    if os.fork() == 0:
        draw_own_numbers()
        os.write(theirs, json.dumps(numpy.random.random()).encode())
        os._exit(0)
    os.wait()
    found.append(json.loads(os.read(ours, 100)))
print(json.dumps([*found, numpy.random.random()]))
"""


def draw(how: str) -> list[float]:
    """Return what two forks of a process drew first, and the process itself."""
    command = [sys.executable, "-c", PROGRAM, how]
    found: list[float] = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    return found


def test_forks_draw_other_numbers_than_their_siblings() -> None:
    assert len(set(draw("as it comes"))) == 3


def test_a_seed_that_code_gave_is_kept() -> None:
    assert len({*draw("seeded"), *draw("seeded")}) == 1
