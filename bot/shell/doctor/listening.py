"""`easel doctor`: where Prometheus is to find the bot's numbers, and who else would. Writes nothing."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator

from bot.config import Address, Settings
from bot.shell.doctor.finding import Finding, bad, ok, warn

LISTEN = 'listen = "127.0.0.1:9464" under [metrics]'


def check_metrics(settings: Settings) -> Iterator[Finding]:
    """Nothing is said where none are told."""
    address = settings.metrics.address
    if address is None:
        return
    if (problem := _not_free(address)) is not None:
        yield problem
    elif address.is_loopback:
        yield ok("Metrics", f"http://{address}/metrics, for this machine alone")
    else:
        yield warn(
            "Metrics",
            f"Whoever reaches {address} reads them, without a password: a firewall has to see to that.",
        )


def _not_free(address: Address) -> Finding | None:
    """What keeps the bot from listening there; the bot itself, if it runs, which is fine."""
    try:
        family, kind, _, _, place = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(place)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            return warn(
                "Metrics", f"Somebody listens at {address}: this Easel, if it runs, or another program."
            )
        return bad("Metrics", f"Nothing can listen at {address}: {error.strerror or error}.", LISTEN)
    return None
