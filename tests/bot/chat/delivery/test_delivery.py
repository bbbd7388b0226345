"""The end of a job in every weather that Discord has: shown once, somewhere, or refused with a sentence."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from structlog.testing import capture_logs

from bot.chat.delivery.breaker import REST_S
from bot.chat.errors import answer_error
from bot.chat.operator import SAME_TEXT_EVERY_S
from bot.core.news import ModelSetAside, NoRoom
from bot.core.ports import Undeliverable
from bot.job import Job
from tests.kit import said
from tests.kit.studio import Studio
from tests.kit.toybot import Evening
from workshop.rehearsal.loopback.driver import Kind, Message, Permission

EDIT, CREATE = ("PATCH", "/channels/"), ("POST", "/channels/")


@pytest.fixture(autouse=True)
def no_follow_up_is_ever_created(studio: Studio) -> Any:
    """A webhook's follow-up has no nonce: whatever happens, none is created."""
    yield
    assert studio.discord.requests_to("POST", "/webhooks/") == []


def showing(studio: Studio, job: Job | None = None) -> list[Message]:
    """Every message, wherever, that shows the finished image of the job."""
    name = f"easel-{(job or studio.job).id}-42"
    channels = [*studio.discord.state.channels.values()]
    everything = [message for channel in channels for message in studio.discord.messages(channel)]
    found = [message for message in everything if any(f.startswith(name) for f in message.shown_files)]
    assert all(len(message.attachments) == 1 for message in found)
    return found


# ------------------------------------------------------------------ the bot's own end


async def test_no_progress_outlives_the_connection(studio: Studio) -> None:
    """Once it is closed no edit is under way, none waits for its time, and none is begun: Discord's session ends then."""
    held = studio.discord.hold_next("PATCH", "/webhooks/")
    studio.tell(None)
    await studio.discord.until(lambda: held.entered)
    studio.tell(None)  # pending behind the first
    await studio.delivery.close()
    studio.tell(None)
    held.release()

    own = [task for task in asyncio.all_tasks() if "_edit_progress" in repr(task.get_coro())]
    assert own == []
    await asyncio.sleep(0.05)  # five times the interval at which edits begin
    assert len(studio.edits) == 1


async def test_who_pressed_in_the_bots_last_moment_is_no_bug(evening: Evening) -> None:
    """With Discord's session gone nobody can be told anything, and what that raises is neither raised on nor logged as ours."""
    await evening.discord.send_slash(evening.alice, evening.channel, "silent")
    await evening.discord.until(lambda: len(evening.bot.seen) > 1)
    interaction = evening.bot.seen[-1]
    await evening.bot.close()
    with capture_logs() as lines:
        try:
            await interaction.response.defer()
        except RuntimeError as error:
            await answer_error(interaction, error)

    assert [(line["event"], line["log_level"]) for line in lines] == [("answer_lost", "info")]


# ------------------------------------------------------------------ weather

WEATHER: dict[str, dict[str, Any]] = {
    "429 user": {"status": 429, "scope": "user"},
    "429 shared": {"status": 429, "scope": "shared"},
    "429 global": {"status": 429, "scope": "global"},
    "429 of Cloudflare": {"status": 429, "via": False, "times": 2},
    "429 of an old message edited often": {"status": 429, "via": False, "code": 30046, "times": 2},
    "500": {"status": 500},
    "502": {"status": 502},
    "503": {"status": 503, "times": 3},
    "504": {"status": 504},
    "reset": {"reset": True, "times": 3},
    "500 but applied": {"status": 500, "apply": True},
    "503 but applied": {"status": 503, "apply": True},
    "reset but applied": {"reset": True, "apply": True},
}


@pytest.mark.parametrize("weather", WEATHER.values(), ids=WEATHER)
async def test_the_last_edit_is_repeated(studio: Studio, weather: dict[str, Any]) -> None:
    """Whatever passes is waited for, and the same message shows the image, alone."""
    fault = studio.discord.fail_next(*EDIT, **weather)
    await studio.delivery.finish(studio.rendered)

    assert fault.hits == weather.get("times", 1)
    assert showing(studio) == [studio.message]


