"""One message for several jobs, edit by edit: whatever is lost, late or gone, no picture of another job goes with it."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from bot.chat.delivery.pauses import Pauses
from bot.chat.delivery.writer import DiscordDelivery
from bot.core.ports import Progress, Undeliverable
from bot.job import Job, JobState, Reason
from engine.contract import SpooledImage, Stepped
from tests.kit.studio import Studio, open_studio
from tests.kit.toybot import Evening

QUICK = Pauses(retry_max_s=0.01, settle_s=0.05, progress_within_s=0.2)


@dataclass(slots=True)
class Pair:
    """Two jobs of one interaction, whose rows a test writes."""

    studio: Studio
    rows: list[Job]
    delivery: DiscordDelivery = field(init=False)

    def __post_init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        async def parts_of(_job: Job) -> list[Job]:
            await asyncio.sleep(0)
            return [*self.rows]

        self.delivery = DiscordDelivery(
            self.studio.delivery._client,
            clock=self.studio.clock,
            interval_s=0.01,
            on_token_refused=lambda: None,
            pauses=QUICK,
            parts_of=parts_of,
        )

    def becomes(self, which: int, state: JobState, *, file: Path | None = None) -> Job:
        images = (SpooledImage(seed=which, path=str(file or self.studio.image)),)
        drawn = state in (JobState.RENDERED, JobState.DELIVERED)
        self.rows[which] = replace(
            self.rows[which],
            state=state,
            images=images if drawn else (),
            reason=Reason.told("No.") if state is JobState.FAILED else None,
        )
        return self.rows[which]

    async def ends(self, which: int) -> None:
        await self.delivery.finish(self.becomes(which, JobState.RENDERED))
        self.becomes(which, JobState.DELIVERED)

    def step(self, which: int) -> None:
        step = Stepped(job_id=which, attempt=1, stage="denoising", step=5, steps=99)
        self.delivery.show(self.rows[which], Progress(step=step))

    def stands(self) -> list[str]:
        self.studio.stands()
        return self.studio.message.shown_files


@pytest.fixture
async def pair(evening: Evening, tmp_path: Path) -> AsyncIterator[Pair]:
    studio = await open_studio(evening, tmp_path)
    rows = [replace(studio.job, id=number, part=number, parts=2) for number in range(2)]
    pair = Pair(studio, rows)
    yield pair
    await pair.delivery.close()


async def test_a_late_edit_of_progress_wipes_no_picture(pair: Pair) -> None:
    """One of unknown outcome, applied after the end of another job, is written over."""
    held = pair.studio.discord.hold_next("PATCH", "/webhooks/")
    pair.step(1)
    await pair.studio.discord.until(lambda: held.request is not None)
    await asyncio.sleep(QUICK.progress_within_s + 0.1)  # given up: nobody knows whether it will be applied
    ends = asyncio.create_task(pair.ends(0))
    await pair.studio.discord.until(lambda: pair.studio.message.attachments)
    held.release()
    await ends
    assert pair.stands() == ["easel-0-0.png"]
    await pair.ends(1)
    assert pair.stands() == ["easel-0-0.png", "easel-1-1.png"]


async def test_what_the_message_lost_is_brought_again(pair: Pair) -> None:
    """What it carried is kept by its number, and uploaded again only where that is gone."""
    await pair.ends(0)
    pair.step(1)
    await pair.studio.discord.until(lambda: "step 5 of 99" in pair.studio.message.text)
    assert pair.stands() == ["easel-0-0.png"]
    pair.studio.message.attachments = []
    pair.studio.message.components = copy.deepcopy(pair.studio.message.components[:0])
    await pair.ends(1)
    assert pair.stands() == ["easel-0-0.png", "easel-1-1.png"]
    sent = [request.filenames for request in pair.studio.discord.requests_to("PATCH", "/channels/")]
    assert sent == [["easel-0-0.png"], ["easel-1-1.png"], ["easel-0-0.png", "easel-1-1.png"]]


async def test_another_jobs_file_that_is_gone_fails_nobody_else(pair: Pair, tmp_path: Path) -> None:
    """It is left out of the message; for its own job it is the end."""
    gone = tmp_path / "gone.png"
    pair.becomes(1, JobState.RENDERED, file=gone)
    await pair.ends(0)
    assert pair.stands() == ["easel-0-0.png"]
    with pytest.raises(Undeliverable):
        await pair.delivery.finish(pair.rows[1])
    await pair.delivery.finish(pair.becomes(1, JobState.FAILED))
    assert pair.stands() == ["easel-0-0.png"]
    assert "✘ `a red circle` · No. Nothing was charged." in pair.studio.message.text
    assert "Delete" in {button.label for button in pair.studio.message.buttons}


async def test_the_next_process_repeats_what_was_shown(pair: Pair) -> None:
    """Killed between the pictures and the row: they are shown again beside the other's, each once."""
    await pair.ends(0)
    await pair.delivery.finish(pair.becomes(1, JobState.RENDERED))
    await pair.delivery.close()
    pair.restart()
    await pair.delivery.finish(pair.rows[1])
    assert pair.stands() == ["easel-0-0.png", "easel-1-1.png"]


async def test_automod_takes_the_prompts_and_no_picture(pair: Pair) -> None:
    """Words refused by now are told without any prompt; what was shown stays."""
    await pair.ends(0)
    guild = pair.studio.message.channel.guild
    assert guild is not None
    guild.blocked_words.add("circle")
    await pair.delivery.finish(pair.becomes(1, JobState.FAILED))
    assert "circle" not in pair.studio.message.text
    assert "No. Nothing was charged." in pair.studio.message.text
    assert pair.stands() == ["easel-0-0.png"]
