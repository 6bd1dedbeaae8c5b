"""Serves the dashboard on loopback: `python -m millpond.dashboard --port PORT`, in its own environment."""

from __future__ import annotations

import argparse
import sys
from contextlib import suppress
from pathlib import Path

from streamlit import net_util
from streamlit.logger import get_logger
from streamlit.runtime.scriptrunner_utils import script_run_context
from streamlit.testing.v1 import AppTest
from streamlit.web import bootstrap

from millpond import redaction
from millpond.dashboard.theme import build_options
from millpond.errors import ConfigError
from millpond.runtime.addresses import refuse_open_address
from millpond.settings import settings

_APP = Path(__file__).parent / "script" / "main.py"
_WARM_UP_SECONDS = 60


def build_server_options(address: str, port: int, public_url: str | None) -> dict[str, object]:
    """Return Streamlit's options; pages of other origins than loopback and `public_url` may not connect."""
    return {
        "server.address": address,
        "server.port": port,
        "server.headless": True,
        "server.showEmailPrompt": False,
        "server.fileWatcherType": "none",
        "server.runOnSave": False,
        "server.enableXsrfProtection": True,
        "server.enableCORS": True,
        "server.corsAllowedOrigins": [public_url] if public_url else [],
        "browser.gatherUsageStats": False,
        "browser.serverAddress": "127.0.0.1",
        "client.showErrorDetails": "none",
        "client.toolbarMode": "minimal",
        "runner.magicEnabled": False,
        **build_options(),
    }


def _warm_up() -> None:
    """Run the first page once before anybody can ask for it; where it cannot be shown, it says why later."""
    warnings = get_logger(script_run_context.__name__)
    warnings.disabled = True  # of what is run without a visitor
    with suppress(Exception):
        AppTest.from_file(str(_APP), default_timeout=_WARM_UP_SECONDS).run()
    warnings.disabled = False


def main() -> None:
    """Serve until SIGTERM or Ctrl-C."""
    parser = argparse.ArgumentParser(prog="millpond.dashboard")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--address", default="127.0.0.1")
    given = parser.parse_args()
    try:
        refuse_open_address(given.address, "the dashboard", settings())
    except ConfigError as error:
        sys.exit(str(error))
    redaction.install()
    net_util.get_external_ip = lambda: None  # it is looked up at another server
    options = build_server_options(given.address, given.port, settings().public_url)
    bootstrap.load_config_options(options)
    _warm_up()
    bootstrap.run(str(_APP), False, [], options)


if __name__ == "__main__":
    main()
