"""Short storms with fixed seeds: whatever is killed, every promise is kept. `easel chaos` runs long ones."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from workshop.rehearsal.chaos.plan import Plan
from workshop.rehearsal.chaos.storm import storm
from workshop.rehearsal.chaos.verdict import judge

pytestmark = pytest.mark.timeout(300)


@pytest.mark.parametrize(
    "plan",
    [
        Plan(jobs=24, kills=3, seed=11),
        Plan(jobs=24, kills=3, seed=12, victims=("engine",)),
        Plan(jobs=24, kills=3, seed=13, victims=("bot",)),
    ],
    ids=lambda plan: f"seed {plan.seed}: {'+'.join(plan.victims)}",
)
async def test_a_storm(tmp_path: Path, plan: Plan) -> None:
    """Killed at random and with a tenth of Discord's replies lost, everybody gets one picture or one refund."""
    async with storm(tmp_path, plan) as run:
        verdict = judge(run)
        assert verdict.broken == (), verdict
        assert len(run.striker.strikes) == plan.kills
        await old_buttons_work(run)


async def old_buttons_work(run: Any) -> None:
    """A click on the first picture, posted by a process that is long gone, makes another one."""
    message = next(
        found for found in run.messages() if "Reroll" in {button.label for button in found.buttons}
    )
    answer = await run.discord.click(run.people[0], message, "Reroll")
    while answer.ephemeral_text:  # the last bot's engine is not there yet
        await asyncio.sleep(0.1)
        answer = await run.discord.click(run.people[0], message, "Reroll")
    await run.discord.until(lambda: answer.message.shown_files and "Cancel" not in answer.text, timeout_s=60)