@pytest.mark.parametrize("weather", WEATHER.values(), ids=WEATHER)
async def test_a_new_message_is_created_once(studio: Studio, weather: dict[str, Any]) -> None:
    """Where the message was deleted another takes its place: one, however often creating it is tried."""
    studio.discord.delete_message(studio.message)
    fault = studio.discord.fail_next(*CREATE, **weather)
    message_id = await studio.delivery.finish(studio.rendered)

    (message,) = showing(studio)
    assert fault.hits == weather.get("times", 1)
    assert message.id == message_id
    assert message.nonce == f"easel-{studio.job.interaction_id}"
    assert message.allowed_mentions == {"parse": [], "users": [studio.alice.id]}


@pytest.mark.parametrize("ending", [EDIT, CREATE], ids=["edit", "create"])
@pytest.mark.parametrize("applied", [True, False])
async def test_no_reply_at_all(studio: Studio, ending: tuple[str, str], applied: bool) -> None:
    """A request that Discord never answers is given up and repeated; arriving late it changes nothing."""
    studio.pause(reply_within_s=1.0)
    if ending is CREATE:
        studio.discord.delete_message(studio.message)
    hold = studio.discord.hold_next(*ending, apply=applied)
    await studio.delivery.finish(studio.rendered)
    hold.release()
    await studio.discord.until(lambda: hold.request is not None and hold.request.status is not None)

    assert len(showing(studio)) == 1


async def test_an_outage_of_half_an_hour_is_survived(studio: Studio) -> None:
    """Tries come every minute at the latest: forty in vain are more than half an hour, and the next one counts."""
    outage = studio.discord.fail_next(*EDIT, status=503, times=40)
    await studio.delivery.finish(studio.rendered)

    assert outage.hits == 40
    assert showing(studio) == [studio.message]


async def test_an_outage_without_end_is_given_up(studio: Studio) -> None:
    """After a day (shortened here) the job ends with a sentence instead of being tried for ever."""
    studio.pause(give_up_after_s=0.2)
    studio.discord.fail_next(*EDIT, status=503, times=10_000)
    with pytest.raises(Undeliverable) as caught:
        await studio.delivery.finish(studio.rendered)
    assert said.why(caught.value.reason) == "Discord was out of order for too long."


async def test_a_token_that_expired_is_not_missed(studio: Studio) -> None:
    """After fifteen minutes the interaction's own webhook is dead; the end does not need it."""
    studio.discord.advance(901)
    studio.clock.at = 901
    studio.tell(None)
    await studio.delivery.finish(studio.rendered)

    assert studio.edits == []
    assert showing(studio) == [studio.message]


# ------------------------------------------------------------------ other places

SHUT: dict[str, dict[str, Any]] = {
    "10003 channel gone": {"status": 404, "code": 10003},
    "50001 missing access": {"status": 403, "code": 50001},
    "50013 missing permissions": {"status": 403, "code": 50013},
    "160005 locked thread": {"status": 400, "code": 160005},
}
SENTENCES = {
    10003: "The channel is gone.",
    160005: "The thread is locked.",
    50001: "I may not post in that channel any more.",
    50013: "I may not post in that channel any more.",
}


@pytest.mark.parametrize("refusal", SHUT.values(), ids=SHUT)
async def test_a_shut_channel_leads_to_a_direct_message(studio: Studio, refusal: dict[str, Any]) -> None:
    """The image goes to its person, with the reason; the row keeps its message."""
    studio.discord.fail_next(*EDIT, **refusal)
    message_id = await studio.delivery.finish(studio.rendered)

    (message,) = showing(studio)
    assert message.channel is studio.discord.dm(studio.alice)
    assert SENTENCES[refusal["code"]] in message.text
    assert "easel:1:vary_subtle:7:0" in [button.custom_id for button in message.buttons]
    assert message_id == studio.message.id


@pytest.mark.parametrize("refusal", SHUT.values(), ids=SHUT)
async def test_a_shut_channel_and_shut_direct_messages(studio: Studio, refusal: dict[str, Any]) -> None:
    """Nowhere: the sentence names the channel's reason, and nothing is tried a second time."""
    studio.alice.takes_dms = False
    studio.discord.fail_next(*EDIT, **refusal)
    with pytest.raises(Undeliverable) as nowhere:
        await studio.delivery.finish(studio.rendered)

    assert said.why(nowhere.value.reason) == SENTENCES[refusal["code"]]
    assert showing(studio) == []
    assert len(studio.discord.requests_to(*EDIT)) == 1


