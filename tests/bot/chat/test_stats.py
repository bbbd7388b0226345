"""/stats: one's own numbers, an admin's of the server; as a picture, and in words where none can be drawn."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from bot.job import JobState
from bot.vitals import chart
from bot.vitals.charts import Chart, Charts, Columns, Lines
from tests.bot.chat.conftest import StartWorld
from tests.kit.world import World
from workshop.rehearsal.loopback.driver import Answer

DIES = (sys.executable, "-c", "raise SystemExit(1)")
HANGS = (sys.executable, "-c", "import time; time.sleep(600)")
COLUMNS = Columns(title="", labels=("1",), values=(1,))
LINES = Lines(title="", labels=("1",), values=(1,), shown=("1",))
CHART = Chart(title="", days=COLUMNS, hours=COLUMNS, models=LINES, waits=LINES)
TOLD = "Your pictures of the last 30 days: 3"


async def settled(world: World, answer: Answer) -> Answer:
    """Once the deferred answer is filled."""
    await world.until(lambda: answer.text)
    assert answer.ephemeral
    return answer


def draws_with(world: World, command: tuple[str, ...], *, within_s: float = 30.0) -> None:
    charts = Charts(world.settings.data_dir / "matplotlib", command=command, within_s=within_s)
    world.client.services = replace(world.client.services, charts=charts)


async def test_a_picture_with_its_numbers_in_words(world: World) -> None:
    """A PNG for its person alone, whose alternative text says all that it shows."""
    await world.imagined(1, images=2)
    await world.imagined(2)
    await world.imagine(world.admin)

    answer = await settled(world, await world.alice.slash(world.channel, "stats"))

    assert answer.text == TOLD
    assert answer.message is not None
    (file,) = answer.message.attachments
    shown = Image.open(BytesIO(file.bytes))
    assert (shown.format, shown.size) == ("PNG", (1200, 750))
    lines = str(file.description).splitlines()
    assert lines[0] == TOLD
    assert lines[1].startswith("Most on one day: 3, on ")
    assert lines[2].startswith("Busiest hours (UTC): ")
    assert lines[3] == "By model: Fake model 3"
    assert lines[4].startswith("From request to picture: half of them within ")


@pytest.mark.parametrize(("command", "within_s"), [(DIES, 30.0), (HANGS, 0.2), (("/nowhere",), 30.0)])
async def test_words_where_no_picture_can_be_drawn(
    world: World, command: tuple[str, ...], within_s: float
) -> None:
    """Its process dies, as it does without matplotlib, takes too long, or can't be started: the same numbers as text."""
    await world.imagined(1, images=3)
    draws_with(world, command, within_s=within_s)

    answer = await settled(world, await world.alice.slash(world.channel, "stats"))

    assert answer.text.splitlines()[0] == TOLD
    assert "By model: Fake model 3" in answer.text
    assert answer.message is not None
    assert answer.message.attachments == []


async def test_the_servers_numbers_are_its_admins(world: World) -> None:
    """They count everybody; others read one sentence, and who drew nothing reads another."""
    draws_with(world, DIES)
    await world.imagined(1, images=2)
    await world.imagine(world.person("bob"))
    await world.reaches(2, JobState.DELIVERED)

    everybodys = await settled(world, await world.admin.slash(world.channel, "stats", server=True))
    assert everybodys.text.splitlines()[0] == "This server's pictures of the last 30 days: 3"
    refused = await world.alice.slash(world.channel, "stats", server=True)
    assert refused.ephemeral_text == "Only people who may manage this server can do that."
    nothing = await settled(world, await world.admin.slash(world.channel, "stats"))
    assert nothing.text == "You drew nothing here in the last 30 days: /imagine draws."
    world.advance(40 * 86_400)
    nothing = await settled(world, await world.admin.slash(world.channel, "stats", server=True))
    assert nothing.text == "Nothing was drawn on this server in the last 30 days."


async def test_in_direct_messages_ones_own(start_world: StartWorld) -> None:
    """Apart from what was drawn in servers; a server's are told in it alone."""
    world = await start_world(discord={"direct_messages": True})
    draws_with(world, DIES)
    await world.imagined(1, images=3)
    world.channel = world.discord.dm(world.alice.user)
    await world.imagined(2)

    told = await settled(world, await world.alice.slash(world.channel, "stats"))
    assert told.text.splitlines()[0] == "Your pictures of the last 30 days: 1"
    refused = await world.alice.slash(world.channel, "stats", server=True)
    assert refused.ephemeral_text == "Use this in a server, not in a direct message."


async def test_in_its_readers_language(world: World) -> None:
    """Words, dates and numbers."""
    draws_with(world, DIES)
    hans = world.person("hans", locale="de")
    await world.imagine(hans)
    await world.reaches(1, JobState.DELIVERED)

    told = await settled(world, await hans.slash(world.channel, "stats"))
    assert told.text.splitlines()[0] == "Deine Bilder der letzten 30 Tage: 1"


async def test_who_asks_again_and_again_gets_words(tmp_path: Path) -> None:
    """A few wait for the one that is being drawn; the next is told at once that there will be none. All can be let go of."""
    charts = Charts(tmp_path, command=HANGS)
    waiting = [asyncio.create_task(charts.drawn(CHART, CHART)) for _ in range(4)]
    await asyncio.sleep(0)

    assert await charts.drawn(CHART, CHART) is None
    assert not any(task.done() for task in waiting)
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    assert all(task.cancelled() for task in waiting)


async def test_the_program_gets_no_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the bot's environment but where programs and packages lie."""
    monkeypatch.setenv("DISCORD_TOKEN", "a secret")
    names = {*Charts(tmp_path)._environment()}
    assert names <= {
        "PATH",
        "LD_LIBRARY_PATH",
        "PYTHONPATH",
        "MPLCONFIGDIR",
        "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
    }


def test_letters_that_no_font_has(tmp_path: Path) -> None:
    """Those of six languages' charts are looked for among this machine's fonts; a font that has them is taken."""
    from fontTools.fontBuilder import FontBuilder
    from fontTools.ttLib.tables._g_l_y_f import Glyph
    from matplotlib.font_manager import fontManager

    assert chart.fonts_for("Bilder pro Tag: 95 % – Ä ñ ç") == ["DejaVu Sans"]
    letters = "\U00013000\U00013001"  # hieroglyphs
    assert chart.fonts_for(letters) is None
    builder = FontBuilder(1000, isTTF=True)
    names = [".notdef", "a", "b"]
    builder.setupGlyphOrder(names)
    builder.setupCharacterMap(dict(zip(map(ord, letters), names[1:], strict=True)))
    builder.setupGlyf({name: Glyph() for name in names})
    builder.setupHorizontalMetrics(dict.fromkeys(names, (1000, 0)))
    builder.setupHorizontalHeader(ascent=800, descent=-200)
    builder.setupNameTable({"familyName": "Easel Hieroglyphs", "styleName": "Regular"})
    builder.setupOS2(usWeightClass=400)
    builder.setupPost()
    builder.save(tmp_path / "hieroglyphs.ttf")
    before = [*fontManager.ttflist]
    try:
        fontManager.addfont(tmp_path / "hieroglyphs.ttf")
        assert chart.fonts_for(f"a {letters}") == ["DejaVu Sans", "Easel Hieroglyphs"]
    finally:
        fontManager.ttflist[:] = before
