"""What Prometheus finds: every number of an evening, from memory alone, and the pages that name them."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import sqlite3
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from bot.app import create_app
from bot.config import ConfigError
from bot.core.happenings import JobDelivered, JobRendered, JobReviewed
from bot.job import JobState
from bot.vitals.metrics import Metrics
from engine.contract import EngineSettings, FakeSettings
from tests.bot.chat.conftest import StartWorld, start_world
from tests.bot.vitals.test_journal import JOB
from tests.kit.world import Person, settings_for

__all__ = ["start_world"]

DOCS = Path(__file__).parents[3] / "docs" / "run"
MAY_LACK = {"easel_engine_process_open_fds", "easel_engine_process_max_fds"}
"""What one process is told of another as root alone."""
Samples = dict[str, dict[tuple[tuple[str, str], ...], float]]


@pytest.fixture
def listen() -> str:
    """An address at which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


def page(listen: str) -> str:
    with urllib.request.urlopen(f"http://{listen}/metrics", timeout=10) as answer:
        return answer.read().decode()


async def scraped(listen: str) -> Samples:
    """Every sample, by name and labels."""
    return samples_of(await asyncio.to_thread(page, listen))


def samples_of(text: str) -> Samples:
    samples: Samples = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            samples.setdefault(sample.name, {})[tuple(sorted(sample.labels.items()))] = sample.value
    return samples


def of(samples: Samples, name: str, **labels: str) -> float:
    return samples[name].get(tuple(sorted(labels.items())), 0.0)


async def test_an_evening_is_counted(start_world: StartWorld, listen: str) -> None:
    """Requests, refusals, stages, rows, loads, deaths, edits and a 429, as they were; with what is so in this moment."""
    world = await start_world(
        fake=FakeSettings(step_s=0.01, others=("other",)),
        metrics={"listen": listen},
        limits={"max_images": 2},
    )
    await world.imagined(1, images=2)
    await world.alice.click(world.message(1), "Reroll")
    await world.reaches(2, JobState.DELIVERED)
    await world.imagined(3, model="other")
    assert (await world.imagine(images=3)).ephemeral
    assert (await world.imagine(prompt="a circle --weird 5")).ephemeral
    world.discord.fail_next("PATCH", f"/channels/{world.channel.id}/", status=429)
    await world.imagine(prompt="CRASH")
    await world.reaches(4, JobState.FAILED)

    found = await scraped(listen)

    assert of(found, "easel_requests_total", action="imagine", verdict="accepted") == 3
    assert of(found, "easel_requests_total", action="reroll", verdict="accepted") == 1
    assert of(found, "easel_requests_total", action="imagine", verdict="refused") == 2
    assert found["easel_refusals_total"] == {(("kind", "TooManyImages"),): 1, (("kind", "UnknownFlag"),): 1}
    assert found["easel_jobs_ended_total"] == {(("end", "delivered"),): 3, (("end", "failed"),): 1}
    assert of(found, "easel_pictures_total") == 5
    assert {
        stage: of(found, "easel_stage_seconds_count", stage=stage) for stage in ("wait", "render", "post")
    } == {
        "wait": 4,
        "render": 3,
        "post": 3,
    }
    assert of(found, "easel_forwards_total") >= 3 * 8
    assert of(found, "easel_rows_total") > of(found, "easel_forwards_total"), "guidance takes two rows"
    assert of(found, "easel_engine_deaths_total", engine="1") == 2
    assert of(found, "easel_model_loads_total", model="other") == 1
    assert of(found, "easel_model_loads_total", model="fake") >= 1
    assert of(found, "easel_jobs_requeued_total") == 1
    assert of(found, "easel_discord_requests_total", kind="answer", status="200") >= 6
    assert of(found, "easel_discord_requests_total", kind="edit", status="200") >= 4
    assert of(found, "easel_discord_requests_total", kind="edit", status="429") == 1
    assert of(found, "easel_database_bytes", file="database") > 0
    assert of(found, "easel_jobs_waiting") == of(found, "easel_jobs_running") == 0


async def test_moderators_time_is_not_that_of_posting(tmp_path: Path) -> None:
    """Pictures that are held are posted once they are decided about: what that took is nobody's machine's."""
    now = 100.0
    metrics = Metrics(tmp_path / "easel.sqlite3", monotonic=lambda: now)
    metrics.hear(JobRendered(job=JOB, seconds=1.0))
    now += 3600
    metrics.hear(JobReviewed(job=JOB))
    now += 2
    metrics.hear(JobDelivered(job=JOB))
    assert metrics.registry.get_sample_value("easel_stage_seconds_sum", {"stage": "post"}) == 2


