"""Rows of another version, with narrower bounds or unknown words in them: read, told and ended, never a stop."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from bot.core import housekeeping
from bot.core.asking.refused import Refused
from bot.core.happenings import StoreDamaged
from bot.job import Asker, Job, JobState
from bot.limits import Subject
from bot.store import Store
from bot.store.audit import Deed
from bot.store.database_errors import DatabaseError, Unusable
from engine.contract import FakeSettings, GenerationRequest, InvalidRequest, SpooledImage
from tests.kit.books import entry
from tests.kit.rig import ADA, QUICK, MakeRig, Rig, end_of, eventually
from workshop.rehearsal.props import GUILD, picture

HELD = FakeSettings(load_s=60.0)
UNDRAWABLE = {
    "a sampler that went": "'$.sampler', 'Gone++'",
    "a sampler without that many steps": "'$.sampler', 'LCM', '$.steps', 51",
    "too many steps": "'$.steps', 5000",
    "no steps": "'$.steps', 0",
    "too wide": "'$.width', 100000",
    "an odd side": "'$.height', 65",
    "too many images": "'$.images', 99",
    "too much guidance": "'$.guidance_scale', 99.5",
    "a seed beyond": "'$.seed', 4294967296",
    "an empty prompt": "'$.prompt', ''",
    "a long prompt": "'$.prompt', hex(zeroblob(5000))",
    "too many LoRAs": """'$.loras', json('[{"name":"a","weight":1},{"name":"b","weight":1},{"name":"c","weight":1},
                         {"name":"d","weight":1},{"name":"e","weight":1}]')""",
    "a heavy LoRA": """'$.loras', json('[{"name":"a","weight":99}]')""",
    "a mask without an image": f"'$.mask', '{'ab' * 32}'",
    "an unknown kind of digest": "'$.image', '../../etc/passwd', '$.strength', 0.5",
    "a huge enlargement": f"'$.upscale', 64, '$.image', '{'ab' * 32}', '$.strength', 1.0",
    "words for numbers": "'$.steps', 'many', '$.width', 'wide'",
    "nothing for everything": "'$.prompt', NULL, '$.sampler', NULL, '$.steps', NULL, '$.images', NULL, '$.loras', NULL",
}
READABLE = {
    "a key of a later version": "request = json_set(request, '$.hue', 7)",
    "a LoRA's key of a later version": """request = json_set(request, '$.loras',
        json('[{"name":"a","weight":1,"blocks":[1]}]'))""",
    "an image's key of a later version": "images = json_set(images, '$[0].colour', 'red')",
    "an image without its later facts": "images = json_remove(images, '$[0].flagged', '$[0].width')",
    "notes of another kind": """notes = '[1, {"text": "x"}, "a note"]'""",
    "notes that are no list": "notes = '{}'",
    "a wish of another kind": "wish = '[1]'",
    "a wish with keys of a later version": """wish = '{"hue": {"of": [7]}}'""",
    "a reason's code of a later version": """reason_code = 'dreamt', reason_values = '{"of": 7, "text": "x"}'""",
    "a reason's values of another kind": "reason_code = 'cancelled', reason_values = '[]'",
}


async def change(rig: Rig, change: str) -> None:
    await rig.store.database.write(f"UPDATE job SET {change}", {})


# ------------------------------------------------------------------ what can't be drawn any more


@pytest.mark.parametrize("what", UNDRAWABLE)
async def test_a_waiting_job_that_can_not_be_drawn_any_more_is_refunded(rig_of: MakeRig, what: str) -> None:
    """It stops no start: at its turn it fails with the sentence that its person would read today, and the next is drawn."""
    rig = await rig_of(fake=HELD, ready=False)
    jobs = [await rig.imagine(user=1), await rig.accepted(user=2)]
    rig.delivery.answers[jobs[1].interaction_id] = 4242
    await change(rig, f"request = json_set(request, {UNDRAWABLE[what]})")
    await rig.restart(fake=QUICK)
    good = await rig.imagine(user=3)
    for row in await rig.all_ended(jobs):
        assert (row.state, row.charged) == (JobState.FAILED, 0)
        assert str(end_of(row)).endswith(".")
    assert (await rig.ended(good)).state is JobState.DELIVERED
    await eventually(lambda: all(rig.delivery.ends_of(job) for job in jobs))
    assert rig.dispatcher.running() == rig.dispatcher.line() == []


