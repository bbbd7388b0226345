"""Answers Prometheus' scrapes on threads of their own: the bot's loop has no part in it. Knows no metric."""

from __future__ import annotations

import threading
from wsgiref.simple_server import WSGIServer

from prometheus_client import CollectorRegistry, start_http_server

from bot.config import Address, ConfigError


class Scrapes:
    """Listens from the beginning until it is closed."""

    def __init__(self, registry: CollectorRegistry, address: Address) -> None:
        """Raises ConfigError where nobody can listen there. May take long: names are looked up."""
        self._server: WSGIServer
        self._thread: threading.Thread
        try:
            self._server, self._thread = start_http_server(address.port, address.host, registry)
        except OSError as error:
            raise ConfigError(
                f"metrics.listen: nothing can listen at {address} ({error.strerror or error}): name another address "
                "or port, or leave it out."
            ) from None

    def close(self) -> None:
        """Blocks until it is gone, up to half a second."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