async def test_a_model_counts_as_often_as_it_is_read(start_world: StartWorld, listen: str) -> None:
    """Once where an admin and a picture want it at the same time, and again after it was unloaded."""
    world = await start_world(fake=FakeSettings(load_s=1.0, others=("other",)), metrics={"listen": listen})
    operator = Person(world.discord, world.discord.owner)

    async def say(verb: str) -> None:
        await operator.slash(world.channel, f"admin models {verb}", name="other", despite_permissions=True)

    await world.imagine(model="other")
    await world.reaches(1, JobState.RUNNING)
    await say("load")
    await world.reaches(1, JobState.DELIVERED)
    assert of(await scraped(listen), "easel_model_loads_total", model="other") == 1
    await say("unload")
    await world.until(lambda: "other" not in world.engine.status.loaded)
    await say("load")
    await world.until(lambda: "other" in world.engine.status.loaded)
    assert of(await scraped(listen), "easel_model_loads_total", model="other") == 2


async def test_a_scrape_asks_nobody(start_world: StartWorld, listen: str) -> None:
    """While a stranger holds the database and somebody's picture is drawn, what is so now is told at once."""
    world = await start_world(fake=FakeSettings(slots=1), metrics={"listen": listen})
    await world.imagine(prompt="HANG")
    await world.reaches(1, JobState.RUNNING)
    await world.imagine(prompt="HANG", who=world.admin)
    stranger = sqlite3.connect(world.settings.database, isolation_level=None)
    try:
        stranger.execute("BEGIN EXCLUSIVE")
        found = samples_of(page(listen))  # neither the loop nor who speaks to the database moves meanwhile
    finally:
        stranger.close()

    assert (of(found, "easel_jobs_running"), of(found, "easel_jobs_waiting")) == (1, 1)
    assert (of(found, "easel_engine_ready"), of(found, "easel_engine_slots")) == (1, 1)
    assert of(found, "easel_engine_process_resident_memory_bytes", engine="1") > 0
    assert (of(found, "easel_engine_up", engine="1"), of(found, "easel_engine_jobs", engine="1")) == (1, 1)
    assert of(found, "process_resident_memory_bytes") > 0


async def test_nothing_is_heard_after_the_end(start_world: StartWorld, listen: str) -> None:
    """The port is free again for the next start, which counts anew."""
    world = await start_world(metrics={"listen": listen})
    await world.imagined(1)
    await world.restart()

    found = await scraped(listen)

    assert of(found, "easel_pictures_total") == 0


async def test_an_address_that_is_taken_is_told(tmp_path: Path) -> None:
    """Before anybody logs in, in one sentence that names the key."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        settings = settings_for(tmp_path, metrics={"listen": listen})
        client = create_app(settings, EngineSettings(model="fake", spool=str(settings.spool)))
        async with client:
            with pytest.raises(ConfigError) as caught:
                await client.serve("no token")

    (problem,) = caught.value.problems
    why = f"metrics.listen: nothing can listen at {listen} (Address already in use): "
    assert problem == why + "name another address or port, or leave it out."


# ------------------------------------------------------------------ what is written about them


def queries(value: Any) -> Iterator[str]:
    """Every query of a dashboard, its variables' too."""
    match value:
        case dict():
            for key, part in value.items():
                if key in ("expr", "query") and isinstance(part, str):
                    yield part
                else:
                    yield from queries(part)
        case list():
            for part in value:
                yield from queries(part)
        case _:
            pass


def family_of(name: str) -> str:
    return re.sub(r"_(total|bucket|count|sum|info)$", "", name)


async def test_dashboard_and_page_know_what_there_is(start_world: StartWorld, listen: str) -> None:
    """No query of the dashboard names a number that is not told; docs/run/metrics.md names each one and no other."""
    world = await start_world(metrics={"listen": listen})
    await world.imagined(1)
    told = {
        family_of(name) for name in re.findall(r"(?m)^# TYPE (\S+)", await asyncio.to_thread(page, listen))
    }
    board = json.loads((DOCS / "grafana" / "easel.json").read_text("utf-8"))
    asked = [name for query in queries(board) for name in re.findall(r"\b(?:easel|process)_\w+", query)]
    rows = re.findall(r"(?m)^\| `([a-z_]+)`", (DOCS / "metrics.md").read_text("utf-8"))

    assert {family_of(name) for name in asked} <= told
    assert len(set(asked)) >= 15
    assert len(rows) == len({*map(family_of, rows)})
    assert {*map(family_of, rows)} == told | MAY_LACK


def test_the_dashboard_can_be_imported() -> None:
    """It asks for its data source, and no panel lies over another."""
    board = json.loads((DOCS / "grafana" / "easel.json").read_text("utf-8"))
    places = [panel["gridPos"] for panel in board["panels"]]
    cells = [
        (x, y)
        for place in places
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]

    assert board["__inputs"][0]["pluginId"] == "prometheus"
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24
    assert all(panel["datasource"]["uid"] == "${DS_PROMETHEUS}" for panel in board["panels"])