@pytest.mark.parametrize("what", UNDRAWABLE)
async def test_a_finished_job_with_narrower_bounds_can_be_read(rig_of: MakeRig, what: str) -> None:
    """Start, history, estimates and a press find it; what it is made into anew is refused in one sentence."""
    rig = await rig_of()
    job = await rig.ended(await rig.imagine())
    await change(rig, f"request = json_set(request, {UNDRAWABLE[what]})")
    await rig.restart()
    page, total = await rig.store.history.page(guild_id=GUILD, user_id=1, offset=0, count=8)
    assert ([entry.id for entry in page], total) == ([job.id], 1)
    row = await rig.row(job)
    with pytest.raises(InvalidRequest, match=r"\.$"):
        dataclasses.replace(row.request)
    assert (await rig.ended(await rig.imagine(user=2))).state is JobState.DELIVERED


async def test_a_running_job_that_can_not_be_drawn_any_more_is_refunded(rig_of: MakeRig) -> None:
    """Killed with it aboard, and today's bounds are narrower: it is not handed to an engine again."""
    rig = await rig_of(fake=FakeSettings(step_s=0.05))
    job = await rig.until(await rig.imagine(images=4), JobState.RUNNING)
    await rig.stop()
    await _offline(rig, f"request = json_set(request, {UNDRAWABLE['a sampler that went']})")
    await rig.start()
    row = await rig.ended(job)
    assert (row.state, row.charged, row.attempt) == (JobState.FAILED, 0, 1)
    assert "no sampler “Gone++”" in str(end_of(row))


async def test_pictures_that_are_drawn_are_delivered_whatever_the_bounds(rig_of: MakeRig) -> None:
    """What lies in the spool is posted: nobody draws it anew."""
    rig = await rig_of()
    rig.delivery.gate.clear()
    job = await rig.until(await rig.imagine(), JobState.RENDERED)
    await rig.stop()
    await _offline(rig, f"request = json_set(request, {UNDRAWABLE['too many steps']})")
    rig.delivery.gate.set()
    await rig.start()
    assert (await rig.ended(job)).state is JobState.DELIVERED


async def _offline(rig: Rig, what: str) -> None:
    store = await Store.open(rig.file)
    await store.database.write(f"UPDATE job SET {what}", {})
    await store.close()


# ------------------------------------------------------------------ what another version wrote


@pytest.mark.parametrize("what", READABLE)
async def test_what_another_version_wrote_is_passed_over(rig_of: MakeRig, what: str) -> None:
    """Unknown keys and notes of another kind are left out, and the rest is there."""
    rig = await rig_of()
    rig.delivery.gate.clear()
    job = await rig.until(await rig.imagine(), JobState.RENDERED)
    await change(rig, READABLE[what])
    await rig.restart()
    row = await rig.ended(job)
    assert (row.state, row.attempt) == (JobState.DELIVERED, 1)
    assert row.request.prompt == job.request.prompt
    assert row.images[0].path == job.images[0].path
    assert set(row.notes) <= {"a note"}


async def test_a_verb_of_another_version_is_kept_as_it_is(rig_of: MakeRig) -> None:
    """A job that was asked for in a way that this version does not know can still be read, and drawn."""
    rig = await rig_of(fake=HELD, ready=False)
    job = await rig.imagine()
    await _ignoring_checks(rig, "action = 'dream'")
    await rig.restart(fake=QUICK)
    row = await rig.ended(job)
    assert (row.state, row.action) == (JobState.DELIVERED, "dream")


async def test_a_state_of_another_version_is_no_job_of_ours(rig_of: MakeRig) -> None:
    """It is neither drawn nor found, and stops nothing."""
    rig = await rig_of(fake=HELD, ready=False)
    job = await rig.imagine()
    await _ignoring_checks(rig, "state = 'dreaming'")
    await rig.restart(fake=QUICK)
    assert await rig.store.jobs.get(job.id) is None
    assert not await rig.dispatcher.cancel(job.id, by=ADA)
    assert (await rig.ended(await rig.imagine(user=2))).state is JobState.DELIVERED


async def _ignoring_checks(rig: Rig, what: str) -> None:
    await rig.store.database.write("PRAGMA ignore_check_constraints=ON", {})
    await change(rig, what)


async def test_limits_and_zones_of_another_version_leave_the_others_in_force(rig_of: MakeRig) -> None:
    """An unknown subject, field or time zone is passed over: people are still served, by what is known."""
    rig = await rig_of(credits_per_day=3)
    database = rig.store.database
    await database.write("PRAGMA ignore_check_constraints=ON", {})
    for subject, field, value in (
        ("clan", "pending", 0),
        ("everyone", "hues", 0),
        ("everyone", "max_images", 2),
    ):
        values = {"guild": GUILD, "subject": subject, "field": field, "value": value}
        await database.write("INSERT INTO limits VALUES (:guild, :subject, 0, :field, :value)", values)
        await database.write(
            """INSERT INTO audit (at, guild_id, by_user_id, deed, details)
               VALUES (1, :guild, 2, 'limits', json_object('subject', :subject, 'subject_id', 0, 'field', :field,
                                                           'old', NULL, 'new', :value))""",
            values,
        )
    await rig.store.settings.set_time_zone(GUILD, "Atlantis/Capital", entry(Deed.TIME_ZONE, GUILD))
    allowance = await rig.admission.allowance(Asker(user_id=1, guild_id=GUILD))
    assert (allowance.limits.max_images, allowance.limits.credits_per_day) == (2, 3)
    log = await rig.store.settings.limits_log(GUILD, count=9)
    assert {entry.subject for entry in log} == {Subject.EVERYONE}
    assert isinstance(await rig.admit(), Job)
    assert isinstance(await rig.admit(images=3), Refused)


