"""A person who leaves, as moderators see it: nothing of theirs stands in the moderators' channel any more."""

from __future__ import annotations

from bot.job import Review
from tests.bot.chat.test_flagged import until
from tests.bot.chat.test_privacy import confirms, gone
from tests.bot.chat.test_reports import den, report, reported
from tests.kit.world import World


async def test_what_moderators_read_goes_too(world: World) -> None:
    """What others reported of hers, what she reported of others', and her picture that is held for them, with its question."""
    her, bob = world.person("her"), world.person("bob")
    hers = await world.imagined(1, who=her, prompt="a red circle")
    his = await world.imagined(2, who=bob, prompt="a blue square")
    channel = await den(world)
    await report(world, bob, hers, "ugly")
    await report(world, her, his, "Zanzibarfox")
    await reported(world, channel, 2)
    await world.admin.slash(world.channel, "mod pictures", action="hold")
    await world.imagine(her, prompt="NSFW")
    await world.until(lambda: len(world.messages(channel)) == 3)
    held = await until(world, 3, lambda job: job.review_message_id is not None)
    assert held.review == Review.WAITING

    await confirms(her, world)
    await gone(world, her)

    await world.until(lambda: not len(world.dispatcher.errands))
    first, second = await reported(world, channel, 2)
    assert (first.attachments, "a red circle" in first.text, f"<@{her.id}> removed it" in first.text) == (
        [],
        False,
        True,
    )
    assert (f"<@{her.id}>" in second.text, "Zanzibarfox" in second.text, len(second.attachments)) == (
        False,
        False,
        1,
    )
    rows = await world.store.database.read("SELECT details FROM audit WHERE deed = 'reported'", {})
    assert "Zanzibarfox" not in "".join(row["details"] for row in rows)
    assert (await world.job(3)).review == Review.EXPIRED
    assert await world.store.history.audit() == []
