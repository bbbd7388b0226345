"""What a test lets run in the engine's child instead of the engine; imports nothing, so as not to disturb what it tells."""

import sys


def tell_modules(_settings: object, _controls: object, events: object) -> None:
    """Sends the names of all packages that are loaded."""
    events.send(sorted({name.partition(".")[0] for name in sys.modules}))  # type: ignore[attr-defined]
