from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
import requests

from millpond.lake import read
from millpond.runtime.home import Home
from millpond.transform.runner import build


@pytest.mark.slow
def test_docs_show_rows_and_columns_of_each_table_until_ctrl_c(home: Home, ctrl_c: None) -> None:
    build(["dim_date"], None, ref="main", run_id="test")
    before = read.load_table("main", "gold.dim_date").metadata_location
    command = [Path(sys.executable).with_name("millpond"), "docs", "--port", "0", "--no-browser"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as served:
        assert served.stdout is not None
        line = served.stdout.readline()
        assert line.startswith("dbt's docs of main: http://127.0.0.1:")
        address = line.split()[4]
        assert "<title>dbt Docs</title>" in requests.get(address, timeout=60).text
        manifest, catalog = (
            requests.get(f"{address}/{name}.json", timeout=60).json() for name in ("manifest", "catalog")
        )
        assert "compiled_code" in manifest["nodes"]["model.lakehouse.dim_date"]
        dates = catalog["nodes"]["model.lakehouse.dim_date"]
        assert dates["metadata"]["type"] == "BASE TABLE"
        assert dates["columns"]["date_day"]["type"] == "DATE"
        described = manifest["nodes"]["model.lakehouse.dim_date"]
        assert dates["metadata"]["comment"] == " ".join(described["description"].split())
        assert dates["columns"]["date_day"]["comment"] == described["columns"]["date_day"]["description"]
        assert dates["stats"]["row_count"]["value"] == read.count("main", "gold.dim_date")
        assert dates["stats"]["bytes"]["value"] > 0
        assert requests.get(f"{address}/../dbt_project.yml", timeout=60).status_code == 404
        served.send_signal(signal.SIGINT)
        assert served.wait() == 0
    assert read.list_tables("main") == ["gold.dim_date"]
    assert read.load_table("main", "gold.dim_date").metadata_location == before
