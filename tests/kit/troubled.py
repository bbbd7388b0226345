"""A `World` to make trouble in: its bot comes when told, and a test reads the rows and the log that an operator would."""

from __future__ import annotations

import io
import sqlite3
import tomllib
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from bot.chat.outages import is_weather
from bot.vitals import logs
from engine.contract import FakeSettings
from tests.kit.world import Person, World
from workshop.rehearsal.loopback.driver import Answer, Channel, Message

PREVIEW = "preview.jpg"


class Troubled(World):
    """The bot is not there before `come`."""

    may_come = False

    def __init__(self, **parts: Any) -> None:
        super().__init__(**parts)
        self.out = io.StringIO()

    async def _come(self) -> None:
        if self.may_come:
            await super()._come()
            await self.until(lambda: self.engine.status.is_ready)

    async def in_line(self, answer: Answer) -> None:
        """Not waited for: it may never come to it here."""

    async def come(self) -> None:
        """The bot is connected, and its engine is ready: what is asked now is not refused."""
        self.may_come = True
        await self._come()

    # -------------------------------------------------------------- what an operator reads

    def log(self) -> str:
        return self.out.getvalue()

    def rows(self, sql: str) -> list[Any]:
        connection = sqlite3.connect(f"file:{self.settings.database}?mode=ro", uri=True)
        try:
            return connection.execute(sql).fetchall()
        finally:
            connection.close()

    def states(self) -> list[str]:
        return [row[0] for row in self.rows("SELECT state FROM job ORDER BY id")]

    def charges(self) -> list[int]:
        return [row[0] for row in self.rows("SELECT charged FROM job ORDER BY id")]

    async def ends(self, *states: str) -> None:
        """The jobs, in their order, have come to these states."""
        await self.hears(lambda: self.states() == [*states])

    async def hears(self, condition: Any) -> None:
        """As `until`, with the log where it never comes true, and patience for the pauses between tries."""
        await self.discord.until(condition, 60, f"{self.states()}\n{self.log()}")

    # -------------------------------------------------------------- what people do and see

    async def imagine(self, who: Person | None = None, **options: Any) -> Any:
        return await super().imagine(who, **options)

    async def asks(self, who: Person | None = None, **options: Any) -> Any:
        """Asks without waiting for an answer, which may never come."""
        options.setdefault("prompt", "a red circle")
        return await self.discord.send_slash((who or self.alice).user, self.channel, "imagine", **options)

    async def finished(self, answer: Answer) -> Message:
        """The answer's message once it shows what became of the job, and no preview any more."""

        def shown() -> bool:
            return answer.message is not None and any(
                file.filename != PREVIEW for file in answer.message.attachments
            )

        await self.hears(shown)
        assert answer.message is not None
        return answer.message

    def shown(self, place: Channel | None = None) -> list[Message]:
        """The messages of a channel that show a finished image."""
        messages = self.discord.posted(place or self.channel)
        return [m for m in messages if any(name.startswith("easel-") for name in m.shown_files)]

    def spooled(self) -> list[str]:
        return sorted(path.name for path in self.settings.spool.glob("*.png"))

    def assert_nothing_went_wrong(self) -> None:
        """Nobody reads of a mistake, and the log knows of none."""
        assert "interaction_failed" not in self.log()
        assert "Traceback" not in self.log()
        said = [request.json for request in self.discord.requests_to("POST", "/callback")]
        assert "Something went wrong" not in str(said)


@asynccontextmanager
async def trouble(folder: Path, *, toml: str = "", **fake: Any) -> AsyncGenerator[Troubled]:
    """A world without its bot yet; `fake` is of the engine.

    Leaving it fails if the bot ever made a follow-up that everybody sees: these have no nonce, so they could come twice.
    """
    fake.setdefault("step_s", 0.01)
    settings = FakeSettings(**fake)
    world = await Troubled.start(folder, fake=settings, **tomllib.loads(toml))
    assert isinstance(world, Troubled)
    logs.configure(stream=world.out, one_line=is_weather)
    try:
        yield world
    finally:
        await world.stop()
        logs.configure()
    assert all(each.ephemeral for each in world.discord.followups)
