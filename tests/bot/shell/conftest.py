"""Questions to the engine's packages that are answered fast, and a Discord that says what it thinks of a token."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from bot.shell import child
from bot.shell.doctor import online
from tests.kit import forked

Launch = Callable[[Sequence[str]], subprocess.CompletedProcess[str]]


@pytest.fixture(autouse=True)
def usual_launch(monkeypatch: pytest.MonkeyPatch) -> Launch:
    """How an interpreter of its own answers, which test_doctor.py looks at; elsewhere one answers that has torch already."""
    usual, report = child.launch, child.REPORT

    def launch(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
        return (forked.ask if tuple(command[: len(report)]) == report else usual)(command)

    monkeypatch.setattr(child, "launch", launch)
    return usual


Answer = tuple[int, Any]


@pytest.fixture
def discord(
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[tuple[dict[str, Answer], list[tuple[str, str | None]]]]:
    """A Discord of our own, in a thread; `answers` are by path, and `heard` is what was sent with which token."""
    from http.server import BaseHTTPRequestHandler, HTTPServer

    answers: dict[str, Answer] = {}
    heard: list[tuple[str, str | None]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            heard.append((self.path, self.headers["Authorization"]))
            status, body = answers.get(self.path, (404, {}))
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body.encode() if isinstance(body, str) else json.dumps(body).encode())

        def log_message(self, format: str, *_: Any) -> None:  # noqa: A002 - the library's own name
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setattr(online, "API", f"http://127.0.0.1:{server.server_port}")
    yield answers, heard
    server.shutdown()
    thread.join()
    server.server_close()
