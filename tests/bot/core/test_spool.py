"""Pictures that people gave: there as long as a job needs them or its images are kept, and then gone."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest

from bot.core.asking.refused import InputGone, Refused
from bot.core.spool import hold_inputs
from bot.job import Asker, Job, JobState
from engine.contract import FakeSettings
from engine.pictures import inputs
from tests.bot.core.test_housekeeping import DAY_S, HELD, OFTEN, kept, with_days
from tests.kit import said
from tests.kit.rig import MakeRig, Rig, eventually
from workshop.rehearsal.bot import png
from workshop.rehearsal.props import GUILD, picture


def given(rig: Rig, colour: str = "red", *, age_s: float = 0.0) -> Path:
    """A picture as it lies in the spool, by its digest."""
    path = rig.settings.inputs / inputs.keep(rig.settings.inputs, png(64, 64, colour))
    at = rig.clock.now() - age_s
    os.utime(path, (at, at))
    return path


WISHES: list[dict[str, Any]] = [{"images": 4}, {"steps": 61}]


async def ask(rig: Rig, values: dict[str, Any]) -> Job | Refused:
    return await rig.admit(**values)


# ------------------------------------------------------------------ the sweep


async def test_old_inputs_go_and_young_ones_stay(rig_of: MakeRig) -> None:
    """As images do, when their days are over and not before; what a dead bot left half-written goes after an hour."""
    rig = await rig_of(fake=HELD, ready=False)
    old, young = given(rig, "red", age_s=2 * DAY_S), given(rig, "blue", age_s=0.5 * DAY_S)
    half = rig.settings.inputs / f".{'a' * 64}.4242.part"
    half.write_bytes(b"x")
    os.utime(half, (rig.clock.now() - 3700, rig.clock.now() - 3700))
    async with kept(rig, with_days(rig, 1)):
        await eventually(lambda: not old.exists() and not half.exists())
    assert young.exists()


async def test_inputs_are_kept_for_ever_where_images_are(rig_of: MakeRig) -> None:
    """retention_days = 0."""
    rig = await rig_of(fake=HELD, ready=False)
    old = given(rig, age_s=900 * DAY_S)
    half = rig.settings.inputs / ".x.1.part"
    half.write_bytes(b"x")
    os.utime(half, (0, 0))
    async with kept(rig, with_days(rig, 0), rounds=OFTEN):
        await eventually(lambda: not half.exists())
    assert old.exists()


async def test_what_a_live_job_needs_stays_however_old(rig_of: MakeRig) -> None:
    """Image and mask of a job that waits outlive a clock that jumps by a year; when it has ended they go."""
    rig = await rig_of(fake=FakeSettings(step_s=0.01, load_s=1.0), ready=False)
    image, mask = given(rig, "red"), given(rig, "white")
    job = await rig.imagine(image=image.name, mask=mask.name, strength=0.5)
    rig.clock.offset += 365 * DAY_S
    stranger = given(rig, "blue", age_s=2 * DAY_S)
    async with kept(rig, with_days(rig, 1), rounds=OFTEN):
        await eventually(lambda: not stranger.exists())
        assert image.exists()
        assert mask.exists()
        assert (await rig.ended(job)).state is JobState.DELIVERED
        await eventually(lambda: not image.exists() and not mask.exists())


async def test_images_to_edit_are_kept_like_any_others(rig_of: MakeRig) -> None:
    """They outlive their age while a job needs them, an admitted edit makes them young, and a lost one is refused."""
    rig = await rig_of(fake=FakeSettings(step_s=0.01, load_s=1.0, editing=("editor",)), ready=False)
    first, second = given(rig, "red", age_s=29 * DAY_S), given(rig, "white", age_s=29 * DAY_S)
    edit: dict[str, Any] = {"model": "editor", "references": (first.name, second.name)}
    job = await rig.imagine(**edit)
    assert all(rig.clock.now() - path.stat().st_mtime < 60 for path in (first, second))
    rig.clock.offset += 365 * DAY_S
    async with kept(rig, with_days(rig, 1), rounds=OFTEN):
        assert (await rig.ended(job)).state is JobState.DELIVERED
        await eventually(lambda: not first.exists() and not second.exists())
    given(rig, "red")
    assert await rig.admit(**edit) == InputGone()


async def test_a_picture_given_again_while_the_sweep_looks_stays(
    rig_of: MakeRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found old, then held for a new request whose row is not there yet: it is young again, and not swept."""
    rig = await rig_of(fake=HELD, ready=False)
    path, other = given(rig, "red", age_s=2 * DAY_S), given(rig, "blue", age_s=2 * DAY_S)
    real = rig.store.jobs.live

    async def live() -> list:
        assert hold_inputs(rig.settings.inputs, picture(image=path.name, strength=0.5))
        return await real()

    monkeypatch.setattr(rig.store.jobs, "live", live)
    async with kept(rig, with_days(rig, 1)):
        await eventually(lambda: not other.exists())
    assert path.exists()


# ------------------------------------------------------------------ the way in


async def test_an_admitted_request_makes_its_inputs_young(rig_of: MakeRig) -> None:
    """A reroll on the last day: the picture stays as long as what is made of it now."""
    rig = await rig_of(fake=HELD, ready=False)
    path = given(rig, age_s=29 * DAY_S)
    await rig.accepted(image=path.name, strength=0.5)
    assert rig.clock.now() - path.stat().st_mtime < 60


@pytest.mark.parametrize("missing", ["image", "mask"])
async def test_a_request_whose_input_is_gone_is_refused(rig_of: MakeRig, missing: str) -> None:
    """One sentence, no row."""
    rig = await rig_of(fake=HELD, ready=False)
    files = {"image": given(rig, "red"), "mask": given(rig, "white")}
    files[missing].unlink()
    wish = {"image": files["image"].name, "mask": files["mask"].name, "strength": 0.5}
    assert await ask(rig, wish) == InputGone()
    assert await rig.used() == 0


async def test_what_would_be_refused_is_known_before(rig_of: MakeRig) -> None:
    """`why_not` answers as the admission would, stores nothing, and does not ask for files that are still to come."""
    rig = await rig_of(fake=HELD, ready=False, credits_per_day=3, pending=2)
    admission, asker = rig.admission, Asker(user_id=1, guild_id=GUILD)
    wish = picture(image="0" * 64, strength=0.5)
    assert await admission.why_not(wish, asker=asker) is None
    for beyond in WISHES:
        foreseen = await admission.why_not(picture("a red circle", **beyond), asker=asker)
        assert foreseen == await ask(rig, beyond)
        assert isinstance(foreseen, Refused)
    assert await rig.used() == 0

    await asyncio.gather(rig.accepted(), rig.accepted())
    full = await admission.why_not(wish, asker=asker)
    assert full == await rig.admit()
    assert full is not None
    assert "You have 2 of 2 requests waiting" in said.refusal(full)
    rig.doors.is_closing = True
    assert await admission.why_not(wish, asker=asker) == await rig.admit()
