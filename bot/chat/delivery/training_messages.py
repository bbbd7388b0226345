"""Keeps the message of every training up to date: one writer for each, what is in between may be lost, its end may not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import discord
import structlog

from bot.chat.errors import LOST
from bot.chat.look import training_view
from bot.chat.outages import TROUBLES, pauses, told
from bot.core.training.told import Seen
from bot.store.db import DatabaseError
from bot.store.trainings import Trainings
from bot.training import UNDER_WAY, Training

log = structlog.get_logger(__name__)

TRIES_MAX = 12
"""Of writing an end: more than an hour, by pauses that grow."""


@dataclass(slots=True)
class _Writer:
    """The one place from which a message is edited."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    pending: Seen | None = None
    task: asyncio.Task[None] | None = None
    samples: int = -1
    """At which number of them it was looked for a sheet last."""
    has_sheet: bool = False
    """One is posted."""


class TrainingMessages:
    """Implements `bot.core.training.told.TrainingTold` with discord.py."""

    def __init__(
        self,
        client: discord.Client,
        rows: Trainings,
        *,
        sheet_of: Callable[[int], Path],
        interval_s: float,
    ) -> None:
        """`sheet_of`: where a training's samples lie, if there are any."""
        self._client, self._rows, self._interval_s = client, rows, interval_s
        self._sheet_of = sheet_of
        self._writers: dict[int, _Writer] = {}

    def show(self, training_id: int, seen: Seen) -> None:
        writer = self._writers.setdefault(training_id, _Writer())
        writer.pending = seen
        if writer.task is None or writer.task.done():
            writer.task = asyncio.get_running_loop().create_task(self._write(training_id, writer))

    async def _write(self, training_id: int, writer: _Writer) -> None:
        """Until nothing new came within an interval."""
        while (seen := writer.pending) is not None:
            writer.pending = None
            try:
                async with writer.lock:
                    await self._show(training_id, writer, seen)
            except (*LOST, DatabaseError) as error:
                log.info("training_not_shown", training=training_id, error=str(error))
            await asyncio.sleep(self._interval_s)

    async def _show(self, training_id: int, writer: _Writer, seen: Seen) -> None:
        training = await self._rows.get(training_id)
        if training is None or training.state not in UNDER_WAY or training.message_id is None:
            return
        is_new = seen.samples != writer.samples
        files = await self._sheet(training_id) if is_new else None
        has_sheet = writer.has_sheet if files is None else bool(files)
        view = training_view.live(training, seen, with_sheet=has_sheet)
        message = self._place(training).get_partial_message(training.message_id)
        if files is None:
            await message.edit(view=view)
        else:
            await message.edit(view=view, attachments=files)
            writer.samples, writer.has_sheet = seen.samples, has_sheet

    async def ended(self, training_id: int) -> None:
        """Waits for outages; twice is once."""
        writer = self._writers.setdefault(training_id, _Writer())
        writer.pending = None
        try:
            for _, pause in zip(range(TRIES_MAX), pauses(), strict=False):
                try:
                    async with writer.lock:
                        await self._finish(training_id, writer)
                except (discord.NotFound, discord.Forbidden) as error:
                    log.info("training_end_not_shown", training=training_id, error=told(error))
                except (*TROUBLES, DatabaseError) as error:
                    log.warning("training_end_delayed", training=training_id, error=str(error), again_s=pause)
                    await asyncio.sleep(pause)
                    continue
                return
        finally:
            if writer.task is not None:
                writer.task.cancel()
            self._writers.pop(training_id, None)

    async def _finish(self, training_id: int, writer: _Writer) -> None:
        training = await self._rows.get(training_id)
        if training is None or training.state in UNDER_WAY or training.channel_id is None:
            return
        if training.message_id is None:  # killed between payment and answer
            message = await self._place(training).send(view=training_view.final(training, with_sheet=False))
            await self._rows.stands(training.id, channel_id=training.channel_id, message_id=message.id)
            return
        files = await self._sheet(training_id)
        view = training_view.final(training, with_sheet=writer.has_sheet or bool(files))
        message = self._place(training).get_partial_message(training.message_id)
        if writer.has_sheet and not files:
            await message.edit(view=view)
        else:
            await message.edit(view=view, attachments=files)

    async def _sheet(self, training_id: int) -> Sequence[discord.File]:
        return await asyncio.to_thread(_file, self._sheet_of(training_id))

    def _place(self, training: Training) -> discord.PartialMessageable:
        assert training.channel_id is not None
        return self._client.get_partial_messageable(training.channel_id, guild_id=training.guild_id)

    async def close(self) -> None:
        """No edit is under way any more."""
        tasks = [writer.task for writer in self._writers.values() if writer.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _file(path: Path) -> Sequence[discord.File]:
    """A message without one where there is none."""
    return [discord.File(path, training_view.SHEET)] if path.is_file() else []
