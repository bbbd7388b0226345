"""What members and admins read: that they are blocked, how the line stands, what the limits became, why a picture waits."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest

from bot.chat.look import job_view, picture_info, safe
from bot.core.asking.admission import Allowance
from bot.core.asking.policy import Window, explain
from bot.core.asking.refused import Blocked
from bot.core.engines.status import EngineStatus, Phase
from bot.core.held_up import held_up_by
from bot.core.ports import Progress
from bot.job import JobState, Refusal
from bot.limits import Limits, Subject, Usage
from bot.store.server_settings import LimitChange
from bot.texts import allowances
from bot.texts.amounts import area
from bot.texts.language import ENGLISH
from engine.contract import FakeSettings, Stepped
from tests.bot.chat.conftest import StartWorld
from tests.kit import said
from tests.kit.world import World

BLOCKED = said.refusal(Blocked())
LIMITS = Limits(
    credits_per_day=100, credits_per_night=100, pending=3, max_pixels=1024 * 1024, max_steps=60, max_images=4
)
WINDOW = Window(start=0, end=86_400)


# ------------------------------------------------------------------ blocked


@pytest.mark.parametrize("how", [{"credits": 0}, {"pending": 0}, {"credits": 0, "pending": 0}])
async def test_a_blocked_member_reads_that_they_are_blocked(
    how: dict[str, int], start_world: StartWorld
) -> None:
    """Whatever they ask for, by command or button, and by which limit of 0: never what to change about it."""
    world = await start_world()
    await world.imagined(images=2)
    await world.admin.slash(world.channel, "limits set", member=world.alice, **how)
    refused: list[dict[str, Any]] = [{}, {"images": 4}, {"steps": 61}, {"size": "2048x2048"}, {"images": 5}]
    for options in refused:
        assert (await world.imagine(**options)).text == BLOCKED
    pressed = await world.alice.click(world.message(1), "Reroll")
    assert pressed.text == BLOCKED
    told = (await world.alice.slash(world.channel, "quota")).text
    assert BLOCKED in told
    assert "of 0" not in told
    assert "renews" not in told
    line = (await world.alice.slash(world.channel, "queue")).text
    assert "start at once" not in line
    assert BLOCKED in line


async def test_a_blocked_role_and_everybody_read_it_too(world: World) -> None:
    """Not only a member's own limit blocks."""
    await world.admin.slash(world.channel, "limits set", credits=0)
    assert (await world.imagine()).text == BLOCKED


@pytest.mark.parametrize("refusal", [Refusal.PENDING, Refusal.CREDITS])
@pytest.mark.parametrize("blocked", [{"credits_per_day": 0}, {"pending": 0}])
def test_blocked_in_the_moment_of_admission(refusal: Refusal, blocked: dict[str, int]) -> None:
    """Also where the statement refuses, not what was foreseen."""
    told = explain(
        refusal,
        cost=1,
        limits=replace(LIMITS, **blocked),
        usage=Usage(used=14, pending=1),
        window=WINDOW,
        now=0.0,
    )
    assert told == Blocked()


def test_a_limit_that_was_lowered_is_no_riddle() -> None:
    """Nobody reads that they used 14 of 10, or have 5 of 3 waiting."""
    limits = replace(LIMITS, credits_per_day=10)
    allowance = Allowance(limits=limits, usage=Usage(used=14, pending=5), window=WINDOW)
    told = "\n".join(allowances.quota(allowance, ENGLISH))
    assert "of 10" not in told
    assert "of at most 3" not in told
    assert "Used today: **14**; the limit is 10 by now, so nothing is left; renews" in told
    refused = explain(Refusal.PENDING, cost=1, limits=limits, usage=allowance.usage, window=WINDOW, now=0.0)
    assert said.refusal(refused).startswith("You have 5 requests waiting, and may have 3: ")


# ------------------------------------------------------------------ the line


