"""A job whose message stands in a loopback Discord, and the bot's own delivery that writes it; no process, no store."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from PIL import Image

from bot.chat.delivery.pauses import Pauses
from bot.chat.delivery.writer import DiscordDelivery
from bot.core.ports import Progress
from bot.job import Action, Job, JobState, Reason
from engine.contract import GenerationRequest, SpooledImage, Stepped
from tests.kit.toybot import Evening
from workshop.rehearsal.loopback.driver import Interaction, LoopbackDiscord, Message, Request, User

SHORT = Pauses(retry_max_s=0.01, settle_s=0.05)


@dataclass(slots=True)
class StoppedClock:
    at: float = 0.0

    def now(self) -> float:
        return self.at


@dataclass(slots=True)
class Studio:
    """A job whose message stands in a loopback Discord, and who writes it."""

    discord: LoopbackDiscord
    message: Message
    job: Job
    clock: StoppedClock
    delivery: DiscordDelivery
    delivery_with: Callable[[Pauses], DiscordDelivery]
    image: Path
    alice: User
    refused_tokens: list[str] = field(default_factory=list[str])
    step: int = 0
    pauses: Pauses = SHORT

    def new_delivery(self) -> DiscordDelivery:
        """As that of another process."""
        return self.delivery_with(self.pauses)

    def pause(self, **other: float) -> None:
        """From now on another delivery writes, with other pauses."""
        self.pauses = replace(SHORT, **other)
        self.delivery = self.new_delivery()

    @property
    def rendered(self) -> Job:
        images = (SpooledImage(seed=42, path=str(self.image)),)
        return replace(self.job, state=JobState.RENDERED, images=images, render_seconds=1.0)

    @property
    def failed(self) -> Job:
        return replace(self.job, state=JobState.FAILED, reason=Reason.told("No."))

    @property
    def edits(self) -> list[Request]:
        return self.discord.requests_to("PATCH", "/webhooks/")

    async def show(self, preview: bytes | None) -> None:
        """Another step, with the preview that is the newest by now; returns when the message shows the step."""
        self.tell(preview)
        await self.discord.until(lambda: f"step {self.step} of 99" in self.message.text)

    def tell(self, preview: bytes | None) -> None:
        self.step += 1
        step = Stepped(job_id=7, attempt=1, stage="denoising", step=self.step, steps=99)
        self.delivery.show(self.job, Progress(step=step, preview=preview))

    def stands(self) -> list[bytes]:
        """What is attached; all of it is also shown."""
        assert self.message.shown_files == [item.filename for item in self.message.attachments]
        return [item.bytes for item in self.message.attachments]


async def open_studio(evening: Evening, folder: Path) -> Studio:
    answer = await evening.discord.slash(evening.alice, evening.channel, "paint", prompt="a red circle")
    assert answer.message is not None
    clock, refused, image = StoppedClock(), list[str](), folder / "easel.png"
    Image.effect_noise((64, 64), 50).save(image)

    def delivery_with(pauses: Pauses) -> DiscordDelivery:
        return DiscordDelivery(
            evening.bot,
            clock=clock,
            interval_s=0.01,
            on_token_refused=lambda: refused.append("refused"),
            pauses=pauses,
        )

    return Studio(
        discord=evening.discord,
        message=answer.message,
        job=running_job(evening, answer.interaction, answer.message.id),
        clock=clock,
        delivery=delivery_with(SHORT),
        delivery_with=delivery_with,
        image=image,
        alice=evening.alice,
        refused_tokens=refused,
    )


def running_job(evening: Evening, asked: Interaction, message_id: int) -> Job:
    request = GenerationRequest(
        prompt="a red circle",
        width=64,
        height=64,
        steps=99,
        guidance_scale=7.5,
        sampler="Euler a",
        seed=42,
        model="fake",
    )
    return Job(
        id=7,
        state=JobState.RUNNING,
        attempt=1,
        faults=0,
        request=request,
        action=Action.IMAGINE,
        parent_id=None,
        user_id=evening.alice.id,
        guild_id=evening.guild.id,
        channel_id=evening.channel.id,
        message_id=message_id,
        interaction_id=asked.id,
        application_id=evening.discord.state.app_id,
        token=asked.token,
        cost=1,
        charged=1,
        created_at=0.0,
    )
