"""What is found by words: whole words, phrases, beginnings, whoever asks, and never a word of what was deleted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.job import Job, Reason
from bot.store import Store, finished, schema
from bot.store.db import Database, Unusable
from bot.store.finished import FOUND_MAX, Found, Search
from bot.store.words import beginnings_of, match_of, parts_of
from tests.kit.books import GUILD, NOON, delivered, rendered, running, sure


async def drawn(store: Store, prompt: str, *, negative: str = "", model: str = "fake", **values: Any) -> Job:
    job = await running(store, **values)
    await store.database.write(
        """UPDATE job SET request = json_set(request, '$.prompt', :prompt, '$.negative_prompt', :negative,
                                             '$.model', :model) WHERE id = :id""",
        {"prompt": prompt, "negative": negative, "model": model, "id": job.id},
    )
    images = """UPDATE job SET state = 'rendered', images = '[{"path": "x", "seed": 1}]' WHERE id = :id"""
    await store.database.write(images, {"id": job.id})
    return sure(
        await store.jobs.delivered(sure(await store.jobs.get(job.id)), message_id=1000 + job.id, now=NOON)
    )


async def find(store: Store, words: str = "", *, user: int = 1, offset: int = 0, **values: Any) -> Found:
    channels = values.pop("channels", (5,))
    return await store.history.search(
        Search(words=words, **values),
        guild_id=GUILD,
        user_id=user,
        channels=channels,
        offset=offset,
        count=8,
    )


async def ids(store: Store, words: str = "", **values: Any) -> list[int]:
    return [job.id for job in (await find(store, words, **values)).jobs]


# ------------------------------------------------------------------ words


async def test_words_phrases_and_beginnings(store: Store) -> None:
    """All words in any order and in either prompt or the model; what is in quotes side by side; accents and capitals alike."""
    house = await drawn(store, "A red Lighthouse in a storm, déjà vu", negative="blur", model="sdxl-base")
    light = await drawn(store, "storm of light; red", negative="in a red storm")
    for words, wanted in {
        "storm red": [light.id, house.id],
        "lighthouse": [house.id],
        "light": [light.id],
        "lightho": [house.id],
        "DEJA": [house.id],
        "blur sdxl": [house.id],
        '"red storm"': [light.id],
        "“a red lighthouse” vu": [house.id],
        '"red lightho"': [],
        "red, storm!": [light.id, house.id],
        "absent": [],
        "": [light.id, house.id],
    }.items():
        assert (words, await ids(store, words)) == (words, wanted)


@pytest.mark.parametrize(
    "typed",
    [
        'AND OR NOT NEAR(a b) -x ^y prompt:z {tags}: (u7x1) "',
        '"""',
        "a\x00b * + tags:u7x2",
        "'; DROP TABLE job; --",
        "x" * 10_000,
        "a " * 5000,
        "\ud800 half a pair",
        "́ 🎈 …",
    ],
)
async def test_nothing_that_is_typed_means_anything_to_the_search(store: Store, typed: str) -> None:
    """Operators, columns, quotes, nothing at all: words like any others, and nobody sees another's pictures by them."""
    await drawn(store, "and or not near of a table", user=2)
    assert await ids(store, typed) == ([] if parts_of(typed) else await ids(store))


@given(st.text(max_size=60))
def test_any_text_is_a_query(typed: str) -> None:
    """What the full-text search reads is always quoted words, as many as there are quotes for."""
    parts = parts_of(typed)
    for begun in ({}, dict.fromkeys(beginnings_of(parts)), {text: [text] for text in beginnings_of(parts)}):
        match = match_of(parts, begun)
        assert match.count('"') == 2 * len(parts)
        assert match == "" or match.lstrip("(").startswith('"')


