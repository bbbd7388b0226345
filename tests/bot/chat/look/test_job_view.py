"""What a job's message looks like: pure, so any job can be tried."""

from __future__ import annotations

import dataclasses
from typing import Any

import discord
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.chat.look import job_view, safe
from bot.chat.look.picture_info import INLINE_MAX, describe
from bot.core.held_up import EngineLoads, EngineStarts
from bot.core.ports import Progress
from bot.job import Action, Job, JobState, Reason
from bot.texts.language import ENGLISH
from engine.contract import GenerationRequest, SpooledImage, Stage, Stepped

PROMPTS = st.text(min_size=1, max_size=400).map(lambda text: "x" + text) | st.sampled_from(
    ["😀" * 2000, "`" * 4000, "@everyone " * 400, "\u202e" + "a" * 3999, "a\n" * 2000]
)


def job(prompt: str = "a red circle", state: JobState = JobState.DELIVERED, **changes: Any) -> Job:
    request = GenerationRequest(
        prompt=prompt,
        width=512,
        height=768,
        steps=30,
        guidance_scale=7.5,
        sampler="Euler a",
        seed=42,
        model="some/model_v1",
    )
    values: dict[str, Any] = {
        "id": 7,
        "state": state,
        "attempt": 1,
        "faults": 0,
        "request": request,
        "action": Action.IMAGINE,
        "parent_id": None,
        "user_id": 10**18,
        "guild_id": 2,
        "channel_id": 3,
        "message_id": 4,
        "interaction_id": 5,
        "application_id": 6,
        "token": "t",
        "cost": 2,
        "charged": 2,
        "created_at": 1.0,
        "render_seconds": 3.21,
        "images": (SpooledImage(seed=42, path="x.png"),),
    }
    return Job(**{**values, **changes})


def texts(view: Any) -> str:
    return "\n".join(item.content for item in view.walk_children() if hasattr(item, "content"))


def labels(view: Any) -> list[str]:
    """What its buttons say."""
    container = view.to_components()[0]
    rows = [part for part in container["components"] if "components" in part]
    return [button["label"] for row in rows for button in row["components"]]


def pictures(view: Any) -> list[tuple[str, str]]:
    """(address, alt text) of every picture shown."""
    galleries = [item for item in view.walk_children() if isinstance(item, discord.ui.MediaGallery)]
    return [(item.media.url, item.description or "") for gallery in galleries for item in gallery.items]


async def test_a_delivered_job_tells_everything_needed_to_draw_it_again() -> None:
    """Seed, size, steps, guidance, sampler, model and seconds stand under the picture, markdown defused."""
    shown = texts(job_view.final_view(job(), ["a.png"]))

    assert "seed `42` · 512×768 · 30 steps · guidance 7.5 · Euler a · some/model\\_v1 · 3.2 s" in shown


@pytest.mark.parametrize(
    ("start", "words"),
    [
        ({"image": "a" * 64, "strength": 0.75}, "Euler a · from an image at 0.75 · some"),
        ({"image": "a" * 64, "mask": "b" * 64, "strength": 1.0}, "within a mask of an image at 1 · some"),
    ],
)
async def test_a_picture_from_a_picture_says_so(start: dict[str, Any], words: str) -> None:
    """Under the picture and in ℹ️ Info, which asks to attach again what a command can't carry."""
    made = job()
    made = dataclasses.replace(made, request=dataclasses.replace(made.request, **start))
    text, command = describe(made, ENGLISH)

    assert words in texts(job_view.final_view(made, ["a.png"]))
    assert words in text
    assert f"Attach the same {'image and mask' if 'mask' in start else 'image'} to the command." in text
    assert command.endswith(f"strength:{start['strength']:g}")
    assert "a" * 64 not in text + command


@pytest.mark.parametrize(
    ("changes", "line", "command"),
    [
        ({"references": ("a" * 64,)}, "Euler a · edited from 1 image · some", "Attach the same image to the"),
        (
            {"references": ("a" * 64, "b" * 64)},
            "edited from 2 images · some",
            "Attach the same 2 images to the",
        ),
        ({"tile": True}, "Euler a · tiled · some", "seed `42`"),
    ],
)
async def test_edits_and_tiles_say_so(changes: dict[str, Any], line: str, command: str) -> None:
    """Under the picture and in ℹ️ Info."""
    made = job()
    made = dataclasses.replace(made, request=dataclasses.replace(made.request, **changes))
    text, _ = describe(made, ENGLISH)

    assert line in texts(job_view.final_view(made, ["a.png"]))
    assert line in text
    assert command in text


UPSCALED: list[tuple[dict[str, Any], str, list[str], str]] = [
    (
        {"sampler": "Model's own", "steps": 1, "strength": 1.0},
        "-# 512×768 · upscaled 2× · some/model",
        ["Favourite", "Send to me", "Info", "Delete"],
        "model:some/model_v1 upscale:2",
    ),
    (
        {"strength": 0.2},
        "Euler a · upscaled 2× at 0.2 · some/model",
        ["Reroll", "Favourite", "Send to me", "Info", "Delete"],
        "sampler:Euler a model:some/model_v1 strength:0.2 upscale:2",
    ),
]


@pytest.mark.parametrize(("how", "line", "buttons", "command"), UPSCALED)
async def test_an_enlarged_picture_says_so(
    how: dict[str, Any], line: str, buttons: list[str], command: str
) -> None:
    """What an upscaler made is the same for every seed: no seed is shown, and no Reroll that would change nothing."""
    made = job()
    made = dataclasses.replace(
        made, request=dataclasses.replace(made.request, image="a" * 64, upscale=2, **how)
    )
    view = job_view.final_view(made, ["a.png"])

    assert line in texts(view)
    assert labels(view) == buttons
    assert describe(made, ENGLISH)[1].endswith(command)
    assert "size:" not in describe(made, ENGLISH)[1]
    failed = job_view.final_view(
        dataclasses.replace(made, state=JobState.FAILED, reason=Reason.told("x"), charged=0), []
    )
    assert "Reroll" in labels(failed)


