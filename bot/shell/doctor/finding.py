"""One line of `easel doctor`'s report. Knows no check."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from bot.redaction import cleaned


class Status(StrEnum):
    OK = "ok"
    WARN = "warn"
    BAD = "bad"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A BAD one has a fix: a command, or a change of settings."""

    name: str
    status: Status
    text: str
    fix: str = ""


def ok(name: str, text: str) -> Finding:
    return Finding(name=name, status=Status.OK, text=cleaned(text))


def warn(name: str, text: str, fix: str = "") -> Finding:
    return Finding(name=name, status=Status.WARN, text=cleaned(text), fix=cleaned(fix))


def bad(name: str, text: str, fix: str) -> Finding:
    return Finding(name=name, status=Status.BAD, text=cleaned(text), fix=cleaned(fix))
