"""Log lines: readable or JSON, and never with a secret in them."""

from __future__ import annotations

import io
import json
import logging
import warnings
from collections.abc import Iterator
from typing import Literal

import pytest
import structlog

from bot.vitals import logs

TOKEN = "MTIzNDU2Nzg5MDEyMzQ1Njc4.GabcdE.aBcDeFgHiJkLmNoPqRsTuVwXyZ0123456789ab"


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """Logging is global: put back what was there."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(False)
    structlog.reset_defaults()


@pytest.mark.parametrize("form", ["console", "json"])
def test_both_kinds_of_records_come_out(form: Literal["console", "json"]) -> None:
    """Records of structlog and of plain logging take the same way, one line each."""
    out = io.StringIO()
    logs.configure("info", form, stream=out)
    structlog.get_logger("bot.core").info("job_queued", job=7)
    logging.getLogger("discord.client").warning("slow %s", "heartbeat")

    first, second = out.getvalue().splitlines()
    assert "job_queued" in first
    assert "bot.core" in first
    assert "slow heartbeat" in second
    assert "discord.client" in second


def test_json_lines_parse() -> None:
    """Under format json each line is one object with level, logger, time and event; texts stay readable."""
    out = io.StringIO()
    logs.configure("info", "json", stream=out)
    structlog.get_logger("bot").info("größe", job=7)

    line = json.loads(out.getvalue())
    assert (line["event"], line["job"], line["level"], line["logger"]) == ("größe", 7, "info", "bot")
    assert line["timestamp"].endswith("Z")
    assert "größe" in out.getvalue()


def test_the_level_is_a_threshold() -> None:
    """What lies below the configured level is not written, whoever says it."""
    out = io.StringIO()
    logs.configure("warning", stream=out)
    structlog.get_logger("bot").info("quiet")
    logging.getLogger("discord").info("quiet")
    structlog.get_logger("bot").warning("loud")

    assert "quiet" not in out.getvalue()
    assert "loud" in out.getvalue()


@pytest.mark.parametrize("form", ["console", "json"])
@pytest.mark.parametrize("secret", ["my-own-secret-value", TOKEN])
def test_secrets_are_removed_everywhere(form: Literal["console", "json"], secret: str) -> None:
    """The token's literal and anything shaped like a token vanish from messages, values and tracebacks."""
    out = io.StringIO()
    logs.configure("info", form, secrets=("my-own-secret-value",), stream=out)
    logger = structlog.get_logger("bot")
    logger.info(f"in the event {secret}", value=secret, nested={"deep": [secret]})
    logging.getLogger("discord.http").info("argument %s", secret)
    try:
        hidden = secret
        raise RuntimeError(f"in an exception {hidden}")
    except RuntimeError:
        logger.exception("caught")
        logging.getLogger("aiohttp").exception("caught too")

    text = out.getvalue()
    assert secret not in text
    assert text.count(logs.REMOVED) >= 6
    assert text.count("RuntimeError") >= 2


def test_tokens_of_interactions_are_removed() -> None:
    """An interaction's webhook address keeps its id and loses its token."""
    out = io.StringIO()
    logs.configure("info", stream=out)
    token = "aW50ZXJhY3Rpb246MTIzNDU2Nzg5MDEyMzQ1Njc4OnNlY3JldA"
    logging.getLogger("discord.http").info("PATCH /webhooks/123456789012345678/%s/messages/@original", token)

    assert token not in out.getvalue()
    assert f"/webhooks/123456789012345678/{logs.REMOVED}/messages" in out.getvalue()


def test_ordinary_text_is_left_alone() -> None:
    """Versions, file names and ids are no tokens."""
    text = "torch 2.13.0+cpu easel.sqlite3 123456789012345678 engine.families.sd a/b.c.d"

    assert logs.Redactor().clean(text) == text


def test_a_tiny_secret_does_not_eat_the_log() -> None:
    """An absurdly short secret is not replaced: it would garble every line."""
    out = io.StringIO()
    logs.configure("info", secrets=("a", ""), stream=out)
    structlog.get_logger("bot").info("banana")

    assert "banana" in out.getvalue()


def test_configuring_twice_writes_once() -> None:
    """A second call replaces the first, as the demo and tests need."""
    first, second = io.StringIO(), io.StringIO()
    logs.configure("info", stream=first)
    logs.configure("info", stream=second)
    logging.getLogger("bot").info("once")

    assert first.getvalue() == ""
    assert second.getvalue().count("once") == 1


def test_warnings_are_logged() -> None:
    """Python's own warnings become records instead of loose lines on stderr."""
    out = io.StringIO()
    logs.configure("info", stream=out)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(True)
        warnings.warn("this is old", DeprecationWarning, stacklevel=1)
        logging.captureWarnings(False)

    assert "this is old" in out.getvalue()


def test_debug_keeps_noisy_libraries_quiet() -> None:
    """aiosqlite's line per statement stays out even at debug: statements hold prompts."""
    out = io.StringIO()
    logs.configure("debug", stream=out)
    logging.getLogger("aiosqlite").debug("executing a prompt")
    logging.getLogger("bot").debug("mine")

    assert "prompt" not in out.getvalue()
    assert "mine" in out.getvalue()
