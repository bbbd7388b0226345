"""What a test lets run in the engine's child instead of the engine; imports nothing, so as not to disturb what it tells."""

import os
import pickle
import sys


def tell_modules(_settings: object, _controls: object, events: object, _run: object) -> None:
    """Sends the names of all packages that are loaded, as the reason of a broken engine."""
    names = sorted({name.partition(".")[0] for name in sys.modules})
    events.send_bytes(f'Broken\n{{"reason": "{" ".join(names)}"}}\n'.encode())  # type: ignore[attr-defined]


class Code:
    """What a pickle may do to whoever opens it: leave its mark."""

    def __init__(self, mark: str) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (self.mark,)


def send_code(settings: object, _controls: object, events: object, _run: object) -> None:
    """Speaks as an engine that was taken over: with pickles."""
    events.send_bytes(pickle.dumps(Code(settings.spool + "-mark")))  # type: ignore[attr-defined]
    sys.stdin.read()


def send_too_much(_settings: object, _controls: object, events: object, _run: object) -> None:
    """Says that more is coming than any message has."""
    os.write(events.fileno(), b"\xff\xff\xff\xff" + b"\x00\x00\x01" + bytes(5))  # type: ignore[attr-defined]
    sys.stdin.read()