@pytest.mark.parametrize("refusal", SHUT.values(), ids=SHUT)
async def test_a_channel_that_takes_no_new_message(studio: Studio, refusal: dict[str, Any]) -> None:
    """The message was deleted and no other is allowed: the person gets the image."""
    studio.discord.delete_message(studio.message)
    studio.discord.fail_next("POST", f"/channels/{studio.job.channel_id}/", **refusal)
    await studio.delivery.finish(studio.rendered)

    assert [message.channel for message in showing(studio)] == [studio.discord.dm(studio.alice)]


def archive(studio: Studio, *, locked: bool = False) -> None:
    """The job's channel is an archived thread from now on."""
    thread = studio.message.channel
    assert thread.guild is not None
    thread.kind, thread.parent = Kind.PUBLIC_THREAD, studio.discord.add_channel(thread.guild)
    thread.archived, thread.locked = True, locked


async def test_an_archived_thread_is_opened_again(studio: Studio) -> None:
    """Nothing may be edited there (50083): the message is deleted, and a new one, which opens it, shows the image once."""
    archive(studio)
    new = await studio.delivery.finish(studio.rendered)

    assert studio.message.deleted
    assert not studio.message.channel.archived
    assert [message.id for message in showing(studio)] == [new]
    assert await studio.delivery.finish(studio.rendered) == new, "repeated, as after a restart"


async def test_an_archived_and_locked_thread_leads_to_a_direct_message(studio: Studio) -> None:
    """Only moderators may open it again: the person gets the image, and what stands in the thread stays."""
    archive(studio, locked=True)
    await studio.delivery.finish(studio.rendered)

    (message,) = showing(studio)
    assert message.channel is studio.discord.dm(studio.alice)
    assert "The thread is archived." in message.text
    assert not studio.message.deleted


async def test_without_attach_files_the_message_says_where_the_image_went(studio: Studio) -> None:
    """Words can still be edited: they tell those in the channel that the image went to its person."""
    allowed = studio.message.channel.app_permissions & ~Permission.ATTACH_FILES
    await studio.discord.set_app_permissions(studio.message.channel, allowed)
    await studio.delivery.finish(studio.rendered)

    assert [message.channel for message in showing(studio)] == [studio.discord.dm(studio.alice)]
    assert "they went to a direct message" in studio.message.text


async def test_words_alone_are_sent_to_nobody(studio: Studio) -> None:
    """A failure whose message is gone is no reason for a direct message or a new message."""
    studio.discord.delete_message(studio.message)
    with pytest.raises(Undeliverable) as caught:
        await studio.delivery.finish(studio.failed)

    assert said.why(caught.value.reason) == "The message is gone."
    assert studio.discord.requests_to("POST", "") == studio.discord.requests_to("POST", "/interactions/")


@pytest.mark.parametrize("weather", [{"reset": True}, {"status": 503}, {"status": 500}], ids=str)
async def test_a_direct_message_is_sent_once(studio: Studio, weather: dict[str, Any]) -> None:
    """A direct message whose reply was lost is not sent again."""
    await studio.discord.delete_channel(studio.message.channel)
    lost = studio.discord.fail_next("POST", "/messages", apply=True, **weather)
    await studio.delivery.finish(studio.rendered)

    assert lost.hits == 1
    assert len(showing(studio)) == 1


def forget_nonces(studio: Studio) -> None:
    """As Discord does after some minutes."""
    for message in showing(studio):
        message.nonce = None


async def lost(studio: Studio) -> None:
    """Creating a message was applied, but the process ended before it heard of it."""
    hold = studio.discord.hold_next("POST", "/messages", apply=True)
    end = asyncio.create_task(studio.delivery.finish(studio.rendered))
    await studio.discord.until(lambda: hold.entered and showing(studio))
    end.cancel()
    await asyncio.gather(end, return_exceptions=True)
    hold.release()
    studio.delivery = studio.new_delivery()


@pytest.mark.parametrize("directly", [False, True], ids=["channel", "direct message"])
async def test_after_a_long_outage_it_is_looked_for_first(
    studio: Studio, evening: Evening, directly: bool
) -> None:
    """The nonce protects no more, but what stands there is found behind newer messages, and nothing is created."""
    if directly:
        await studio.discord.delete_channel(studio.message.channel)
    else:
        studio.discord.delete_message(studio.message)
    await lost(studio)
    forget_nonces(studio)
    (there,) = showing(studio)
    for number in range(120):
        evening.bot.get_partial_messageable(there.channel.id)
        studio.discord.state.messages.fill(
            studio.discord.state.new_message(there.channel), {"content": str(number)}, {}, ephemeral_ok=False
        )
    creates = len(studio.discord.requests_to("POST", "/messages"))
    message_id = await studio.delivery.finish(studio.rendered)

    assert showing(studio) == [there]
    assert message_id == (studio.message.id if directly else there.id)
    assert len(studio.discord.requests_to("POST", "/messages")) == creates


