"""What the store's tests share: requests, admissions and finished images by the dozen. Knows only nouns."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

from bot.core.asking.price import cost_of
from bot.job import Action, Asker, Job, NewJob, Origin
from bot.limits import Limits
from bot.store import Store
from bot.store.audit import AuditEntry, Deed
from engine.contract import GenerationRequest, SpooledImage

NOON = 1_700_000_000.0
"""Any moment would do."""
GUILD, ADMIN = 7, 99
ROOMY = Limits(
    credits_per_day=1000,
    credits_per_night=1000,
    pending=1000,
    max_pixels=2048 * 2048,
    max_steps=150,
    max_images=10,
)
_interactions = itertools.count(1)


def entry(deed: Deed, guild: int = GUILD) -> AuditEntry:
    """What its admin did."""
    return AuditEntry(at=NOON, guild_id=guild, by_user_id=ADMIN, deed=deed)


def request(**values: Any) -> GenerationRequest:
    """A picture that costs one credit."""
    usual: dict[str, Any] = {
        "prompt": "a red circle",
        "width": 512,
        "height": 512,
        "steps": 30,
        "guidance_scale": 7.5,
        "sampler": "Euler",
        "seed": 42,
        "model": "fake",
    }
    return GenerationRequest(**(usual | values))


def admission(
    *,
    user: int = 1,
    guild: int = GUILD,
    images: int = 1,
    parent: int | None = None,
    image: int | None = None,
    part: int = 0,
    action: Action | None = None,
    interaction: int | None = None,
    credits_per_day: int = 1000,
    pending: int = 1000,
    seconds_between: int = 0,
    queue_max: int = 1000,
    window_start: float = 0.0,
) -> NewJob:
    """One person's wish for `images` pictures of one credit each, with an interaction of its own."""
    wish = request(images=images)
    number = next(_interactions) if interaction is None else interaction
    return NewJob(
        request=wish,
        asker=Asker(user_id=user, guild_id=guild),
        origin=Origin(
            interaction_id=number, application_id=9, token=f"token-{number}", channel_id=5, part=part
        ),
        action=action or (Action.REROLL if parent is not None else Action.IMAGINE),
        parent_id=parent,
        parent_image=image,
        cost=cost_of(wish),
        limits=Limits(
            credits_per_day=credits_per_day,
            credits_per_night=credits_per_day,
            pending=pending,
            max_pixels=2**22,
            max_steps=150,
            max_images=10,
            seconds_between=seconds_between,
        ),
        credits=credits_per_day,
        window_start=window_start,
        queue_max=queue_max,
    )


def images_of(
    job: Job, *, shown: int | None = None, folder: Path = Path("/spool")
) -> tuple[SpooledImage, ...]:
    """Finished images of a job, of which the first `shown` may be posted."""
    count = job.request.images
    visible = count if shown is None else shown
    return tuple(
        SpooledImage(
            seed=job.request.seed_of(index),
            path=str(folder / f"{job.id}-{job.attempt}-{index}.png") if index < visible else None,
            sha256="00" * 32,
            flagged=index >= visible,
        )
        for index in range(count)
    )


async def admitted(store: Store, *, now: float = NOON, **values: Any) -> Job:
    """A job in the state `accepted`."""
    job = await store.jobs.admit(admission(**values), now)
    assert isinstance(job, Job), job
    return job


async def queued(store: Store, *, now: float = NOON, **values: Any) -> Job:
    job = await admitted(store, now=now, **values)
    return sure(await store.jobs.queued(job, message_id=1000 + job.id, now=now))


async def running(store: Store, *, now: float = NOON, **values: Any) -> Job:
    return sure(await store.jobs.running(await queued(store, now=now, **values), now=now))


async def rendered(store: Store, *, now: float = NOON, shown: int | None = None, **values: Any) -> Job:
    job = await running(store, now=now, **values)
    images = images_of(job, shown=shown)
    charged = job.cost * sum(image.path is not None for image in images) // len(images)
    return sure(await store.jobs.rendered(job, images=images, seconds=2.0, notes=("cut",), charged=charged))


async def delivered(store: Store, *, now: float = NOON, **values: Any) -> Job:
    job = await rendered(store, now=now, **values)
    return sure(await store.jobs.delivered(job, message_id=1000 + job.id, now=now))


def sure(job: Job | None) -> Job:
    """The job of a transition that must have happened."""
    assert job is not None
    return job