# ------------------------------------------------------------------ stored requests


def test_every_field_of_a_request_can_be_stored() -> None:
    """What was written down is read back whole, and every field has a value where nothing was."""
    whole = picture(image="ab" * 32, mask="cd" * 32, strength=0.5, negative_prompt="blue", images=3)
    assert GenerationRequest.stored(whole.to_dict()) == whole
    for nothing in ({}, [], None, 5, "x"):
        empty = GenerationRequest.stored(nothing)
        assert all(hasattr(empty, field.name) for field in dataclasses.fields(GenerationRequest))
        assert empty.evaluations >= 0
        with pytest.raises(InvalidRequest):
            empty.check()


def test_an_image_of_a_later_version_is_read() -> None:
    """Unknown keys are left out; without a file it counts as withheld."""
    whole = SpooledImage(seed=1, path="/x.png", sha256="00", size_bytes=5, width=64, height=64)
    assert SpooledImage.stored({**dataclasses.asdict(whole), "colour": "red"}) == whole
    assert SpooledImage.stored("nonsense").path is None


# ------------------------------------------------------------------ damage


async def test_damage_blocks_nobody_and_is_told_once(
    rig_of: MakeRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What meets a damaged page is given up, not repeated for ever: the operator is told once, the others go on."""
    rig = await rig_of(fake=FakeSettings(slots=1))
    real, tries = rig.store.jobs.rendered, []

    async def rendered(job: Job, **values: Any) -> Job | None:
        if job.user_id < 3:
            tries.append(job.id)
            raise Unusable("the database is damaged (malformed): stop Easel and run `easel restore`")
        return await real(job, **values)

    monkeypatch.setattr(rig.store.jobs, "rendered", rendered)
    hit = [await rig.imagine(user=1), await rig.imagine(user=2)]
    good = await rig.imagine(user=3)
    assert (await rig.ended(good)).state is JobState.DELIVERED
    await eventually(lambda: not rig.dispatcher.errands)
    assert tries == [job.id for job in hit]
    assert len(rig.delivery.told) == 1
    assert [type(one) for one in rig.happened].count(StoreDamaged) == 1
    assert "easel restore" in rig.delivery.told[0]
    assert [(await rig.row(job)).state for job in hit] == [JobState.RUNNING] * 2
    monkeypatch.undo()
    await rig.restart()
    assert {row.state for row in await rig.all_ended(hit)} == {JobState.DELIVERED}


@pytest.mark.parametrize("where", ["running", "failed", "delivered", "queued"])
async def test_damage_anywhere_in_a_jobs_life_lets_the_next_one_live(
    rig_of: MakeRig, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """Whichever of its writes meets it, the operator hears of it, and somebody else's picture comes."""
    rig = await rig_of(fake=FakeSettings(slots=1))
    real = getattr(rig.store.jobs, where)

    async def damaged(job: Job, **values: Any) -> Job | None:
        if job.user_id == 1:
            raise Unusable("the database is damaged (malformed): stop Easel and run `easel restore`")
        return await real(job, **values)

    monkeypatch.setattr(rig.store.jobs, where, damaged)
    job = await rig.accepted("FAIL" if where == "failed" else "a red circle", user=1)
    try:
        await rig.dispatcher.answered(job, 555)
    except DatabaseError as error:  # its person reads that the database needs repair
        await rig.dispatcher.errands.warn_of_damage(str(error))
    assert (await rig.ended(await rig.imagine(user=2))).state is JobState.DELIVERED
    await eventually(lambda: rig.delivery.told)
    assert len(rig.delivery.told) == 1


async def test_a_chore_that_meets_damage_tells_the_operator(
    rig_of: MakeRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The audit, like every chore, says so instead of only logging it."""
    rig = await rig_of(fake=HELD, ready=False)

    async def damaged() -> None:
        raise Unusable("the database is damaged (malformed): stop Easel and run `easel restore`")

    await housekeeping._try(
        housekeeping.Chore(every=1, do=damaged, failure="audit_failed"), rig.delivery.tell_operator
    )
    assert ["easel restore" in text for text in rig.delivery.told] == [True]