async def test_without_read_message_history_the_nonce_protects(studio: Studio) -> None:
    """Where nothing may be looked up, Discord itself drops the repetition for some minutes."""
    allowed = studio.message.channel.app_permissions & ~Permission.READ_MESSAGE_HISTORY
    await studio.discord.set_app_permissions(studio.message.channel, allowed)
    studio.discord.delete_message(studio.message)
    await lost(studio)
    await studio.delivery.finish(studio.rendered)

    assert len(showing(studio)) == 1


# ------------------------------------------------------------------ the size ladder


async def test_files_shrink_until_discord_takes_them(studio: Studio) -> None:
    """The real limit is smaller than what the library knows (40005): PNG, WebP, then JPEG, until one fits."""
    studio.message.channel.guild.attachment_size_limit = 3000  # type: ignore[union-attr]
    await studio.delivery.finish(studio.rendered)

    (shown,) = studio.message.attachments
    assert shown.filename == "easel-7-42.jpg"
    assert len(shown.bytes) <= 3000 < studio.image.stat().st_size


@pytest.mark.parametrize(("status", "code"), [(413, 0), (413, 40005), (400, 50045)])
async def test_every_word_for_too_large(studio: Studio, status: int, code: int) -> None:
    """Discord and the proxies before it say it in three ways; each leads to a smaller file."""
    fault = studio.discord.fail_next(*EDIT, status=status, code=code, times=3)
    await studio.delivery.finish(studio.rendered)

    assert fault.hits == 3
    assert showing(studio) == [studio.message]


async def test_what_fits_in_no_form_is_a_sentence(studio: Studio) -> None:
    """A limit that no JPEG meets ends the tries, and no one else is asked."""
    studio.message.channel.guild.attachment_size_limit = 100  # type: ignore[union-attr]
    with pytest.raises(Undeliverable) as caught:
        await studio.delivery.finish(studio.rendered)

    assert "too large for Discord, even as a JPEG" in said.why(caught.value.reason)
    assert showing(studio) == []


# ------------------------------------------------------------------ the breaker


def another(studio: Studio, **changes: Any) -> Job:
    """A second job in the same channel, whose message is the first one's."""
    return replace(studio.rendered, id=8, interaction_id=studio.job.interaction_id + 1, **changes)


async def shut_once(studio: Studio, **refusal: Any) -> int:
    """One job's end finds the channel shut; how many requests the channel has seen by then."""
    studio.discord.fail_next(*EDIT, **refusal)
    studio.discord.fail_next(*EDIT, status=403)  # the word on where it went
    await studio.delivery.finish(studio.rendered)
    return len(in_channel(studio))


def in_channel(studio: Studio) -> list[Any]:
    return [
        r for r in studio.discord.requests if f"/{studio.job.channel_id}/" in r.path or "/webhooks/" in r.path
    ]


@pytest.mark.parametrize("refusal", SHUT.values(), ids=SHUT)
async def test_a_shut_channel_is_left_alone(studio: Studio, refusal: dict[str, Any]) -> None:
    """The jobs that were waiting for it show no progress there and go to their people at once."""
    seen = await shut_once(studio, **refusal)
    second = another(studio)
    studio.job = replace(studio.job, id=8)
    for _ in range(5):
        studio.tell(None)
    await asyncio.sleep(0.1)
    assert len(in_channel(studio)) == seen
    await studio.delivery.finish(second)

    posted = in_channel(studio)[seen:]
    assert [message.channel for message in showing(studio, second)] == [studio.discord.dm(studio.alice)]
    assert [request.filenames for request in posted] == [[]], "one word on where it went, and no image"


@pytest.mark.parametrize(
    ("created_at", "waited"), [(0.0, REST_S), (1.0, 1.0)], ids=["after ten minutes", "asked for afterwards"]
)
async def test_a_channel_is_tried_again(studio: Studio, created_at: float, waited: float) -> None:
    """In time, or for a job whose admission found all permissions after the refusal."""
    await shut_once(studio, status=403, code=50013)
    studio.clock.at += waited
    second = another(studio, created_at=created_at)
    await studio.delivery.finish(second)

    assert showing(studio, second) == [studio.message]


