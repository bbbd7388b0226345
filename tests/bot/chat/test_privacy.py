"""What is kept of a person: they see it, have it sent to them, and have it gone, through kills and while they draw."""

from __future__ import annotations

import asyncio
import io
import json
import threading
import time
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from bot.chat.ids import Verb, button
from bot.core import exports
from bot.job import JobState
from bot.store import checks
from bot.store.backup import name_for, restore
from bot.store.erasures import Erasures
from bot.store.personal import Kept
from bot.training import Training, TrainingPicture, TrainingState
from tests.bot.chat.conftest import StartWorld
from tests.kit.world import POLL_S, WITHIN_S, Person, World
from workshop.rehearsal.bot import png
from workshop.rehearsal.loopback.driver import Channel, Message

NOTHING_KEPT = "Nothing about you is kept here."


async def answered(world: World, command: str, who: Person | None = None) -> str:
    """What only they read, once what is kept is counted."""
    answer = await (who or world.alice).slash(world.channel, f"privacy {command}")
    await world.until(lambda: answer.text)
    return answer.ephemeral_text or ""


# ------------------------------------------------------------------ shown


async def test_each_kind_is_counted(start_world: StartWorld, tmp_path: Path) -> None:
    """From all servers and direct messages, with how long it is kept; what is others' is none of it."""
    world = await start_world(
        data={"dir": str(tmp_path), "retention_days": 9}, discord={"direct_messages": True}
    )
    await world.imagined(1, prompt="a red circle")
    await world.imagined(2, prompt="a blue circle", who=world.admin)
    mailbox = world.discord.dm(world.alice.user)
    await world.in_line(await world.alice.slash(mailbox, "imagine", prompt="a green circle"))
    await world.reaches(3, JobState.DELIVERED)
    await world.alice.slash(world.channel, "settings", images=2, quality="high")
    await world.alice.click(world.message(1), "Favourite")
    await world.admin.slash(world.channel, "limits set", member=world.alice, credits=50, pending=2)
    told = await answered(world, "show")
    assert told.splitlines()[1:] == [
        "- 2 requests: their words, settings and times, what they cost, where they stand",
        "- your pictures and what you attached, as files on the bot's disk for 9 days",
        "- 1 favourite",
        "- 2 of your /settings",
        "- 0 searches of /history, for 30 days",
        "- 0 styles that you added to servers",
        "- 2 limits that admins set for you",
        "- 0 blocks from servers",
        "- 0 reports of pictures",
        "- 0 trainings: their pictures, captions, and the LoRAs that came of them",
        "- 2 lines in the logs of servers, about what you did or what was done about yours",
        "/privacy export sends it to you, /privacy delete has it deleted.",
    ]


