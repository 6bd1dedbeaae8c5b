"""The page of `millpond report` that goes with the daily summary."""

from __future__ import annotations

import datetime as dt
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from millpond.alerts.alert import cut
from millpond.alerts.message import Attachment, Message
from millpond.redaction import redacted
from millpond.settings import process_environment

_SECONDS: Final = 300.0
_REASON_LIMIT: Final = 1000
SUMMARY: Final = "success_summary"


def build_attachment(message: Message) -> Attachment:
    """Return the report of the last complete day of a summary; if it cannot be made, a text that says why.

    It is made by a command of its own, as it needs the project's definitions.
    """
    at = message.alerts[-1].source.partition(":")[2]
    day = dt.date.fromisoformat(at) - dt.timedelta(days=1)
    with tempfile.TemporaryDirectory(prefix="millpond-") as folder:
        file = Path(folder) / f"report-{day}.html"
        command = [sys.executable, "-m", "millpond.cli.main", "report", "--partition", str(day)]
        try:
            done = subprocess.run(
                [*command, "--output", str(file)],
                env=process_environment(),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=_SECONDS,
                check=False,
            )
            reason = done.stderr.strip() or f"exit code {done.returncode}"
        except subprocess.TimeoutExpired:
            reason = f"it took more than {_SECONDS:.0f} seconds"
        if file.exists():
            return Attachment(file.name, "html", file.read_text(encoding="utf-8"))
    words = cut(redacted(reason), _REASON_LIMIT)
    return Attachment(
        f"report-{day}.txt",
        "plain",
        f"The report of {day} could not be made: {words}\nNext: millpond report --partition {day}\n",
    )