async def test_a_clock_that_was_set_back_keeps_no_channel_shut(studio: Studio) -> None:
    """A refusal dated in the future is none: the channel is tried again, at the latest when its ten minutes are over."""
    studio.clock.at = 7200.0
    studio.job = replace(studio.job, created_at=3500.0)
    await shut_once(studio, status=403, code=50013)
    studio.clock.at = 3600.0 + REST_S
    second = another(studio, created_at=3500.0)
    await studio.delivery.finish(second)

    assert showing(studio, second) == [studio.message]


async def test_words_wait_for_an_outage_however_long(studio: Studio) -> None:
    """A message that never says that its job is over would be believed: only images are given up after a day."""
    studio.pause(give_up_after_s=0.0)
    outage = studio.discord.fail_next(*EDIT, status=503, times=20)
    await studio.delivery.finish(studio.failed)

    assert outage.hits == 20
    assert "No. Nothing was charged." in studio.message.text


@pytest.mark.parametrize("weather", [{"status": 503}, {"reset": True}], ids=str)
async def test_where_the_image_went_is_said_through_an_outage(
    studio: Studio, weather: dict[str, Any]
) -> None:
    """Sent to its person, and then Discord is away: the channel's message hears of it all the same."""
    studio.discord.fail_next(*EDIT, status=403, code=50013)
    studio.discord.fail_next(*EDIT, times=5, **weather)
    await studio.delivery.finish(studio.rendered)

    assert [message.channel for message in showing(studio)] == [studio.discord.dm(studio.alice)]
    assert "they went to a direct message" in studio.message.text


@pytest.mark.parametrize("refusal", SHUT.values(), ids=SHUT)
@pytest.mark.parametrize("ending", ["rendered", "failed"])
async def test_the_interaction_has_the_last_word(
    studio: Studio, refusal: dict[str, Any], ending: str
) -> None:
    """Where every edit of the bot's own is refused, the interaction's living token ends the message."""
    studio.discord.fail_next(*EDIT, times=99, **refusal)
    await studio.delivery.finish(getattr(studio, ending))

    word = "they went to a direct message" if ending == "rendered" else "No. Nothing was charged."
    assert word in studio.message.text


@pytest.mark.parametrize("refusal", SHUT.values(), ids=SHUT)
async def test_no_last_word_without_a_token(studio: Studio, refusal: dict[str, Any]) -> None:
    """A quarter of an hour later nothing is tried with it, and words alone are undeliverable as ever."""
    studio.discord.advance(901)
    studio.clock.at = 901
    studio.discord.fail_next(*EDIT, times=99, **refusal)
    with pytest.raises(Undeliverable):
        await studio.delivery.finish(studio.failed)

    assert studio.edits == []


async def test_progress_that_is_refused_silences_the_channel_but_not_the_end(studio: Studio) -> None:
    """One refusal, and no job shows progress there; the end, which takes another door, is tried all the same."""
    studio.discord.fail_next("PATCH", "/webhooks/", status=403, code=50001, times=100)
    studio.tell(None)
    await studio.discord.until(lambda: [edit.status for edit in studio.edits] == [403])
    first, studio.job = studio.rendered, replace(studio.job, id=8)
    for _ in range(5):
        studio.tell(None)
    await asyncio.sleep(0.1)
    await studio.delivery.finish(first)

    assert len(studio.edits) == 1
    assert showing(studio, first) == [studio.message]


async def test_progress_that_is_too_fast_rests(studio: Studio) -> None:
    """A 429 that the library does not wait for: progress is quiet for a while, and then goes on."""
    studio.pause(too_fast_s=0.3)
    studio.discord.fail_next("PATCH", "/webhooks/", status=429, via=False)
    studio.tell(None)
    await studio.discord.until(lambda: [edit.status for edit in studio.edits] == [429])
    await studio.show(None)

    refused, taken = studio.edits
    assert taken.at_ms - refused.at_ms >= 300


# ------------------------------------------------------------------ one writer