async def test_who_asks_while_the_database_is_slow_is_told_to_wait(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Discord waits three seconds for a first word, and counting may take longer: that word comes before it."""
    counted, kept = asyncio.Event(), world.store.personal.kept

    async def slow(user_id: int) -> Kept:
        await counted.wait()
        return await kept(user_id)

    monkeypatch.setattr(world.store.personal, "kept", slow)
    answers = [await world.alice.slash(world.channel, f"privacy {each}") for each in ("show", "export")]
    assert [answer.ephemeral_text for answer in answers] == ["", ""]
    counted.set()
    show, export = answers
    await world.until(lambda: "0 requests" in show.text and export.text == NOTHING_KEPT)


# ------------------------------------------------------------------ sent to them


async def sent(world: World, who: Person, place: Channel | None = None) -> list[Message]:
    """The messages with the files, once the last one is there."""
    place, messages = place or world.channel, list[Message]()

    def all_there() -> bool:
        messages[:] = [message for message in world.discord.messages(place) if archives(message)]
        return bool(messages) and not world.client.services.exports.is_under_way(who.id)

    await world.until(all_there)
    return messages


def archives(message: Message) -> list[bytes]:
    return [
        each.bytes
        for each in message.attachments
        if each.filename.startswith("easel-") and each.filename.endswith(".zip")
    ]


def unpacked(messages: list[Message]) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    for message in messages:
        for data in archives(message):
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                assert archive.testzip() is None
                for name in archive.namelist():
                    assert name not in files or name == "easel.json"
                    files[name] = archive.read(name)
    return files


def lines(files: dict[str, bytes]) -> list[dict[str, Any]]:
    names = sorted(name for name in files if name.startswith("jobs"))
    return [json.loads(line) for name in names for line in files[name].decode().splitlines()]


async def test_everything_is_sent_while_its_person_still_draws(world: World) -> None:
    """Words as typed, settings, favourites, pictures and attachments; for their eyes, and nobody else's words in it."""
    photo = png(64, 64)
    await world.imagined(1, prompt="a red circle --seed 7", negative_prompt="blur", image=("me.png", photo))
    await world.imagined(2, prompt="another's star", who=world.admin)
    await world.alice.slash(world.channel, "settings", images=2)
    await world.alice.click(world.message(2), "Favourite")
    await world.imagine(prompt="HANG")
    await world.reaches(3, JobState.RUNNING)
    assert (await answered(world, "export")).startswith("I am putting it together")
    (message,) = await sent(world, world.alice)
    assert message.ephemeral
    assert message.text == "All about 2 requests of yours. 1 picture is with it."
    files = unpacked([message])
    told = json.loads(files["easel.json"])
    assert told["settings"] == [{"name": "images", "value": "2"}]
    assert [(each["number"], each["image"]) for each in told["favourites"]] == [(2, None)]
    running, done = lines(files)
    assert (running["number"], running["state"], running["request"]["prompt"]) == (3, "running", "HANG")
    assert (done["typed"]["seed"], done["request"]["negative_prompt"]) == (7, "blur")
    assert done["message"].endswith(f"/{world.guild.id}/{world.channel.id}/{world.message(1).id}")
    assert files[f"attached/{done['request']['image']}"] == photo
    assert files["pictures/1-1-0.png"] == world.message(1).attachments[0].bytes
    assert done["pictures"] == ["1-1-0.png"]
    assert b"another's star" not in b"".join(files.values())


async def test_large_ones_come_in_parts_and_by_direct_message_once_the_answer_is_too_old(
    world: World, monkeypatch: Any
) -> None:
    """Each part is an archive of its own; what does not fit is named with a link. A second press meanwhile is told so."""
    monkeypatch.setattr(exports, "PART_BYTES_MAX", exports._ROOM_BYTES + 3000)
    await world.imagined(1, prompt="a red circle", images=2)
    await world.imagined(2, prompt="a blue circle")
    newest, *others = (each.bytes for number in (2, 1) for each in world.message(number).attachments)
    monkeypatch.setattr(exports, "PICTURES_BYTES_MAX", len(newest) + max(map(len, others)))
    mailbox = world.discord.dm(world.alice.user)
    go_on, begun = threading.Event(), exports.by_job
    monkeypatch.setattr(exports, "by_job", lambda folder: begun(folder) if go_on.wait(20) else {})
    assert (await answered(world, "export")).startswith("I am putting it together")
    again = await answered(world, "export")
    assert again == "Your export is being put together already: it comes as soon as it is ready."
    world.advance(15 * 60)
    go_on.set()
    await world.until(lambda: any(archives(each) for each in world.messages(mailbox)))
    messages = await sent(world, world.alice, mailbox)
    assert len(messages) > 1
    assert messages[0].text.startswith(
        "All about 2 requests of yours. 2 pictures are with it. 1 older or larger"
    )
    assert messages[-1].text == f"Part {len(messages)} of {len(messages)}."
    files = unpacked(messages)
    assert {name for name in files if name.startswith("pictures/")} == {
        "pictures/2-1-0.png",
        "pictures/1-1-1.png",
    }
    assert [job["number"] for job in lines(files)] == [2, 1]


async def test_nothing_is_sent_where_nothing_is_kept(world: World) -> None:
    """One sentence; what admins set for a person alone is kept about them, and is sent."""
    assert await answered(world, "export") == NOTHING_KEPT
    assert not any(archives(message) for message in world.discord.messages(world.channel))
    await world.admin.slash(world.channel, "limits set", member=world.alice, credits=50)
    await answered(world, "export")
    told = json.loads(unpacked(await sent(world, world.alice))["easel.json"])
    assert told["limits"] == [{"server": world.guild.id, "field": "credits_per_day", "value": 50}]


async def test_a_full_disk_and_closed_direct_messages_get_a_sentence(world: World, monkeypatch: Any) -> None:
    """And the next try is a new one."""
    await world.imagined(1)
    with monkeypatch.context() as patched:
        patched.setattr(exports.tempfile, "TemporaryFile", _full)
        await answered(world, "export")
        await world.until(lambda: "no room on the bot's disk" in said(world))
    world.discord.fail_next("POST", "/webhooks/", status=400, code=40005)
    await answered(world, "export")
    await world.until(lambda: "I could not send all of it" in said(world))
    await answered(world, "export")
    assert await sent(world, world.alice)


def _full(**_options: Any) -> Any:
    raise OSError(28, "No space left on device")


def said(world: World) -> str:
    return "\n".join(message.text for message in world.discord.messages(world.channel) if message.ephemeral)


# ------------------------------------------------------------------ deleted

WORDS = ("Zanzibarfox", "Quokkablur", "Marmotlike", "Lemursearch", "Ibexstyle", "Tapirphoto", "Okapiplan")
"""They stand nowhere but in what one person brought."""


def traces(world: World, logs: str = "") -> set[str]:
    """Which of them can still be read: in the database and its log, in whatever lies in the data folder, in what was logged."""
    files = [
        path for path in world.settings.data_dir.rglob("*") if path.is_file() and "backups" not in path.parts
    ]
    assert {"easel.sqlite3", "easel.sqlite3-wal"} <= {path.name for path in files}
    text = b"".join([*map(content, files), logs.encode()]).lower()
    return {word for word in WORDS if word.lower().encode() in text}


def content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:  # it goes in this moment
        return b""


async def gone(world: World, who: Person) -> None:
    """Once nothing of theirs can be read any more, and no message stands there."""
    await none_left(world, "SELECT 1 FROM erasure WHERE user_id = :id AND emptied_at IS NULL", id=who.id)
    await none_left(world, "SELECT 1 FROM job WHERE erased_at IS NOT NULL AND removed_at IS NULL")


async def none_left(world: World, sql: str, **values: int) -> None:
    """Once this finds nothing any more."""
    await world.finds(lambda: world.store.database.read(sql, values), lambda rows: not rows)


def photo() -> bytes:
    """Which says something of itself."""
    said, file = PngInfo(), io.BytesIO()
    said.add_text("Comment", "Tapirphoto")
    Image.new("RGB", (64, 64)).save(file, "PNG", pnginfo=said)
    return file.getvalue()


async def draws(world: World, who: Person) -> None:
    """Eleven pictures, and words of every kind that is kept."""
    place = world.channel
    await who.slash(place, "style add", name="Marmotlike", prompt="{prompt} in Ibexstyle")
    await world.imagined(
        1, who=who, prompt="a Zanzibarfox --style Marmotlike", image=("me.png", photo()), images=2, seed=7
    )
    taken = await who.click(world.message(1), "U2")
    await world.until(lambda: taken.message and taken.message.attachments)
    await who.slash(place, "imagine", prompt="FAIL Zanzibarfox")
    await world.reaches(2, JobState.FAILED)
    for number in range(3, 12):
        await world.imagined(
            number, who=who, prompt=f"a fox {number}", negative_prompt="Quokkablur Lemursearch"
        )
    await who.slash(place, "settings", style="Marmotlike")
    assert "of 9" in (await who.slash(place, "history", words="Lemursearch")).text
    await who.slash(place, "imagine", prompt="a {red, blue} Okapiplan")


async def confirms(who: Person, world: World) -> str:
    """What they read once they have said yes."""
    asked = await who.slash(world.channel, "privacy delete")
    assert "**Delete all that is kept about you?**" in asked.text
    await who.click(asked.message, "Delete all of it")
    return asked.text


DELETING = "It is being deleted, and that goes on whatever happens"


async def test_no_byte_of_it_is_left(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    """In database, its log, spool and logs; with its messages, copies and stars, while one is drawn. Others' and the books stay."""
    her = world.admin  # who may add styles
    await draws(world, her)
    await world.imagined(12, prompt="a red circle")
    await her.click(world.message(12), "Favourite")
    await world.alice.click(world.message(3), "Favourite")
    await world.imagine(her, prompt="HANG Zanzibarfox")
    await world.reaches(13, JobState.RUNNING)
    assert traces(world) == {*WORDS}
    usage = await world.store.jobs.usage(guild_id=world.guild.id, user_id=her.id, window_start=0)
    assert (await confirms(her, world)).startswith(DELETING)
    await gone(world, her)
    assert traces(world, capsys.readouterr().out) == set()
    assert [message.id for message in world.messages()] == [world.message(12).id]
    running = await world.job(13)
    assert (running.state, running.charged) == (JobState.CANCELLED, 0)
    after = await world.store.jobs.usage(guild_id=world.guild.id, user_id=her.id, window_start=0)
    assert after.used == usage.used - running.cost > 0
    assert await world.store.history.audit() == []
    assert checks.damage(world.settings.database, thorough=True) == []
    stars = await world.store.database.read("SELECT user_id, job_id FROM favourite", {})
    assert [tuple(row) for row in stars] == []
    assert "a red circle" in (await world.alice.slash(world.channel, "history", words="circle")).text
    for words in ("fox", "Zanzibarfox"):
        assert "No picture was found" in (await her.slash(world.channel, "history", words=words)).text
    assert await answered(world, "export", her) == NOTHING_KEPT
    log = (await her.slash(world.channel, "admin log")).text
    assert "the style “–” is gone" in log
    assert "Marmot" not in log


async def taught(world: World, who: Person, name: str) -> Training:
    """A training that is done, with all that lies on disk of it."""
    trainings, now = world.store.trainings, time.time()
    made = await trainings.new(
        Training(
            id=0, guild_id=world.guild.id, user_id=who.id, name=name, trigger="Tapirtoy", model="fake", steps=9,
            state=TrainingState.COLLECTING, created_at=now,
        ),
        most=9,
    )  # fmt: skip
    assert isinstance(made, Training)
    picture = TrainingPicture(
        training_id=made.id,
        number=0,
        digest="a" * 64,
        caption="a Tapirtoy",
        size_bytes=9,
        width=64,
        height=64,
    )
    await trainings.add_picture(picture, user_id=who.id, most=9, most_bytes=999)
    await trainings.start(made.id, cost=5, credits_most=999, window_start=0, now=now)
    await trainings.run(made.id, now=now)
    for file in (
        world.settings.trainings / str(made.id) / f"{'a' * 64}.png",
        world.settings.models_dir / "loras" / f"{name}.safetensors",
    ):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"Tapirbytes")
    done = await trainings.finish(made.id, now=now)
    assert done is not None
    return done


async def test_trainings_are_sent_and_go(start_world: StartWorld, tmp_path: Path) -> None:
    """Words, pictures and what came of them; one that still waits is cancelled. Others' stay, and so does what it cost."""
    world = await start_world(models={"dir": str(tmp_path / "models")})
    hers, his = await taught(world, world.alice, "Tapirsnail"), await taught(world, world.admin, "snail")
    waits = await world.store.trainings.new(replace(hers, name="Tapirwaits"), most=9)
    assert isinstance(waits, Training)
    await world.store.trainings.start(waits.id, cost=5, credits_most=999, window_start=0, now=time.time())
    assert "- 2 trainings:" in await answered(world, "show")
    await world.alice.slash(world.channel, "privacy export")
    files = unpacked(await sent(world, world.alice))
    told = json.loads(files["easel.json"])["trainings"]
    assert [(each["name"], each["trigger"]) for each in told] == [
        ("Tapirwaits", "Tapirtoy"),
        ("Tapirsnail", "Tapirtoy"),
    ]
    assert told[1]["pictures"] == [{"number": 1, "sha256": "a" * 64, "caption": "a Tapirtoy"}]
    folder = f"trainings/{hers.id}"
    assert {name for name in files if name.startswith("trainings")} == {
        f"{folder}/{'a' * 64}.png",
        f"{folder}/Tapirsnail.safetensors",
    }
    await confirms(world.alice, world)
    await gone(world, world.alice)
    there = "SELECT id FROM training WHERE user_id = :user AND deleted_at IS NULL"
    assert await world.store.database.read(there, {"user": world.alice.id}) == []
    left = content(world.settings.database)
    assert [name for name in (b"Tapirsnail", b"Tapirwaits") if name in left] == []
    assert [path.name for path in world.settings.trainings.iterdir()] == [str(his.id)]
    assert [path.name for path in (world.settings.models_dir / "loras").iterdir()] == ["snail.safetensors"]
    usage = await world.store.jobs.usage(guild_id=world.guild.id, user_id=world.alice.id, window_start=0)
    assert usage.used == hers.cost
    assert checks.audit(world.settings.database) == []


@pytest.mark.parametrize("step", ["empty", "unstar", "leave_nameless", "emptied", "unremoved"])
async def test_a_bot_that_is_killed_goes_on(world: World, step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever it was about to do: the next one does it, and what was asked for afterwards is kept."""
    await draws(world, world.admin)
    is_there = asyncio.Event()

    async def stops(*_given: Any, **_values: Any) -> None:
        is_there.set()
        await asyncio.Event().wait()

    with monkeypatch.context() as patched:
        patched.setattr(Erasures, step, stops)
        await confirms(world.admin, world)
        await asyncio.wait_for(is_there.wait(), WITHIN_S)
        await world.imagined(12, who=world.admin, prompt="a new one")
        await world.admin.slash(world.channel, "settings", images=3)
        await world.admin.slash(world.channel, "style add", name="new", prompt="{prompt} in oil")
        await world._go()
    await world._come()
    await gone(world, world.admin)
    assert traces(world) == set()
    kept = await answered(world, "show", world.admin)
    assert "- 1 of your /settings" in kept
    assert "- 1 style that you added" in kept
    assert "the style “new” is new" in (await world.admin.slash(world.channel, "admin log")).text
    assert [message.id for message in world.messages()] == [world.message(12).id]
    assert "1–1 of 1" in (await world.admin.slash(world.channel, "history")).text
    assert await world.store.history.audit() == []


async def test_whose_it_was_is_forgotten_after_two_days(start_world: StartWorld) -> None:
    """Not before, since a day's credits are counted by it, nor while a backup may be put back; all still adds up."""
    world = await start_world(backup={"every_hours": 1, "keep": 1})
    await world.imagined(1, images=2)
    await world.imagined(2)
    await confirms(world.alice, world)
    await gone(world, world.alice)
    of_all = "SELECT SUM(charged) AS charged, COUNT(*) AS n FROM job"
    before = [tuple(row) for row in await world.store.database.read(of_all, {})]
    world.advance(86_400)
    await world.store.erasures.forget_names(now=world.clock.now())
    usage = await world.store.jobs.usage(guild_id=world.guild.id, user_id=world.alice.id, window_start=0)
    assert usage.used == 3
    world.advance(86_401)
    await world.restart()  # its first look comes at once
    await none_left(world, "SELECT 1 FROM erasure")
    assert [tuple(row) for row in await world.store.database.read(of_all, {})] == before == [(3, 2)]
    assert await world.store.history.audit() == []
    await none_left(world, "SELECT 1 FROM job WHERE user_id = :id", id=world.alice.id)
    text = b"".join(path.read_bytes() for path in world.settings.data_dir.glob("easel.sqlite3*"))
    assert str(world.alice.id).encode() not in text


async def test_only_who_asked_may_say_yes_and_a_no_changes_nothing(world: World) -> None:
    """Asked again while it goes on, it says so; the buttons of a bot before a restart still work."""
    await world.imagined(1)
    asked = await world.alice.slash(world.channel, "privacy delete")
    assert "Backups of the database forget it within 7 days." in asked.text
    await world.restart()
    await world.alice.click(asked.message, "Never mind")
    assert asked.text == "Nothing was deleted."
    message = await world.post(button(Verb.ERASE, world.alice.id), button(Verb.ERASE_NOT, world.alice.id))
    for label in ("Delete all of it", "Never mind"):
        refused = await world.admin.click(message, label)
        assert refused.ephemeral_text == "Only the person who asked for this may answer it."
    assert await world.store.erasures.under_way() == []
    hold = world.discord.hold_next("DELETE", "/messages/")
    await confirms(world.alice, world)
    await world.until(lambda: hold.entered)
    await world.store.database.write("UPDATE erasure SET emptied_at = NULL", {})
    again = await world.alice.slash(world.channel, "privacy delete")
    await world.alice.click(again.message, "Delete all of it")
    assert again.text == "It is being deleted already."
    hold.release()
    await gone(world, world.alice)
    assert [each.id for each in world.messages()] == [message.id]


# ------------------------------------------------------------------ by the operator's days


async def test_each_kind_goes_after_its_days(start_world: StartWorld, tmp_path: Path) -> None:
    """Words, searches and the log; messages stay, and their buttons say why nothing new is made. Nobody's books change."""
    data = {"dir": str(tmp_path), "retention_days": 2, "prompts_days": 2, "searches_days": 2, "audit_days": 2}
    world = await start_world(data=data)
    await draws(world, world.admin)
    assert traces(world) == {*WORDS}
    page = await world.admin.slash(world.channel, "history", words="Lemursearch")
    world.advance(1.9 * 86_400)
    await world.restart()
    assert traces(world) == {*WORDS}
    await world.imagined(12, prompt="a young one")
    world.advance(0.2 * 86_400)
    await world.restart()
    await none_left(world, "SELECT 1 FROM job WHERE erased_at IS NULL AND id < 12")
    until = time.monotonic() + WITHIN_S
    while left := traces(world) - {"Marmotlike", "Ibexstyle"}:  # the style is the server's, and a preference
        assert time.monotonic() < until, left
        await asyncio.sleep(POLL_S)
    message = world.message(3)
    refused = await world.admin.click(message, "Reroll")
    assert (refused.ephemeral_text or "").startswith("The words of this picture are not kept here any more")
    told = await world.admin.menu(message, "Image info")
    await world.until(lambda: "Quokkablur" in told.text)  # the picture's own
    again = await world.admin.click(page.message, "Older ▶")
    assert (again.ephemeral_text or "").startswith("What this page was searched by is not kept any more")
    assert "No picture was found" in (await world.admin.slash(world.channel, "history", words="fox")).text
    assert "1–8 of 10" in (await world.admin.slash(world.channel, "history")).text
    assert "Nothing is in the log yet" in (await world.admin.slash(world.channel, "admin log")).text
    assert "a young one" in (await world.alice.click(world.message(12), "Info")).text
    assert await world.store.history.audit() == []
    await world.admin.click(message, "easel:1:delete:3")
    await world.until(lambda: message.deleted)


async def test_what_had_lost_its_words_before_goes_too(start_world: StartWorld, tmp_path: Path) -> None:
    """Pictures, message and whose it was are still there after `prompts_days`, and are shown, sent and deleted like others."""
    world = await start_world(data={"dir": str(tmp_path), "prompts_days": 2})
    message = await world.imagined(1, prompt="a red circle")
    file = Path(str((await world.job(1)).images[0].path))
    world.advance(2.1 * 86_400)
    await world.restart()
    await none_left(world, "SELECT 1 FROM job WHERE erased_at IS NULL")
    told = await answered(world, "show")
    assert "- 1 request: its words" in told
    assert file.is_file()
    await confirms(world.alice, world)
    await gone(world, world.alice)
    assert (message.deleted, file.exists()) == (True, False)
    assert await answered(world, "export") == NOTHING_KEPT


async def test_a_backup_that_is_put_back_does_not_bring_it_back(world: World) -> None:
    """Who wanted theirs gone is taken along, and it goes again at the next start."""
    await draws(world, world.admin)
    backup = world.settings.backups / name_for(world.clock.now())
    await world.store.back_up(backup)
    await confirms(world.admin, world)
    await gone(world, world.admin)
    await world._go()
    assert restore(world.settings.database, backup, now=world.clock.now()) is not None
    for path in world.settings.data_dir.glob("replaced-*"):
        path.unlink()
    assert b"Zanzibarfox" in world.settings.database.read_bytes()
    await world._come()
    await gone(world, world.admin)
    assert traces(world) == set()
    assert await world.store.history.audit() == []
