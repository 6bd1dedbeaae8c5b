"""Servers without a password of their own listen on loopback, unless something in front of them has one."""

from __future__ import annotations

import ipaddress
import socket
from contextlib import suppress

from millpond.errors import ConfigError
from millpond.settings import Settings, variable

LOOPBACK = "127.0.0.1"


def is_loopback(host: str) -> bool:
    """Return whether a server on `host`, a name or an address, is reached from this machine alone."""
    with suppress(ValueError):
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    try:
        found = {str(entry[4][0]) for entry in socket.getaddrinfo(host, None)} if host else {""}
    except (OSError, UnicodeError):
        return False
    return all(each and ipaddress.ip_address(each.partition("%")[0]).is_loopback for each in found)


def refuse_open_address(host: str, what: str, settings: Settings) -> None:
    """Raise ConfigError where `what` would listen beyond this machine with nothing that asks who is there."""
    if settings.pages_behind or is_loopback(host):
        return
    raise ConfigError(
        f"{what} would listen on {host or 'every address'}, and it asks for no password: anybody who reaches"
        " this machine could use it",
        unharmed="everything; nothing was started",
        next_step=f"leave the address out and reach it through ssh -L, or put a reverse proxy that asks for a"
        f" password in front and set {variable('pages_behind')}=proxy (network, if only containers of one"
        " network reach it)",
    )
