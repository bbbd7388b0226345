"""Makes the database of the newest schema, once, before it is released: `python -m tests.golden.fill FILE`.

Those before were made in the same way by the code of their time: of schemas 1 to 3 checkouts 271ea21, 9049b5a and 5bb6a5b.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from bot.core.asking.price import cost_of
from bot.core.moderation.flagged import released
from bot.job import Action, Asker, Job, NewJob, Origin, Reason, ReasonCode, Review
from bot.limits import LimitEntry, Night, PermitEntry, PermitKind, Subject
from bot.store import Store
from bot.store.audit import AuditEntry, Deed
from bot.store.blocks import Block
from bot.store.finished import Search
from bot.store.halts import Halt
from bot.store.preferences import GALLERY, Scope
from bot.store.reports import Report
from bot.store.rule_words import WordKind
from bot.training import Sharing, Training, TrainingPicture, TrainingState
from engine.contract import GenerationRequest, SpooledImage
from tests.kit.books import NOON, ROOMY, sure

GUILD, ADA, BEN = 810000000000000007, 820000000000000001, 820000000000000002
CLEO = 820000000000000003
"""Wants all of hers to be gone: by now nothing of it can be read."""


def request(**values: Any) -> GenerationRequest:
    usual: dict[str, Any] = {
        "prompt": "a red circle, “déjà vu” 🎈",
        "negative_prompt": "blur",
        "width": 512,
        "height": 768,
        "steps": 30,
        "guidance_scale": 7.5,
        "sampler": "Euler",
        "seed": 42,
        "model": "fake",
    }
    return GenerationRequest(**(usual | values))


class Book:
    """Jobs that are asked for a minute apart."""

    def __init__(self, store: Store) -> None:
        self.jobs = store.jobs
        self.count = 0

    @property
    def now(self) -> float:
        return NOON + 60 * self.count

    async def accepted(
        self,
        *,
        user: int = ADA,
        parent: int | None = None,
        image: int | None = None,
        part: int = 0,
        weight: int = 1,
        **values: Any,
    ) -> Job:
        self.count += 1
        wanted = request(**values)
        admission = NewJob(
            request=wanted,
            wish={"prompt": "a red circle, “déjà vu” 🎈 <lora:ink:0.5>", "aspect": "2:3", "seed": -1},
            asker=Asker(user_id=user, guild_id=GUILD),
            origin=Origin(
                interaction_id=850000000000000000 + self.count - bool(part),
                part=part,
                application_id=840000000000000009,
                token=f"token-{self.count}",
                channel_id=830000000000000005,
                locale="it",
            ),
            action=Action.REROLL if parent else Action.IMAGINE,
            parent_id=parent,
            parent_image=image,
            cost=cost_of(wanted),
            limits=replace(ROOMY, weight=weight),
            credits=ROOMY.credits_per_day,
            window_start=0.0,
            queue_max=1000,
        )
        job = await self.jobs.admit(admission, self.now)
        assert isinstance(job, Job)
        return job

    async def queued(self, **values: Any) -> Job:
        job = await self.accepted(**values)
        return sure(await self.jobs.queued(job, message_id=860000000000000000 + job.id, now=self.now + 1))

    async def running(self, **values: Any) -> Job:
        return sure(await self.jobs.running(await self.queued(**values), now=self.now + 2))

    async def rendered(self, *, notes: tuple[str, ...] = (), **values: Any) -> Job:
        job = await self.running(**values)
        images = tuple(
            SpooledImage(
                seed=job.request.seed_of(index), path=f"/data/spool/{job.id}-1-{index}.png", sha256="ab" * 32
            )
            for index in range(job.request.images)
        )
        return sure(await self.jobs.rendered(job, images=images, seconds=2.5, notes=notes, charged=job.cost))

    async def delivered(self, **values: Any) -> Job:
        job = await self.rendered(**values)
        assert job.message_id is not None
        return sure(await self.jobs.delivered(job, message_id=job.message_id, now=self.now + 5))


async def _flagged(book: Book) -> None:
    """One that moderators are asked about, and one that they have approved."""
    for approved in (False, True):
        job = await book.running(user=BEN)
        aside = f"/data/spool/{job.id}-1-0.png"
        image = SpooledImage(seed=42, path=None, aside=aside, unsafe=0.93, flagged=True, sha256="ab" * 32)
        rendered = sure(
            await book.jobs.rendered(
                job, images=(image,), seconds=2.5, notes=(), charged=job.cost, review=Review.WAITING
            )
        )
        await book.jobs.asked(rendered, message_id=880000000000000000 + job.id, channel_id=830000000000000008)
        if approved:
            images = released(rendered.images)
            held = sure(
                await book.jobs.reviewed(rendered, review=Review.APPROVED, images=images, charged=job.cost)
            )
            assert held.message_id is not None
            sure(await book.jobs.delivered(held, message_id=held.message_id, now=book.now + 5))


async def fill(file: Path) -> None:
    store = await Store.open(file)
    jobs, book = store.jobs, Book(store)
    first = await book.delivered(images=2, notes=("The prompt was cut after 77 tokens.",))
    again = await book.delivered(parent=first.id, image=1, seed=43)
    await jobs.mark_deleted(again.id, now=book.now + 6, by_user_id=1)
    await jobs.mark_removed(again.id, now=book.now + 8)
    await _ends(book)
    await book.accepted()
    await book.accepted(part=1)
    await book.queued(user=BEN, sampler="DDIM", weight=2)
    sure(await jobs.running(sure(await jobs.requeued(await book.running(), faults=1)), now=book.now + 3))
    await book.rendered(user=BEN)
    await _flagged(book)
    await jobs.mark_deleted((await book.delivered(user=BEN)).id, now=book.now + 6, by_user_id=1)
    await jobs.purge_tokens(before=NOON + 300)
    for entry in (
        LimitEntry.of(Subject.EVERYONE, 0, {"pending": 3}),
        LimitEntry.of(Subject.ROLE, 870000000000000001, {"credits_per_day": 50}),
        LimitEntry.of(Subject.MEMBER, BEN, {"credits_per_day": 0}),
    ):
        await store.settings.set_limits(GUILD, entry, by_user_id=ADA, now=NOON)
    zone = {"zone": "Europe/Rome"}
    told = AuditEntry(at=NOON, guild_id=GUILD, by_user_id=ADA, deed=Deed.TIME_ZONE, details=zone)
    await store.settings.set_time_zone(GUILD, zone["zone"], told)
    for subject, name in ((Subject.EVERYONE, "fake"), (Subject.MEMBER, "other")):
        permit = PermitEntry(
            kind=PermitKind.MODEL,
            subject=subject,
            subject_id=0 if subject is Subject.EVERYONE else BEN,
            name=name,
        )
        deed = AuditEntry(at=NOON, guild_id=GUILD, by_user_id=ADA, deed=Deed.PERMITS)
        await store.permits.add(GUILD, [permit], deed)
    hours = {"begins": 22, "ends": 6}
    told = AuditEntry(at=NOON, guild_id=GUILD, by_user_id=ADA, deed=Deed.NIGHT, details=hours)
    await store.settings.set_night(GUILD, Night(**hours), told)
    await store.settings.set_note("commands", "digest-of-commands")
    await _kept(store, first, again)
    await _trainings(store)
    hers = await book.delivered(user=CLEO, images=2)
    await store.erasures.ask(CLEO, now=book.now + 6)
    await store.erasures.empty([hers.id], now=book.now + 7)
    await store.close()
    with contextlib.closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.execute("UPDATE sqlite_sequence SET seq = 500 WHERE name = 'job'")  # as after a restore
        connection.execute("PRAGMA journal_mode=DELETE")
        connection.execute("VACUUM")


async def _kept(store: Store, first: Job, again: Job) -> None:
    """Stars by two people, a copy in a gallery and one whose outcome is unknown, what admins set, and a search."""
    stars, hall = store.favourites, 830000000000000009
    for job, image, user in ((first, None, BEN), (first, 1, ADA), (again, None, ADA)):
        await stars.toggle(job.id, image, user_id=user, now=NOON)
    claim = await stars.claim(first.id, None, channel_id=hall, user_id=BEN, now=NOON)
    assert claim is not None
    await stars.posted(claim, channel_id=hall, message_id=860000000000000001, now=NOON)
    await stars.claim(first.id, 1, channel_id=hall, user_id=ADA, now=NOON)
    await store.taste.put(Scope.SERVER, GUILD, {GALLERY: str(hall)})
    await store.rule_words.add(GUILD, WordKind.FORBIDDEN, ["nud*"], by_user_id=ADA, now=NOON, most=10)
    await store.halts.put(Halt(guild_id=GUILD, reason="maintenance", by_user_id=ADA, at=NOON))
    await store.blocks.put(
        Block(guild_id=GUILD, user_id=BEN, by_user_id=ADA, reason="asked thrice", at=NOON, until=NOON + 600)
    )
    report = Report(job_id=first.id, user_id=BEN, guild_id=GUILD, image=1, reason="“ugly” 🎈", at=NOON)
    await store.reports.add(report, most_a_day=1)
    search = Search(words='red "déjà vu"', model="fake", favourites=True)
    await store.history.remember(search, guild_id=GUILD, user_id=ADA, now=NOON)


async def _trainings(store: Store) -> None:
    """One that collects, one that is taught, one that is done and shared, one of which half was given back, one that is gone."""
    trainings = store.trainings

    async def begun(name: str, *, is_paid: bool = True) -> int:
        training = Training(
            id=0, guild_id=GUILD, user_id=ADA, name=name, trigger=f"{name} toy", model="fake", steps=100,
            state=TrainingState.COLLECTING, channel_id=840000000000000001, locale="de", created_at=NOON,
        )  # fmt: skip
        made = await trainings.new(training, most=99)
        assert isinstance(made, Training)
        for number in (1, 2):
            picture = TrainingPicture(
                training_id=made.id, number=0, digest=f"{number}" * 64, caption="“déjà vu” 🎈", size_bytes=9, width=64, height=64
            )  # fmt: skip
            assert isinstance(
                await trainings.add_picture(picture, user_id=ADA, most=9, most_bytes=999), TrainingPicture
            )
        if is_paid:
            paid = await trainings.start(made.id, cost=10, credits_most=9999, window_start=0, now=NOON)
            assert isinstance(paid, Training)
        return made.id

    await begun("collects", is_paid=False)
    for name in ("runs", "snail", "half", "gone"):
        number = await begun(name)
        taught = sure(await trainings.run(number, now=NOON + 1))
        await trainings.progress(number, 50)
        if name == "half":
            told = Reason.of(ReasonCode.CANCELLED, by=f"<@{ADA}>")
            await trainings.cancel(number, reason=told, now=NOON + 2)
        elif name != "runs":
            await trainings.finish(number, now=NOON + 2)
            deed = AuditEntry(
                at=NOON, guild_id=GUILD, by_user_id=ADA, deed=Deed.TRAINING_SHARED, details={"name": name}
            )
            await trainings.share(taught, Sharing.ROLE, 870000000000000001, deed)
        if name == "gone":
            await trainings.delete(number, now=NOON + 3)


async def _ends(book: Book) -> None:
    """One for each reason: shown, but for the last; one that was paid and fetched, and one whose message is to be found."""
    jobs = book.jobs
    values = {ReasonCode.TOLD: {"text": "The fake engine was asked to fail here."}}
    values |= {ReasonCode.CANCELLED: {"by": f"<@{BEN}>"}, ReasonCode.SET_ASIDE: {"model": "bad"}}
    for code in ReasonCode:
        reason, now = Reason.of(code, **values.get(code, {})), book.now + 66
        if code is ReasonCode.NOT_ANSWERED:
            await jobs.unanswered(await book.accepted(), reason=reason, now=now)
        elif code in (ReasonCode.CANCELLED, ReasonCode.WITHDRAWN):
            job = await book.running(images=4)
            await jobs.mark_shown(
                sure(await jobs.cancelled(job, reason=reason, charged=2, now=now)).id, now=now
            )
        else:
            await jobs.mark_shown(
                sure(await jobs.failed(await book.rendered(), reason=reason, now=now)).id, now=now
            )
    by_her = Reason.of(ReasonCode.CANCELLED, by=f"<@{ADA}>")
    await jobs.cancelled(await book.accepted(), reason=by_her, charged=0, now=book.now + 6)
    paid = await jobs.failed(
        await book.rendered(), reason=Reason.of(ReasonCode.THREAD_ARCHIVED), now=book.now + 6
    )
    assert await jobs.fetched(sure(paid), charged=1, window=(0, 2 * NOON), most=999)
    await jobs.failed(await book.queued(), reason=Reason.of(ReasonCode.DIED_TWICE), now=book.now + 6)


if __name__ == "__main__":
    asyncio.run(fill(Path(sys.argv[1])))
