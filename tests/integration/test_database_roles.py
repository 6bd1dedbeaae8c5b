"""Each role reaches its own part of the embedded Postgres and nothing else."""

from __future__ import annotations

import psycopg
import pytest
import sqlalchemy
from psycopg import errors
from pydantic import SecretStr

from millpond.runtime.databases import Database, connect_superuser, databases
from millpond.runtime.home import Home
from millpond.runtime.postmaster import find_server
from millpond.runtime.provisioning import provision_superset
from millpond.settings import settings

OWNERS = ("dagster", "catalog", "ops", "marts")


def database(key: str) -> Database:
    found = getattr(databases(), key)
    assert isinstance(found, Database)
    return found


def refused_by(role: Database, name: str) -> str:
    address = role.uri.get_secret_value().replace(f"/{role.name}?", f"/{name}?")
    try:
        psycopg.connect(address).close()
    except psycopg.OperationalError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("key", OWNERS)
def test_a_role_writes_its_own_schema(home: Home, key: str) -> None:
    with database(key).connect() as connection:
        connection.execute("CREATE TABLE written (a int)")
        connection.execute("INSERT INTO written VALUES (1)")
        assert connection.execute("SELECT a FROM written").fetchall() == [(1,)]
        connection.rollback()


@pytest.mark.parametrize(
    ("key", "others"),
    [
        ("dagster", ["lake", "marts", "postgres", "template1"]),
        ("catalog", ["dagster", "marts", "postgres", "template1"]),
        ("ops", ["dagster", "marts", "postgres", "template1"]),
        ("marts", ["dagster", "lake", "postgres", "template1"]),
        ("marts_readonly", ["dagster", "lake", "postgres", "template1"]),
    ],
)
def test_a_role_may_not_connect_to_the_databases_of_others(home: Home, key: str, others: list[str]) -> None:
    assert all("permission denied for database" in refused_by(database(key), other) for other in others)


@pytest.mark.parametrize(("key", "schema"), [("catalog", "ops"), ("ops", "catalog")])
def test_catalog_and_ops_do_not_see_each_other(home: Home, key: str, schema: str) -> None:
    with database(key).connect() as connection, pytest.raises(errors.InsufficientPrivilege):
        connection.execute(f"CREATE TABLE {schema}.intruder (a int)")


@pytest.mark.parametrize("key", [*OWNERS, "marts_readonly"])
def test_no_role_is_more_than_it_need_be(home: Home, key: str) -> None:
    with database(key).connect() as connection:
        powers = connection.execute(
            "SELECT rolsuper, rolcreatedb, rolcreaterole, rolreplication, rolbypassrls FROM pg_roles "
            "WHERE rolname = current_user"
        ).fetchone()
    assert powers == (False,) * 5


@pytest.mark.parametrize("key", ["catalog", "ops", "marts", "marts_readonly"])
def test_only_the_owner_of_a_database_writes_its_public_schema(home: Home, key: str) -> None:
    with database(key).connect() as connection, pytest.raises(psycopg.Error, match=r"permission|read-only"):
        connection.execute("CREATE TABLE public.intruder (a int)")


@pytest.mark.parametrize("schema", ["marts", "marts_dev"])
def test_the_read_only_role_sees_each_mart_as_soon_as_it_is_made(home: Home, schema: str) -> None:
    with databases().marts.connect() as connection:
        connection.execute(f"CREATE SCHEMA IF NOT EXISTS {schema}")
        connection.execute(f"CREATE TABLE {schema}.mart AS SELECT 1 AS a")
        connection.execute(f"CREATE VIEW {schema}.seen AS SELECT a + 1 AS b FROM {schema}.mart")
    with databases().marts_readonly.connect() as connection:
        assert connection.execute(f"SELECT a, b FROM {schema}.mart, {schema}.seen").fetchall() == [(1, 2)]


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO mart VALUES (2)",
        "UPDATE mart SET a = 2",
        "DELETE FROM mart",
        "TRUNCATE mart",
        "DROP TABLE mart",
        "CREATE TABLE marts.other (a int)",
        "CREATE TEMPORARY TABLE other (a int)",
        "CREATE SCHEMA other",
        "SELECT lo_create(0)",
        "SELECT lo_creat(-1)",
        "SELECT lo_from_bytea(0, 'x')",
        "SELECT lo_put(1, 0, 'x')",
        "SELECT lo_import('/etc/hostname')",
        "SELECT lo_unlink(1)",
    ],
)
def test_the_read_only_role_changes_nothing_even_when_it_lifts_its_read_only_mode(
    home: Home, statement: str
) -> None:
    with databases().marts.connect() as connection:
        connection.execute("CREATE TABLE mart AS SELECT 1 AS a")
    with databases().marts_readonly.connect() as connection:
        with pytest.raises((errors.ReadOnlySqlTransaction, errors.InsufficientPrivilege)):
            connection.execute(statement)
        connection.rollback()
        connection.read_only = False
        with pytest.raises(errors.InsufficientPrivilege):
            connection.execute(statement)


