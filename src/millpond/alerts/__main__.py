"""The part `alerts` of `millpond up`: `python -m millpond.alerts` delivers until SIGTERM."""

from __future__ import annotations

import logging
import signal
import sys
from types import FrameType

from millpond.alerts.dispatcher import Dispatcher
from millpond.redaction import Redacting
from millpond.runtime.home import exclusive, layout
from millpond.runtime.supervised_parts import beat_file
from millpond.settings import settings


def main() -> None:
    """Deliver alerts; only one process of a home does."""
    handler = logging.StreamHandler(sys.stdout)
    handler.addFilter(Redacting())
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    logging.getLogger("millpond.alerts").setLevel(logging.INFO)
    home = layout(settings())
    beat = beat_file(home)
    dispatcher = Dispatcher(settings(), lambda wrong: bool(beat.write_text(wrong)))

    def end(_number: int, _frame: FrameType | None) -> None:
        dispatcher.stop()

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    with exclusive(home.run / "alerts.lock", doing="delivering alerts"):
        dispatcher.run()


if __name__ == "__main__":
    main()
