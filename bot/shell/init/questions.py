"""Questions at a terminal: what is typed, hidden where it is a secret. Knows no settings."""

from __future__ import annotations

import getpass
import sys
import warnings


class NotHidden(Exception):
    """The terminal would show what is typed."""


def is_terminal() -> bool:
    """Whether somebody can be asked."""
    return sys.stdin.isatty()


def text(question: str, default: str) -> str:
    """What was typed, or the default for nothing. Raises EOFError and KeyboardInterrupt, as all here."""
    return input(f"{question} [{default}] ").strip() or default


def yes(question: str, *, default: bool = False) -> bool:
    """Asks until it is a yes or a no."""
    while True:
        match text(f"{question} (y/n)", "y" if default else "n").lower():
            case "y" | "yes":
                return True
            case "n" | "no":
                return False
            case _:
                print("Type y or n.")


def number(question: str, default: int, most: int) -> int:
    """Asks until it is a whole number from 0 to `most`."""
    while True:
        typed = text(question, str(default))
        if typed.isascii() and typed.isdigit() and len(typed) <= len(str(most)) and int(typed) <= most:
            return int(typed)
        print(f"Type a whole number from 0 to {most}.")


def secret(question: str) -> str:
    """What was typed, which the terminal did not show. Raises NotHidden where it would."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", getpass.GetPassWarning)
        try:
            return getpass.getpass(f"{question} ").strip()
        except getpass.GetPassWarning:
            raise NotHidden from None
