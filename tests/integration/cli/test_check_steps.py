"""`millpond sources check` names which of reachable, authorised and shape fails, and what to do next."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from fake_source import Answer, FakeSource, Request, rows_as_json
from millpond.ingestion.files.place import LocalFolder
from millpond.settings import settings
from new_sources import Run
from postgres_accounts import scratch_database

DAY = "2026-11-20"
ROWS = [{"id": number, "at": f"{DAY}T0{number}:00:00Z"} for number in range(6)]
TABLE = {
    "name": "bills",
    "key": ["id"],
    "event_time": {"column": "at"},
    "columns": {"id": "int", "at": "timestamp"},
}
LOGIN = b"<!doctype html><title>Please sign in</title><form><input type=password></form>"


@dataclass
class Checks:
    """A source in a project, its address and account as a test says."""

    project: Path
    run: Run

    def declare(self, content: object, **account: str) -> None:
        (self.project / "sources" / "desk.yaml").write_text(yaml.safe_dump(content))
        lines = [f"MILLPOND_DESK_{name.upper()}={value}" for name, value in account.items()]
        (self.project / ".env").write_text("\n".join(lines))
        settings.cache_clear()

    def failed(self, day: str = DAY) -> tuple[str, str, str]:
        """Return the step that fails, what it says, and what to do; those before it are ok."""
        code, out, error = self.run("sources", "check", "desk", "--day", day, "--json")
        assert error == ""
        steps = json.loads(out)
        states = [step["state"] for step in steps]
        number = states.index("failed") if "failed" in states else len(steps)
        assert (code, set(states[:number]), set(states[number + 1 :]) - {"skipped"}) == (
            int("failed" in states),
            {"ok"},
            set(),
        )
        bad = steps[number] if number < len(steps) else {"name": "", "detail": "", "next_step": ""}
        return bad["name"], bad["detail"], bad["next_step"]


@pytest.fixture
def checks(new_project: Path, run: Run) -> Checks:
    return Checks(new_project, run)


@pytest.mark.parametrize(
    ("answer", "step", "said", "advice"),
    [
        (Answer(b"no", 401), "authorised", "HTTP 401", "MILLPOND_DESK_TOKEN"),
        (Answer(b"no", 403), "authorised", "HTTP 403", "MILLPOND_DESK_TOKEN"),
        (Answer(LOGIN), "authorised", "looks like a login page", "MILLPOND_DESK_URL"),
        (Answer(b"no such page", 404), "shape", "HTTP 404", "MILLPOND_DESK_URL"),
        (Answer(b"<html><h1>Welcome</h1></html>"), "shape", "looks like HTML", "MILLPOND_DESK_URL"),
        (Answer(b"down", 503), "reachable", "HTTP 503", "MILLPOND_DESK_URL"),
        (rows_as_json(ROWS), "", "", ""),
    ],
)
def test_the_answer_of_an_api_says_which_step_fails(
    checks: Checks, shop: FakeSource, answer: Answer, step: str, said: str, advice: str
) -> None:
    def serve(request: Request) -> Answer:
        return answer

    shop.serve = serve
    table = TABLE | {"endpoint": {"path": "bills"}, "window": {"params": {"since": "{start_iso}"}}}
    rest = {"base_url": "{url}", "auth": {"type": "bearer", "token": "{token}"}}
    checks.declare({"source": "desk", "rest": rest, "tables": [table]}, url=shop.url, token="of-the-desk")
    found = checks.failed()
    assert found[0] == step
    assert said in found[1]
    assert advice in found[2]


def test_a_folder_says_which_step_fails(checks: Checks, monkeypatch: pytest.MonkeyPatch) -> None:
    table = TABLE | {"files": {"path": "bills_{date}.csv", "stable_after": "0s"}}
    checks.declare({"source": "desk", "files": {"url": "{url}"}, "tables": [table]}, url="./drop")
    step, said, advice = checks.failed()
    assert (step, "there is no folder" in said, "mounted" in advice) == ("reachable", True, True)
    drop = checks.project / "drop"
    drop.mkdir()
    text = "id,at\n" + "".join(f"{row['id']},{row['at']}\n" for row in ROWS)
    (drop / f"bills_{DAY}.csv").write_text(text)
    assert checks.failed() == ("", "", "")
    step, said, advice = checks.failed("2026-11-21")
    assert (step, "no file" in said) == ("shape", True)
    assert f"check a day that has a file: --day {DAY}" in advice

    def forbidden(*_: object) -> Iterator[object]:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patched:  # who runs the tests may be root, who may read everything
        patched.setattr(LocalFolder, "entries", forbidden)
        step, said, advice = checks.failed()
    assert (step, "may not be read" in said, "the right to read it" in advice) == ("authorised", True, True)
    (drop / f"bills_{DAY}.csv").write_text("id,at\n" + "".join(f"x{row['id']},{row['at']}\n" for row in ROWS))
    step, said, advice = checks.failed()
    assert step == "contract"
    assert f"millpond sources preview bills --day {DAY} --quarantined" in advice


def test_a_database_says_which_step_fails(checks: Checks) -> None:
    with scratch_database("desk", "auditor", "of-the-auditor") as (admin, port):
        admin.execute("create table public.bills (id int primary key, at timestamptz)")
        admin.execute(f"insert into public.bills select n, '{DAY} 10:00Z' from generate_series(1, 3) n")
        table = TABLE | {"sql": {"table": "public.bills"}}
        source = {"source": "desk", "sql": {}, "tables": [table]}
        url = f"postgresql://127.0.0.1:{port}/desk"
        right = {"url": url, "user": "auditor", "token": "of-the-auditor"}
        for content, account, step, said, advice in (
            (
                source,
                right | {"token": "of-nobody-here"},
                "authorised",
                "password authentication",
                "MILLPOND_DESK_TOKEN",
            ),
            (source, right | {"url": f"{url}s"}, "reachable", "does not exist", "MILLPOND_DESK_URL"),
            (source, right | {"url": "postgresql://127.0.0.1:1/x"}, "reachable", "", "MILLPOND_DESK_URL"),
            (source, right, "authorised", "permission denied for", "grant the account in MILLPOND_DESK_USER"),
            (
                source | {"tables": [table | {"sql": {"table": "public.bils"}}]},
                right,
                "shape",
                "no table public.bils; there is bills",
                "sql.table in sources/desk.yaml",
            ),
        ):
            checks.declare(content, **account)
            found = checks.failed()
            assert found[0] == step, found
            assert said in found[1]
            assert advice in found[2]
        admin.execute("grant select on public.bills to auditor")
        checks.declare(source, **right)
        assert checks.failed() == ("", "", "")


def test_a_file_of_a_database_that_is_absent_is_not_reachable(checks: Checks) -> None:
    checks.declare({"source": "desk", "sql": {}, "tables": [TABLE]}, url="sqlite:///desk.db")
    assert checks.failed()[0] == "reachable"
    with closing(sqlite3.connect(checks.project / "desk.db")) as database, database:
        database.execute("create table others (id integer)")
    assert checks.failed()[0] == "shape"


def test_preview_says_that_rows_would_not_be_loaded_where_check_does(
    checks: Checks, shop: FakeSource, run: Callable[..., tuple[int, str, str]]
) -> None:
    shop.serve = lambda _: rows_as_json([row | ({"id": None} if row["id"] < 5 else {}) for row in ROWS])
    table = TABLE | {"endpoint": {"path": "bills"}, "window": {"params": {"since": "{start_iso}"}}}
    checks.declare({"source": "desk", "rest": {"base_url": "{url}"}, "tables": [table]}, url=shop.url)
    step, said, _ = checks.failed()
    assert step == "contract"
    code, out, _ = run("sources", "preview", "desk", "--day", DAY)
    assert code == 1
    assert f"not loaded: {said}" in out
    assert "5 of 6 rows break the contract" in said
