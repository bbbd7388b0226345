"""Slow work on files, in threads that nobody waits for once the bot is told to end. Knows no database."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


async def unawaited(act: Callable[[], T]) -> T:
    """As asyncio.to_thread, but a cancelled one is left to itself and dies with the process.

    The pool of to_thread is waited for at the end, which a check or a copy of a large database would hold up for minutes.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: BaseException | None) -> None:
        if done.cancelled():
            return
        if error is not None:
            done.set_exception(error)
        else:
            done.set_result(result)  # type: ignore[arg-type] - act's own, which may be None

    def work() -> None:
        result: T | None = None
        problem: BaseException | None = None
        try:
            result = act()
        except BaseException as error:  # noqa: BLE001 - it is raised where it is awaited
            problem = error
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody asks any more
            loop.call_soon_threadsafe(settle, result, problem)

    threading.Thread(target=work, name="easel-files", daemon=True).start()
    return await done
