"""The page about files does what it says: its source reads the file that its commands write."""

from __future__ import annotations

import datetime as dt
import re
import subprocess
from pathlib import Path

import yaml
from file_sources import Drop, sales

from millpond.ingestion.spec import SourceSpec

PAGE = (Path(__file__).parents[3] / "docs" / "sources-files.md").read_text()


def test_the_commands_of_the_page_write_a_file_that_its_source_loads(drop: Drop) -> None:
    declared = yaml.safe_load(re.findall(r"```yaml\n(source:.*?)```", PAGE, re.DOTALL)[0])
    lines = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)[0].splitlines()
    subprocess.run(["bash", "-euc", "\n".join(lines[:-1])], cwd=drop.folder, check=True)
    assert lines[-1] == "millpond materialize dlt_sales --partition 2026-11-02"
    spec = SourceSpec.model_validate({**declared, "files": {"url": str(drop.folder / "drop")}})
    assert not drop.load(spec, dt.date(2026, 11, 2)).failed
    assert [str(amount) for amount in sales("amount")] == ["4.50", "1.10"]


def test_the_reasons_that_the_page_names_are_those_of_bad_lines(drop: Drop) -> None:
    spec = drop.spec("*.csv", table={"quarantine": {"fail_above": 1.0}})
    drop.put(
        "a.csv", b'id,at,x\n1,2026-01-05T10:00:00Z,\n1,2,3,4\n"never\n2,\xff,\n3,' + b"x" * 1_000_000 + b"\n"
    )
    drop.load(spec)
    from millpond.ingestion.batches import BROKEN
    from millpond.ingestion.files.delimited import read_csv

    with (drop.folder / "a.csv").open("rb") as file:
        tables = list(read_csv(file, "utf-8", spec.tables[0].files.csv, spec.tables[0]))  # type: ignore[union-attr]
    reasons = {reason for table in tables for reason in table[BROKEN].to_pylist() if reason}
    named = set(re.findall(r"`(row [^`]+)`", PAGE))
    assert {re.sub(r"\d+", "0", reason) for reason in reasons} == {
        re.sub(r"\d+", "0", name) for name in named
    }