async def test_beginnings_are_those_that_the_index_knows(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Looked up by their words or by the index itself, the same is found; many words that begin so are none too many."""
    words = [
        "light",
        "lighthouse",
        "Lights",
        "lightʼs",
        "lumière",
        "ligature",
        "lig9",
        "ligʼ",
        "redlight",
        "ligé",
    ]
    for number in range(0, 60, 3):
        await drawn(store, f"{words[number % 10]} many{number:03}", model=f"ligx{number}")
    typed = [
        "lig",
        "ligh",
        "LIGHTH",
        "lights",
        "lum",
        "lumi",
        "lig9",
        "man",
        "many0",
        "lig many0",
        "ligz",
        "ligx1",
        "ligé",
    ]
    by_words = {text: await ids(store, text) for text in typed}
    assert by_words["man"] == [*range(20, 0, -1)][:8]
    assert len(by_words["LIGHTH"]) == 2
    assert by_words["ligz"] == []
    for most in (0, 1, 5):
        monkeypatch.setattr(finished, "BEGUN_MAX", most)
        assert {text: await ids(store, text) for text in typed} == by_words


# ------------------------------------------------------------------ whose, and what is gone


async def test_whose_pictures_are_looked_through(store: Store) -> None:
    """Mine in this server, or everybody's in the channels I see; by model; what I starred is anybody's."""
    mine, theirs = await drawn(store, "red", model="a b"), await drawn(store, "red", user=2)
    await drawn(store, "red", user=1, guild=GUILD + 1)
    await store.favourites.toggle(theirs.id, None, user_id=1, now=NOON)
    assert await ids(store, "red") == [mine.id]
    assert await ids(store, "red", everybody=True) == [theirs.id + 1, theirs.id, mine.id]
    assert await ids(store, "red", everybody=True, channels=(6, 7)) == []
    assert await ids(store, "red", everybody=True, channels=()) == []
    assert await ids(store, model="a b") == [mine.id]
    assert await ids(store, model="a") == []
    assert await ids(store, favourites=True) == await ids(store, "red", favourites=True) == [theirs.id]
    assert await ids(store, "blue", favourites=True) == []
    assert await ids(store, favourites=True, user=2) == []


async def test_the_starred_image_stands_for_its_job(store: Store) -> None:
    """Of several starred images the first; where all of it was starred, none in particular."""
    job, whole = await delivered(store, images=4), await delivered(store, images=4)
    for image in (3, 2):
        await store.favourites.toggle(job.id, image, user_id=1, now=NOON)
    await store.favourites.toggle(whole.id, None, user_id=1, now=NOON)
    found = await find(store, favourites=True)
    assert [job.id for job in found.jobs] == [whole.id, job.id]
    assert found.starred == {job.id: 2}


async def test_the_index_follows_the_row(store: Store) -> None:
    """Deleted, it is found no more in that moment; taken back, it is; what nobody would take is its person's alone."""
    job = await drawn(store, "red")
    await store.favourites.toggle(job.id, None, user_id=2, now=NOON)
    await store.jobs.mark_deleted(job.id, now=NOON, by_user_id=1)
    assert await ids(store, "red") == await ids(store, favourites=True, user=2) == []
    await store.jobs.unmark_deleted(job.id)
    assert await ids(store, "red") == await ids(store, favourites=True, user=2) == [job.id]
    unpaid = sure(await store.jobs.failed(await rendered(store), reason=Reason.told("no"), now=NOON))
    withheld = await rendered(store, shown=0)
    sure(await store.jobs.failed(withheld, reason=Reason.told("no"), now=NOON))
    assert await ids(store, "circle") == [unpaid.id]
    assert await ids(store, "circle", everybody=True) == []
    await store.jobs.fetched(unpaid, charged=1, window=(0, 2 * NOON), most=9)
    assert (await ids(store, "circle"), await ids(store, "circle", everybody=True)) == ([unpaid.id], [])
    await store.database.write("DELETE FROM job WHERE id = :id", {"id": unpaid.id})
    assert await ids(store, "circle") == []
    assert await store.history.audit() == []


async def test_more_than_can_be_leafed_through_is_not_counted(store: Store) -> None:
    """The newest thousand are found; that there are more is said, and no page lies beyond them."""
    await drawn(store, "red")
    copy = """INSERT INTO job (state, attempt, request, action, user_id, guild_id, channel_id, message_id, interaction_id,
                application_id, cost, charged, created_at, queued_at, started_at, finished_at, images)
              WITH RECURSIVE n (i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < :last)
              SELECT state, attempt, request, action, user_id, guild_id, channel_id, message_id, 1000000 + i,
                application_id, cost, 0, created_at, queued_at, started_at, finished_at, images
              FROM job, n WHERE id = 1"""
    await store.database.write(copy, {"last": FOUND_MAX})
    assert ((found := await find(store, "red")).total, found.is_more) == (FOUND_MAX, False)
    assert [job.id for job in (await find(store, "red", offset=FOUND_MAX - 8)).jobs] == [*range(8, 0, -1)]
    await drawn(store, "red")
    assert ((found := await find(store, "red")).total, found.is_more) == (FOUND_MAX, True)
    assert (await find(store, "red", offset=FOUND_MAX)).jobs == []


async def test_the_audit_names_what_the_index_does_not_know(store: Store) -> None:
    """A row that is shown and was never indexed, or the other way round, is named in a sentence."""
    lost, kept = await delivered(store), await delivered(store)
    await store.database.write("DELETE FROM job_words_docsize WHERE id = :id", {"id": lost.id})
    told = f"Job {lost.id} is shown but can't be searched for, or the other way round."
    assert await store.history.audit() == [told]
    await store.database.write("INSERT INTO job_words_docsize VALUES (:id, x'00')", {"id": kept.id + 1})
    await running(store)
    assert len(await store.history.audit()) == 2


async def test_a_search_is_remembered_for_its_person(store: Store) -> None:
    """The same search has the same number; nobody else gets it, and old ones are forgotten."""
    search, here = (
        Search(words='“red” \ud83d "x', model="m", favourites=True),
        {"guild_id": GUILD, "user_id": 1},
    )
    number = await store.history.remember(search, **here, now=NOON)
    assert await store.history.remember(search, **here, now=NOON) == number
    other = await store.history.remember(Search(words="blue"), **here, now=NOON + 86_400)
    assert other != number
    assert await store.history.remembered(number, **here) == search
    assert await store.history.remembered(number, guild_id=GUILD, user_id=2) is None
    await store.history.forget_searches(before=NOON + 1)
    assert await store.history.remembered(number, **here) is None
    assert await store.history.remembered(other, **here) == Search(words="blue")


async def test_an_sqlite_without_full_text_search(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One sentence says what is missing and what helps, before anything is changed."""
    monkeypatch.setattr(schema, "SEARCH", "fts0")
    with pytest.raises(
        Unusable, match=r"can't be opened: this Python's SQLite has no full-text search .*: run"
    ):
        await Database.open(tmp_path / "easel.sqlite3")
