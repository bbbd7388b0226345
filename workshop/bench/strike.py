"""An engine whose device fails once in the middle of a picture; knows where in the worker, and nothing of a bot.

On CUDA the fault is a real one: an index outside of a tensor, which the card's own assertion stops. Elsewhere its error is raised.
"""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine import process
from engine.contract import EngineSettings, failpoints
from engine.contract.failpoints import Failpoint
from engine.errors import DeviceLost

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from multiprocessing.queues import Queue

    from engine.process import Run

ARMED, STRUCK = "strike-armed", "strike-struck"
"""Files beside the spool: whoever makes the first has the next forward struck; the second then says how."""
_child = process._child  # pyright: ignore[reportPrivateUsage]


@contextmanager
def prepared() -> Generator[None]:
    """Engines that this process starts meanwhile can be struck."""
    process._child = child  # pyright: ignore[reportPrivateUsage]
    try:
        yield
    finally:
        process._child = _child  # pyright: ignore[reportPrivateUsage]


def arm(spool: Path) -> None:
    (spool.parent / ARMED).touch()


def told(spool: Path) -> str:
    """How the device was struck; "" if it was not."""
    file = spool.parent / STRUCK
    return file.read_text(encoding="utf-8") if file.exists() else ""


def child(
    settings: EngineSettings, controls: Queue[Any], events: Connection[Any, Any], run: Run | None
) -> None:
    """What an engine's process runs."""
    folder = Path(settings.spool).parent

    def hook(point: Failpoint) -> None:
        if point is Failpoint.FORWARDED and (folder / ARMED).exists():
            (folder / ARMED).unlink()
            strike(folder / STRUCK, settings.device)

    failpoints.arm(hook)
    _child(settings, controls, events, run)


def strike(file: Path, device: str) -> None:
    """Raises DeviceLost, or on CUDA nothing yet: the next thing that is asked of the card fails."""
    import torch

    if device != "cpu" and torch.cuda.is_available():
        file.write_text(f"a device assertion in process {os.getpid()}", encoding="utf-8")
        _ = torch.zeros(1, device="cuda")[torch.tensor([7], device="cuda")]
        return
    file.write_text(f"an error like CUDA's, raised in process {os.getpid()}", encoding="utf-8")
    raise DeviceLost("CUDA error: device-side assert triggered (raised for a rehearsal)")
