"""Superset's API, as its administrator."""

from __future__ import annotations

from typing import Any

import requests


class SupersetApi(requests.Session):
    """A session of the administrator; addresses are given as paths below that of Superset."""

    def __init__(self, address: str, password: str) -> None:
        super().__init__()
        self._address = address
        login = {"username": "admin", "password": password, "provider": "db"}
        token = self.post("/api/v1/security/login", json=login).json()["access_token"]
        self.headers["Authorization"] = f"Bearer {token}"
        self.headers["X-CSRFToken"] = self.get("/api/v1/security/csrf_token/").json()["result"]

    def request(self, method: str, url: str, *args: Any, **kwargs: Any) -> requests.Response:  # type: ignore[override]
        """Send a request to a path."""
        return super().request(method, f"{self._address}{url}", *args, **kwargs)

    def find_id(self, kind: str, column: str, value: str) -> int:
        """Return the id of the one chart, database, … that has `value` in `column`."""
        rows = self.get(f"/api/v1/{kind}/", params={"q": "(page_size:100)"}).json()["result"]
        (found,) = [row["id"] for row in rows if row[column] == value]
        return int(found)

    def execute(self, statement: str) -> requests.Response:
        """Run a statement on the marts as SQL Lab does."""
        marts = self.find_id("database", "database_name", "marts")
        asked = {"database_id": marts, "sql": statement, "schema": "marts", "runAsync": False}
        return self.post("/api/v1/sqllab/execute/", json=asked)

    def read_charts(self, slug: str) -> dict[str, list[dict[str, Any]]]:
        """Return the rows of each chart of a dashboard, by the chart's title; raises for one that fails."""
        listed = self.get(f"/api/v1/dashboard/{slug}/charts").json()["result"]
        return {chart["slice_name"]: self._read_chart(chart["form_data"]) for chart in listed}

    def _read_chart(self, form: dict[str, Any]) -> list[dict[str, Any]]:
        """Return what the chart's columns and metrics give; its page makes the same query of them."""
        metrics = [form["metric"]] if "metric" in form else [*form["metrics"], *form.get("metrics_b", [])]
        groups = form.get("groupby") or []
        columns = [form["x_axis"]] if "x_axis" in form else []
        columns += [groups] if isinstance(groups, str) else groups
        number, kind = form["datasource"].split("__")
        asked = {
            "datasource": {"id": int(number), "type": kind},
            "queries": [{"metrics": metrics, "columns": columns, "row_limit": 1000}],
        }
        answer = self.post("/api/v1/chart/data", json=asked)
        assert answer.status_code == 200, (form["slice_id"], answer.text)
        rows: list[dict[str, Any]] = answer.json()["result"][0]["data"]
        return rows