@given(prompt=PROMPTS, notes=st.lists(st.text(max_size=600), max_size=3))
async def test_no_message_exceeds_discords_limits(prompt: str, notes: list[str]) -> None:
    """Texts stay under 4,000 UTF-16 units in sum and alt texts under 1,024, whatever was asked."""
    asked = job(prompt, notes=tuple(notes))
    for view in (
        job_view.final_view(asked, ["a.png"]),
        job_view.final_view(
            dataclasses.replace(asked, state=JobState.FAILED, reason=Reason.told("x"), charged=0), []
        ),
        job_view.live_view(asked, Progress(place=3, eta_s=10.0, held_up=EngineStarts())),
        job_view.live_view(dataclasses.replace(asked, state=JobState.RUNNING), Progress(preview=b"x")),
    ):
        assert safe.utf16_length(texts(view)) < 4000
        assert all(safe.utf16_length(alt) <= 1024 for _, alt in pictures(view))
    assert safe.utf16_length(job_view.alt_text(asked.request)) <= 1024


@given(prompt=PROMPTS)
async def test_a_prompt_never_leaves_its_code_marks(prompt: str) -> None:
    """Between the marks there is no back tick, no line break and no bidi control."""
    shown = safe.code(prompt, 1000)

    assert shown[0] == shown[-1] == "`"
    assert not set(shown[1:-1]) & set("`\n\r\u202e\u2066")


@pytest.mark.parametrize(
    ("progress", "expected"),
    [
        (Progress(), "⏳ In line"),
        (Progress(place=1), "⏳ Next in line"),
        (Progress(place=2, eta_s=61.0), "⏳ 2nd in line · done in about 1 min"),
        (
            Progress(place=11, held_up=EngineLoads(stage="unet")),
            "⏳ 11th in line\nThe image engine is loading: unet.",
        ),
    ],
)
async def test_a_waiting_job_tells_place_time_and_what_holds_it_up(progress: Progress, expected: str) -> None:
    """The line under the prompt names the place, the time once known, and the reason for waiting."""
    assert expected in texts(job_view.live_view(job(state=JobState.QUEUED), progress))


async def test_a_running_job_tells_step_seconds_and_time_left() -> None:
    """A bar, the step, the seconds so far and about how many are left."""
    step = Stepped(job_id=7, attempt=1, stage="denoising", step=15, steps=30)
    shown = texts(
        job_view.live_view(job(state=JobState.RUNNING), Progress(step=step, elapsed_s=4.2, eta_s=4.0))
    )

    assert "`████████░░░░░░░░` step 15 of 30 · 4.2 s · about 4 s left" in shown


@pytest.mark.parametrize(
    ("stage", "expected"),
    [
        ("waiting", "`████░░░░░░░░░░░░` waiting for its turn in the engine · 4.2 s · about 9 s left"),
        ("encoding", "`████░░░░░░░░░░░░` reading the prompt · 4.2 s · about 9 s left"),
        ("denoising", "`████░░░░░░░░░░░░` step 5 of 20 · 4.2 s · about 9 s left"),
        ("decoding", "`████░░░░░░░░░░░░` decoding · 4.2 s · about 9 s left"),
    ],
)
async def test_every_stage_has_its_words(stage: Stage, expected: str) -> None:
    """What the engine does with a running job is told beside the bar, with the seconds so far and those left."""
    step = Stepped(job_id=7, attempt=1, stage=stage, step=5, steps=20)
    view = job_view.live_view(job(state=JobState.RUNNING), Progress(step=step, elapsed_s=4.2, eta_s=9.0))

    assert expected in texts(view)


async def test_a_running_job_shows_its_newest_preview() -> None:
    """A preview is an attachment of its own name, with a description for those who can't see it."""
    running = job("a red circle", state=JobState.RUNNING)

    assert pictures(job_view.live_view(running, Progress())) == []
    assert pictures(job_view.live_view(running, Progress(preview=b"x"))) == [
        ("attachment://preview.jpg", "Unfinished: a red circle")
    ]


@pytest.mark.parametrize("state", [JobState.DELIVERED, JobState.FAILED, JobState.CANCELLED])
async def test_no_end_shows_a_preview(state: JobState) -> None:
    """Whatever became of the job, its last message knows finished pictures alone."""
    ended = job(state=state, reason=Reason.told("Because."))

    assert "attachment://preview.jpg" not in dict(pictures(job_view.final_view(ended, ["a.png"])))
    assert pictures(job_view.final_view(ended, [])) == []


async def test_a_long_command_is_not_cut() -> None:
    """The command to copy holds the whole prompt; only the text for people is shortened."""
    text, command = describe(job("word " * 700, notes=("n" * 900,)), ENGLISH)

    assert len(command) > INLINE_MAX
    assert command.count("word") == 700
    assert len(text) < 1000


@given(text=st.text(max_size=300), limit=st.integers(1, 50))
def test_cutting_counts_as_discord_counts(text: str, limit: int) -> None:
    """A cut text is within the limit in UTF-16 units, a prefix, and marked where something is missing."""
    short = safe.cut(text, limit)

    assert safe.utf16_length(short) <= limit
    assert short == text or (short.endswith("…") and text.startswith(short[:-1]))
