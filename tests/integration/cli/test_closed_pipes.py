"""A command whose reader is gone, such as `head`, ends as other programs do: by SIGPIPE, without a word.

Nor does it need standard output; it says so if that cannot be written, and if its folder is gone.
"""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from millpond.runtime.ending import end_with_reader
from millpond.settings import process_environment
from processes import exit_code

ERRORS = ("no_such_command", "sql selec")
COMMANDS = (
    *("--help", "sql --help", "sql 'select 1'", "sql 'select 1' --json", "sql 'select 1' --csv", "tables"),
    *("history --json", "status", "env", "sources list", "backfill list", "config show", "maintain --list"),
    *ERRORS,
)
BIG = "select i, repeat('word ', 20) as text from range(200000) t(i)"


def begin(command: Sequence[str], out: int, errors: int) -> subprocess.Popen[bytes]:
    """Type a command whose output goes into these descriptors."""
    words = [sys.executable, "-m", "millpond.cli.entry", *command]
    return subprocess.Popen(words, stdout=out, stderr=errors, env=process_environment())


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize("command", COMMANDS)
def test_what_nobody_reads_ends_the_command_that_prints_it(command: str) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    process = begin(shlex.split(command), writer, writer)
    os.close(writer)
    assert process.wait(120) == -signal.SIGPIPE


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize("option", [[], ["--json"], ["--csv"]])
def test_a_reader_that_has_enough_ends_a_long_table_and_no_error_is_shown(option: list[str]) -> None:
    errors_reader, errors = os.pipe()
    reader, writer = os.pipe()
    process = begin(["sql", BIG, *option], writer, errors)
    os.close(writer)
    os.close(errors)
    assert os.read(reader, 10)
    os.close(reader)
    assert process.wait(120) == -signal.SIGPIPE
    assert os.read(errors_reader, 1000) == b""
    os.close(errors_reader)


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize("option", ["", "--json", "--csv"])
def test_the_first_rows_of_millions_come_at_once_and_take_little_memory(option: str) -> None:
    query = "select i, repeat('word ', 20) || i as text from range(50_000_000) t(i)"
    script = f"""
import resource, subprocess, sys
words = [sys.executable, "-m", "millpond.cli.entry", "sql", {query!r}, *{option.split()!r}]
command = subprocess.Popen(words, stdout=subprocess.PIPE)
for _ in range(5000):
    command.stdout.readline()
command.stdout.close()
command.wait()
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 500_000  # kB; all rows take 6 GB


def type_in_shell(script: str) -> subprocess.CompletedProcess[str]:
    """Run a script of the shell, in which $MILLPOND is the command."""
    environment = process_environment(MILLPOND=f"{sys.executable} -m millpond.cli.entry")
    words = ["sh", "-c", script]
    return subprocess.run(words, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize("closed", [">&-", "<&- >&- 2>&-"])
def test_a_command_works_without_standard_output(closed: str) -> None:
    done = type_in_shell(f"$MILLPOND sql 'select 1' {closed}")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", "<&- >&-", "<&- >&- 2>&-"])
def test_no_file_takes_the_number_of_a_standard_stream_that_is_closed(closed: str, tmp_path: Path) -> None:
    found = tmp_path / "found"
    script = f"""
import gc, os, sys
from millpond.cli import entry
from millpond.runtime.ending import end_with_reader
entry._stand_somewhere()
end_with_reader()
gc.collect()
opened = os.open(os.devnull, os.O_RDONLY)
names = [os.readlink(f"/proc/self/fd/{{number}}") for number in range(3)]
open({str(found)!r}, "w").write(f"{{opened > 2}} {{len(names)}}")
"""
    done = type_in_shell(f"{sys.executable} -c {shlex.quote(script)} {closed}")
    assert done.returncode == 0
    assert found.read_text() == "True 3"


@pytest.mark.usefixtures("home")
def test_a_folder_that_was_removed_is_named(tmp_path: Path) -> None:
    done = type_in_shell(
        f"mkdir {tmp_path}/gone; cd {tmp_path}/gone; rmdir {tmp_path}/gone; $MILLPOND tables"
    )
    assert done.returncode == 2
    assert done.stderr.splitlines()[0] == "the current folder was removed"


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize("command", [c for c in COMMANDS if c not in ERRORS])
def test_output_that_cannot_be_written_is_one_sentence_and_a_failure(command: str) -> None:
    done = type_in_shell(f"$MILLPOND {command} > /dev/full")
    said = done.stderr.splitlines()
    if "--json" in command:
        error = json.loads(said.pop())["error"]
        said += [error["what"], error["next"]]
        assert (error["type"], error["exit_code"]) == ("OutputLost", 1)
    assert done.returncode == 1
    assert said[0] == "the output could not be written: No space left on device"
    assert "Traceback" not in done.stderr


@pytest.mark.usefixtures("home")
def test_a_long_table_that_cannot_be_written_ends_with_its_first_rows() -> None:
    done = type_in_shell(f'$MILLPOND sql "{BIG}" > /dev/full')
    assert done.returncode == 1
    assert done.stderr.startswith("the output could not be written: No space left on device\n")
    assert len(done.stderr.splitlines()) == 3


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize("command", ERRORS)
def test_an_error_that_cannot_be_written_shows_in_the_exit_code(command: str) -> None:
    assert type_in_shell(f"$MILLPOND {command} 2> /dev/full").returncode == 2


def _lose_a_connection() -> None:
    end_with_reader()
    reader, writer = os.pipe()
    os.close(reader)
    with pytest.raises(BrokenPipeError):
        os.write(writer, b"any")


def test_a_connection_that_is_lost_ends_no_process() -> None:
    assert exit_code(_lose_a_connection) == 0


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
@pytest.mark.parametrize("option", [[], ["--json"], ["--csv"]])
def test_characters_that_the_encoding_of_the_output_lacks_are_one_sentence(
    encoding: str, option: list[str]
) -> None:
    words = [sys.executable, "-m", "millpond.cli.entry", "sql", "select '√' as root", *option]
    done = subprocess.run(
        words, env=process_environment(PYTHONIOENCODING=encoding), capture_output=True, check=False
    )
    assert done.returncode == 1
    assert b"the output has characters that" in done.stderr
    assert b"Traceback" not in done.stderr
    advised = subprocess.run(
        words, env=process_environment(PYTHONIOENCODING="utf-8"), capture_output=True, check=False
    )
    assert "√" in advised.stdout.decode()