@pytest.mark.parametrize("phase", [phase for phase in Phase if phase is not Phase.READY])
async def test_the_line_never_promises_what_the_engine_cannot_keep(
    phase: Phase, start_world: StartWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While it starts, loads, is broken or paused nothing starts at once, nothing is being drawn, and nobody's place is called theirs."""
    world = await start_world()
    await world.until(lambda: world.engine.status.is_ready)  # its word comes no later than ours
    status = EngineStatus(phase=phase, reason="It is broken.", stage="unet")
    monkeypatch.setattr(world.engine, "status", status)
    told = (await world.alice.slash(world.channel, "queue")).text
    assert "start at once" not in told
    assert "our place" not in told
    assert said.hint(held_up_by(status), is_own=False) in told
    assert told.endswith("Nobody is waiting.")


async def test_the_line_tells_that_easel_is_being_restarted(world: World) -> None:
    """Also while it drains."""
    world.client.services.admission._doors.is_closing = True
    told = (await world.alice.slash(world.channel, "queue")).text
    assert told == "Easel is being restarted; places in line are kept.\nNobody is waiting."


async def test_a_full_disk_starts_nothing_at_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Why a request would be refused is said instead of a promise."""
    monkeypatch.setattr("bot.core.asking.admission.free_mb", lambda _: 0)
    told = (await world.alice.slash(world.channel, "queue")).text
    assert "almost full" in told
    assert "start at once" not in told


async def test_a_long_line_is_counted_once(start_world: StartWorld) -> None:
    """However many are left out, for their number or for their length, they are told as one sum."""
    world = await start_world(fake=FakeSettings(load_s=60), limits={"pending": 50, "credits_per_day": 1000})
    for _ in range(18):
        await world.imagine()
    told = (await world.admin.slash(world.channel, "queue")).text
    assert len(re.findall(r"^\d+\. .* 128×128", told, re.MULTILINE)) == 15
    assert re.findall(r"… and (\d+) more", told) == ["3"]
    lines = [f"{number} {'x' * 300}" for number in range(10)]
    assert safe.fitting(lines, ENGLISH, more=7).endswith("… and 11 more")


# ------------------------------------------------------------------ limits in words


@pytest.mark.parametrize(
    ("subject", "field", "old", "new", "words"),
    [
        (Subject.EVERYONE, "credits_per_day", 100, 20, "Everyone now has 20 credits a day (100 before)"),
        (Subject.EVERYONE, "credits_per_day", None, 20, "Everyone now has 20 credits a day (100 before)"),
        (Subject.EVERYONE, "credits_per_day", 20, None, "Everyone has 100 credits a day again (20 before)"),
        (Subject.EVERYONE, "credits_per_day", 2, 1, "Everyone now has 1 credit a day (2 before)"),
        (Subject.EVERYONE, "credits_per_day", 1, 12_000, "Everyone now has 12,000 credits a day (1 before)"),
        (Subject.ROLE, "pending", 3, 1, "<@&7> now has 1 request at a time (3 before)"),
        (
            Subject.MEMBER,
            "pending",
            None,
            9,
            "<@7> now has 9 requests at a time (no limit of their own before)",
        ),
        (
            Subject.EVERYONE,
            "max_pixels",
            None,
            512 * 512,
            "Everyone now has images of up to 512×512 (1024×1024 before)",
        ),
        (
            Subject.MEMBER,
            "max_pixels",
            1024 * 768,
            None,
            "The own limit of <@7> on the size of images is gone (1024×768 before)",
        ),
        (Subject.ROLE, "max_steps", 30, 1, "<@&7> now has up to 1 step (30 before)"),
        (Subject.ROLE, "max_images", 1, 4, "<@&7> now has up to 4 images a request (1 before)"),
    ],
)
def test_a_change_is_said_as_people_say_it(
    subject: Subject, field: str, old: int | None, new: int | None, words: str
) -> None:
    """Who, what holds now, and what held before; sizes as sides."""
    change = LimitChange(
        at=0.0,
        by_user_id=5,
        subject=subject,
        subject_id=7,
        field=field,
        old_value=old,
        new_value=new,
    )
    assert allowances.change(change, LIMITS, ENGLISH) == words


async def test_limits_show_speaks_so_too(world: World) -> None:
    """The list and the log of changes hold no bare number of pixels."""
    await world.admin.slash(world.channel, "limits set", max_pixels=512 * 512, credits=20)
    told = (await world.admin.slash(world.channel, "limits show")).text
    assert f"by <@{world.admin.id}>: Everyone now has 20 credits a day (100 before)." in told
    assert "1024×1024 per image" in told
    assert "262144" not in told.replace(",", "")
    quota = (await world.alice.slash(world.channel, "quota")).text
    assert "up to 512×512, 60 steps" in quota


@pytest.mark.parametrize(
    ("pixels", "words"),
    [
        (1024 * 1024, "1024×1024"),
        (512 * 512, "512×512"),
        (1024 * 768, "1024×768"),
        (64 * 64, "64×64"),
        (1000 * 1000, "1000×1000"),
        (1_000_003, "1,000,003 pixels (about 1000×1000)"),
        (4096 * 4096, "4096×4096"),
    ],
)
def test_a_number_of_pixels_is_told_as_sides(pixels: int, words: str) -> None:
    """As people know sizes; where there are none, about which square it is."""
    assert area(pixels, ENGLISH) == words


# ------------------------------------------------------------------ jobs


def test_somebody_overtaken_reads_why() -> None:
    """The line says that a shorter request goes first, beside seconds that go on."""
    step = Stepped(job_id=1, attempt=1, stage="denoising", step=5, steps=20)
    shown = job_view.running_line(Progress(step=step, elapsed_s=12.5, is_overtaken=True), ENGLISH)
    assert "step 5 of 20 · 12.5 s" in shown
    assert "shorter request is drawn first" in shown
    assert "shorter" not in job_view.running_line(Progress(step=step, elapsed_s=12.5), ENGLISH)


async def test_no_number_of_ours_is_told(world: World) -> None:
    """ℹ️ says whose and when; nobody needs our own numbers."""
    await world.imagined()
    await world.alice.click(world.message(1), "Reroll")
    await world.reaches(2, JobState.DELIVERED)
    text = "".join(picture_info.describe(await world.job(2), ENGLISH))
    assert not re.search(r"\bjob\b", text, re.IGNORECASE)
    assert f"<@{world.alice.id}>" in text