@pytest.mark.parametrize(
    ("key", "schema"),
    [("catalog", "catalog"), ("ops", "ops"), ("marts", "marts"), ("marts_readonly", "marts")],
)
def test_what_another_role_plants_in_public_or_a_schema_of_its_own_is_never_used(
    home: Home, key: str, schema: str
) -> None:
    """Also where an administrator let it write there, as releases of Postgres before 15 did."""
    server, role = find_server(home), database(key)
    assert server
    with connect_superuser(home, server, role.name) as admin:
        admin.execute("CREATE ROLE planter")
        try:
            admin.execute("GRANT CREATE, USAGE ON SCHEMA public TO planter, PUBLIC")
            admin.execute(f"CREATE SCHEMA {role.role} AUTHORIZATION planter")  # that of "$user"
            admin.execute("SET ROLE planter")
            for place in ("public", role.role):
                admin.execute(f"CREATE TABLE {place}.planted (a int)")
                admin.execute(f"CREATE FUNCTION {place}.lower(text) RETURNS text RETURN 'planted'")
                admin.execute(f"CREATE FUNCTION {place}.md5(varchar) RETURNS text RETURN 'planted'")
                admin.execute(f"GRANT USAGE ON SCHEMA {place} TO PUBLIC")
            admin.execute("RESET ROLE")
            admin.commit()
            with role.connect() as connection:
                path = connection.execute("SELECT current_schemas(true)").fetchone()
                assert path == (["pg_catalog", schema],)
                assert connection.execute("SELECT lower('A'), md5('A'::varchar)").fetchone() == (
                    *("a", "7fc56270e7a70fa81a5935b72eacbe29"),
                )
                with pytest.raises(errors.UndefinedTable):
                    connection.execute("SELECT * FROM planted")
        finally:
            admin.rollback()
            admin.execute("RESET ROLE")
            admin.execute("DROP OWNED BY planter CASCADE")
            admin.execute("REVOKE ALL ON SCHEMA public FROM PUBLIC")
            admin.execute("DROP ROLE planter")


def test_an_unknown_password_is_refused_on_every_way_in(home: Home) -> None:
    known = databases().ops
    for host in ("127.0.0.1", str(home.run / "postgres")):
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(host=host, port=known.port, user=known.role, dbname=known.name, password="guess")


def test_passwords_are_stored_as_scram_verifiers(home: Home) -> None:
    with databases().ops.connect() as connection, pytest.raises(errors.InsufficientPrivilege):
        connection.execute("SELECT rolpassword FROM pg_authid")
    with databases().ops.connect() as connection:
        assert connection.execute("SHOW password_encryption").fetchone() == ("scram-sha-256",)


@pytest.mark.parametrize("key", [*OWNERS, "marts_readonly"])
def test_addresses_serve_libpq_and_sqlalchemy_alike(home: Home, key: str) -> None:
    asked = "SELECT current_user, current_schema(), current_setting('application_name')"
    with psycopg.connect(database(key).uri.get_secret_value()) as connection:
        by_libpq = connection.execute(asked).fetchone()
    seen = []
    for address in (database(key).sqlalchemy_uri, database(key).uri):
        engine = sqlalchemy.create_engine(address.get_secret_value())
        with engine.connect() as other:
            seen.append(tuple(other.exec_driver_sql(asked).one()))
        engine.dispose()
    assert seen == [by_libpq, by_libpq]


def test_provisioning_again_breaks_nothing_and_takes_away_what_an_earlier_release_allowed(home: Home) -> None:
    with databases().marts.connect() as connection:
        connection.execute("CREATE TABLE mart AS SELECT 1 AS a")
    server = find_server(home)
    assert server
    with connect_superuser(home, server, "marts") as connection:  # as releases before left it
        connection.execute("GRANT EXECUTE ON FUNCTION lo_create(oid) TO PUBLIC")
    (home.postgres / "provisioned").write_text("another release")
    from millpond.runtime import databases as module

    module._running.clear()
    with databases().marts_readonly.connect() as connection:
        assert connection.execute("SELECT a FROM mart").fetchall() == [(1,)]
        connection.rollback()
        connection.read_only = False
        with pytest.raises(errors.InsufficientPrivilege):
            connection.execute("SELECT lo_create(0)")
    assert (home.postgres / "provisioned").read_text() != "another release"
    assert settings().home == home.root


def test_superset_has_a_database_of_its_own_and_reaches_no_other(home: Home) -> None:
    server = find_server(home)
    assert server is not None
    for password in ("first", "second"):  # the second call changes the password and keeps what is there
        provision_superset(lambda name: connect_superuser(home, server, name), SecretStr(password))
    own = Database("superset", "superset", "millpond_superset", SecretStr("second"), server.port, "public")
    with own.connect_as_it_is() as connection:
        connection.execute("CREATE TABLE boards (a int)")
    for other in ("dagster", "lake", "marts", "postgres", "template1"):
        assert "permission denied for database" in refused_by(own, other)
    for key in (*OWNERS, "marts_readonly"):
        assert "permission denied for database" in refused_by(database(key), "superset")
    with connect_superuser(home, server, "postgres") as connection:
        connection.autocommit = True
        connection.execute("DROP DATABASE superset")
        connection.execute("DROP ROLE millpond_superset")