@pytest.mark.parametrize(
    "weather", [{"reset": True}, {"status": 500, "times": 5}, {"status": 503, "times": 5}], ids=str
)
@pytest.mark.parametrize("applied", [True, False], ids=["applied", "lost"])
async def test_a_doubtful_progress_edit_never_wipes_a_gallery(
    studio: Studio, weather: dict[str, Any], applied: bool
) -> None:
    """Its reply was lost, whether it arrived or not: at the end the gallery stands, and was written twice."""
    studio.pause(progress_within_s=0.3)
    studio.discord.fail_next("PATCH", "/webhooks/", apply=applied, **weather)
    studio.tell(b"a jpeg")
    await studio.discord.until(lambda: studio.edits and studio.edits[0].status is not None)
    await studio.delivery.finish(studio.rendered)

    assert showing(studio) == [studio.message]
    assert len(studio.discord.requests_to(*EDIT)) == 2


def gallery_stands(studio: Studio) -> Callable[[], bool]:
    return lambda: studio.message.shown_files == ["easel-7-42.png"]


@pytest.mark.parametrize("restarted", [False, True], ids=["same process", "next process"])
async def test_an_edit_that_is_applied_late_is_written_over(studio: Studio, restarted: bool) -> None:
    """Discord applies a progress edit after the gallery, which it wipes: the second writing brings the gallery back."""
    studio.pause(progress_within_s=0.1, settle_s=1.0)
    hold = studio.discord.hold_next("PATCH", "/webhooks/")
    studio.tell(b"a jpeg")
    await studio.discord.until(lambda: hold.entered)
    if restarted:
        studio.delivery = studio.new_delivery()
    end = asyncio.create_task(studio.delivery.finish(studio.rendered))
    await studio.discord.until(gallery_stands(studio))
    hold.release()
    await studio.discord.until(lambda: studio.message.shown_files == ["preview.jpg"])
    await end

    assert showing(studio) == [studio.message]


# ------------------------------------------------------------------ token and owner


async def test_a_refused_token_ends_everything(studio: Studio) -> None:
    """401: the process is told once, the job stays as it is, and no further request follows."""
    studio.discord.fail_next(*EDIT, status=401)
    end = asyncio.create_task(studio.delivery.finish(studio.rendered))
    await studio.discord.until(lambda: studio.refused_tokens)
    await asyncio.sleep(0.1)

    assert not end.done()
    assert studio.refused_tokens == ["refused"]
    assert len(studio.discord.requests_to(*EDIT)) == 1
    end.cancel()


FULL, BAD = NoRoom(problem="the disk is full"), ModelSetAside(model="bad")


async def test_the_owner_is_told_the_same_once_an_hour(studio: Studio) -> None:
    """By a direct message; another text comes through at once, the same one after an hour."""
    for news in (FULL, FULL, BAD):
        await studio.delivery.tell_operator(news)
    studio.clock.at += SAME_TEXT_EVERY_S
    await studio.delivery.tell_operator(FULL)

    told = studio.discord.messages(studio.discord.dm(studio.discord.owner))
    assert [message.text for message in told] == [said.news(news) for news in (FULL, BAD, FULL)]


async def test_a_clock_that_was_set_back_keeps_nothing_from_the_owner(studio: Studio) -> None:
    """What was told in a future hour is told again, instead of being kept back until then and an hour more."""
    studio.clock.at = 100_000.0
    await studio.delivery.tell_operator(BAD)
    studio.clock.at -= 36_000
    await studio.delivery.tell_operator(BAD)

    told = studio.discord.messages(studio.discord.dm(studio.discord.owner))
    assert [message.text for message in told] == [said.news(BAD)] * 2


async def test_a_teams_owner_is_told(
    studio: Studio, evening: Evening, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A team's application is owned by a user that nobody is: its owner gets the message."""
    assert evening.bot.application is not None
    monkeypatch.setattr(evening.bot.application, "team", SimpleNamespace(owner_id=studio.alice.id))
    await studio.delivery.tell_operator(BAD)

    assert [m.text for m in studio.discord.messages(studio.discord.dm(studio.alice))] == [said.news(BAD)]


@pytest.mark.parametrize(
    "weather", [{"status": 403, "code": 50007}, {"reset": True}, {"status": 503}], ids=str
)
async def test_an_owner_who_can_not_be_told_is_no_error(studio: Studio, weather: dict[str, Any]) -> None:
    """Nothing is raised, and the same text is not tried again at once."""
    fault = studio.discord.fail_next("POST", "/messages", times=9, **weather)
    await studio.delivery.tell_operator(BAD)
    await studio.delivery.tell_operator(BAD)

    assert fault.hits == 1
