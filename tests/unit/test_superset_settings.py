"""Superset's settings, at home and in its container: which role reads the marts, and what is kept out."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any, Literal

import pytest
import yaml
from sqlalchemy.engine import make_url

import millpond.bi
from millpond.bi.bundle import MARTS_HOST
from millpond.bi.installation import is_prepared, run_command
from millpond.errors import EmbeddedPartError
from millpond.project.template import rendered
from millpond.runtime.environments import Environment
from millpond.runtime.superset import ENVIRONMENT
from millpond.settings import Settings

FOLDER = Path(millpond.bi.__file__).with_name("superset")
DOCKER = Path(__file__).parents[2] / "docker"
SECRETS = ("SECRET_KEY", "ADMIN_PASSWORD", "DATABASE_PASSWORD", "MARTS_PASSWORD")


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    for name in SECRETS:
        (tmp_path / name).write_text(f"{name}-canary\n")
        monkeypatch.setenv(f"BI_{name}_FILE", str(tmp_path / name))
    for name, value in (("HOST", "db.example.org"), ("PORT", "6543"), ("SSLMODE", "require")):
        monkeypatch.setenv(f"BI_POSTGRES_{name}", value)
    return runpy.run_path(str(FOLDER / "superset_config.py"))


def test_the_bundles_database_is_the_marts_as_the_role_that_only_reads(config: dict[str, Any]) -> None:
    named = make_url(
        yaml.safe_load((DOCKER.parent / "bi/databases/marts.yaml").read_text())["sqlalchemy_uri"]
    )
    assert (named.host, named.password) == (MARTS_HOST, None)
    uri, params = config["DB_CONNECTION_MUTATOR"](named, {"a": 1}, "admin", None, None)
    assert (uri.host, uri.port, uri.database) == ("db.example.org", 6543, "marts")
    assert (uri.username, uri.password) == ("millpond_read", "MARTS_PASSWORD-canary")
    assert (uri.query["sslmode"], params) == ("require", {"a": 1})
    own = make_url(config["SQLALCHEMY_DATABASE_URI"])
    assert (own.username, own.database) == ("millpond_superset", "superset")


def test_a_database_that_somebody_adds_stays_as_it_is(config: dict[str, Any]) -> None:
    other = make_url("postgresql+psycopg2://a@elsewhere/sales")
    assert config["DB_CONNECTION_MUTATOR"](other, {}, "admin", None, None) == (other, {})


def test_pages_load_nothing_from_other_hosts_and_nothing_is_uploaded(config: dict[str, Any]) -> None:
    policy = config["TALISMAN_CONFIG"]["content_security_policy"]
    assert "http" not in str(policy)
    assert policy["img-src"] == ["'self'", "blob:", "data:"]
    assert config["ALLOWED_EXTENSIONS"] == set()
    database = yaml.safe_load((DOCKER.parent / "bi/databases/marts.yaml").read_text())
    assert not [
        key for key in ("allow_dml", "allow_ctas", "allow_cvas", "allow_file_upload") if database[key]
    ]


def test_its_container_is_hardened_and_gets_each_secret_that_its_settings_name() -> None:
    compose = yaml.safe_load((DOCKER / "compose.yaml").read_text())
    service = compose["services"]["superset"]
    assert (service["profiles"], service["user"], service["read_only"]) == (["bi"], "10001:10001", True)
    assert (service["cap_drop"], service["security_opt"]) == (["ALL"], ["no-new-privileges:true"])
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])
    files = {f"BI_{name}_FILE" for name in SECRETS}
    assert {Path(v).name for k, v in service["environment"].items() if k in files} == set(service["secrets"])
    assert files <= service["environment"].keys()
    made = (DOCKER / "make-secrets").read_text()
    assert set(service["secrets"]) <= compose["secrets"].keys()
    assert "superset_secret_key" in made
    assert "superset_admin_password" in made
    assert "superset; do" in made


@pytest.mark.parametrize(
    "text",
    [(DOCKER / "Dockerfile").read_text(), rendered("pond", "glucose")["docker/Dockerfile"].decode()],
    ids=["repository", "project"],
)
def test_the_image_has_a_stage_for_it_and_ends_with_millponds_own(text: str) -> None:
    stages = [line.split()[-1] for line in text.splitlines() if line.startswith("FROM ")]
    assert stages == ["build", "superset-build", "superset", "runtime"]
    assert "/opt/superset/start" in text
    assert {
        each.name for each in FOLDER.iterdir() if each.suffix != ".pyc" and each.name != "__pycache__"
    } == {
        *("superset_config.py", "superset_commands.py", "start"),
    }


def test_its_packages_are_pinned_with_hashes_for_the_pythons_that_it_runs_on() -> None:
    lines = ENVIRONMENT.requirements.read_text()
    assert "apache-superset==6.1.0" in lines
    assert "--hash=sha256:" in lines
    assert "://" not in lines
    assert ENVIRONMENT.find_python()
    assert Environment("none", pythons=("1.0",)).find_python() is None


@pytest.mark.parametrize("command", ["import", "export"])
def test_a_home_in_which_superset_was_never_started_says_so(
    tmp_path: Path, command: Literal["import", "export"]
) -> None:
    home = Settings(home=tmp_path / "home")
    with pytest.raises(EmbeddedPartError, match=r"not started in this home yet(.|\n)*`millpond bi up`"):
        run_command(home, command, str(tmp_path))
    assert not (home.home / "superset").exists()
    assert not is_prepared(home)
