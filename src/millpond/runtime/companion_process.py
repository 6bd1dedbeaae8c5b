"""The process of a companion: `python -m millpond.runtime.companion_process PIPE WARM-UP`."""

from __future__ import annotations

import pickle
import signal
import sys
import threading
import traceback
from contextlib import suppress
from multiprocessing.connection import Connection

from millpond.errors import MillpondError
from millpond.runtime.companion import Call, Reply
from millpond.runtime.garbage import pause_collection, resume_collection


def main() -> None:
    """Warm up, then execute calls until the pipe is closed."""
    pipe, warm_up = Connection(int(sys.argv[1])), sys.argv[2]
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the command, which ends this process
    pause_collection()
    with suppress(Exception):  # the first call reports the error
        Call(warm_up, (), {}, wanted=False).make(None)
    resume_collection()
    with suppress(EOFError):
        while True:
            reply = _answer(pipe, pipe.recv())
            try:
                pipe.send(reply)
            except (pickle.PicklingError, TypeError, AttributeError):
                pipe.send(Reply("raised", RuntimeError(repr(reply.what))))


def _answer(pipe: Connection, request: Call) -> Reply:
    one_by_one = threading.Lock()

    def tell(event: object) -> None:
        with one_by_one:
            pipe.send(Reply("event", event))

    try:
        return Reply("result", request.make(tell))
    except MillpondError as error:
        return Reply("raised", error)
    except Exception as error:  # noqa: BLE001 - raised again where the call came from
        error.add_note(traceback.format_exc())
        return Reply("raised", error)


if __name__ == "__main__":
    main()
