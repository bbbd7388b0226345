"""Logging for people or as JSON, with secrets taken out of every line. Knows neither Discord nor SQL."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from bot.redaction import REMOVED, cleaned


@dataclass(frozen=True, slots=True, kw_only=True)
class Redactor:
    """Last processor: sees the finished line, tracebacks and foreign records included, so nothing slips past."""

    secrets: tuple[str, ...] = ()

    def __call__(self, _logger: WrappedLogger, _method: str, line: EventDict | str) -> str:
        return self.clean(str(line))

    def clean(self, line: str) -> str:
        for secret in self.secrets:
            line = line.replace(secret, REMOVED)
        return cleaned(line)


@dataclass(frozen=True, slots=True)
class _Shortened:
    """Names an error of the expected kind instead of showing where it came from."""

    is_expected: Callable[[BaseException], bool]

    def __call__(self, _logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        told: Any = event.get("exc_info")
        error: Any = sys.exception() if told is True else told
        if isinstance(told, tuple):
            error = told[1]  # pyright: ignore[reportUnknownVariableType] - a record's own triple
        if isinstance(error, BaseException) and self.is_expected(error):
            del event["exc_info"]
            event.setdefault("error", f"{type(error).__name__}: {error}")
        return event


class _Handler(logging.StreamHandler[TextIO]):
    """Ours by type, so that configuring a second time replaces it and leaves a test runner's handlers alone."""


def configure(
    level: str = "info",
    format: Literal["console", "json"] = "console",  # noqa: A002 - the name of the key in easel.toml
    secrets: Sequence[str] = (),
    stream: TextIO | None = None,
    one_line: Callable[[BaseException], bool] = lambda _: False,
) -> None:
    """Sends structlog's and every library's records to `stream` (stderr unless told), one line each.

    A traceback follows where an error is told that is none of the `one_line`s.
    """
    out = stream or sys.stderr
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(
            fmt="%H:%M:%S" if format == "console" else "iso", utc=format == "json"
        ),
        structlog.processors.StackInfoRenderer(),
        _Shortened(one_line),
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,  # a test, and the demo, may configure again
    )
    redact = Redactor(secrets=tuple(secret for secret in secrets if len(secret) >= 8))
    handler = _Handler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *_renderers(format, out),
                redact,
            ],
        )
    )
    root = logging.getLogger()
    for old in [old for old in root.handlers if isinstance(old, _Handler)]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level.upper())
    for noisy in ("aiosqlite", "asyncio", "PIL"):  # at debug they write a line for every single statement
        logging.getLogger(noisy).setLevel(max(logging.INFO, root.level))
    logging.captureWarnings(True)


def _renderers(format: Literal["console", "json"], out: TextIO) -> list[Processor]:  # noqa: A002
    match format:
        case "json":
            return [
                structlog.processors.format_exc_info,
                structlog.processors.JSONRenderer(ensure_ascii=False),
            ]
        case "console":
            # Plain tracebacks: the pretty ones print local variables, and one of those may be the token.
            plain = structlog.dev.plain_traceback
            colors = out.isatty() and not os.environ.get("NO_COLOR")
            return [structlog.dev.ConsoleRenderer(colors=colors, exception_formatter=plain)]
