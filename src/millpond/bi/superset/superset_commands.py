"""What Millpond has Superset do, in one process of Superset's Python for each command.

`install BUNDLE` migrates its database, writes roles and the administrator, and imports the bundle, a folder
or ""; `import BUNDLE` only imports it; `export FOLDER` writes all dashboards with what they need.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ADMINISTRATOR = "admin"


@contextmanager
def _app() -> Iterator[None]:
    from superset.app import create_app

    with create_app().app_context():
        yield


def _prepare() -> None:
    from flask_migrate import upgrade

    with _app():
        import superset

        upgrade(directory=str(Path(superset.__file__).parent / "migrations"))
        superset.appbuilder.add_permissions(update_perms=True)
        security = superset.security_manager
        security.sync_role_definitions()
        if security.find_user(ADMINISTRATOR) is None:
            password = Path(os.environ["BI_ADMIN_PASSWORD_FILE"]).read_text().strip()
            security.add_user(
                ADMINISTRATOR,
                *("Millpond", "Administrator", "admin@localhost.invalid"),
                security.find_role("Admin"),
                password=password,
            )


def _import(bundle: str) -> None:
    import yaml

    with _app():
        from superset import db, security_manager
        from superset.commands.importers.v1.assets import ImportAssetsCommand
        from superset.constants import PASSWORD_MASK
        from superset.models.core import Database
        from superset.utils.core import override_user

        folder = Path(bundle)
        contents = {str(file.relative_to(folder)): file.read_text("utf-8") for file in folder.rglob("*.yaml")}
        known = {str(uuid) for (uuid,) in db.session.query(Database.uuid)}
        # A database that another Superset had a password for comes without one, and gets it in Superset.
        passwords = {
            name: ""
            for name, text in contents.items()
            if name.startswith("databases/")
            and PASSWORD_MASK in text
            and yaml.safe_load(text)["uuid"] not in known
        }
        with override_user(security_manager.find_user(ADMINISTRATOR)):
            ImportAssetsCommand(contents, passwords=passwords).run()


def _export(folder: str) -> None:
    with _app():
        from superset import db, security_manager
        from superset.commands.dashboard.export import ExportDashboardsCommand
        from superset.models.dashboard import Dashboard
        from superset.utils.core import override_user

        with override_user(security_manager.find_user(ADMINISTRATOR)):
            ids = [one for (one,) in db.session.query(Dashboard.id).order_by(Dashboard.id)]
            for name, content in ExportDashboardsCommand(ids).run():
                place = Path(folder) / name
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_text(content(), "utf-8")


if __name__ == "__main__":
    command, argument = sys.argv[1:]
    if command == "install":
        _prepare()
    if command in ("install", "import") and argument:
        _import(argument)
    if command == "export":
        _export(argument)
