"""Who runs the bot, as Discord says whose application it is."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import discord
import pytest

from bot.chat.operator import runs_the_bot

OWNER, ADMIN, READER, INVITED, STRANGER = 1, 2, 3, 4, 5
ACCEPTED, ASKED = discord.TeamMembershipState.accepted, discord.TeamMembershipState.invited
ROLE = discord.TeamMemberRole


def client(*, team: bool) -> Any:
    def member(number: int, role: ROLE, state: discord.TeamMembershipState = ACCEPTED) -> SimpleNamespace:
        return SimpleNamespace(id=number, role=role, membership_state=state)

    members = [member(ADMIN, ROLE.admin), member(READER, ROLE.read_only), member(INVITED, ROLE.admin, ASKED)]
    about = SimpleNamespace(
        owner=SimpleNamespace(id=OWNER), team=SimpleNamespace(members=members) if team else None
    )
    return SimpleNamespace(application=about)


@pytest.mark.parametrize(("team", "operators"), [(False, {OWNER}), (True, {ADMIN})])
def test_the_owner_or_the_team(team: bool, operators: set[int]) -> None:
    """A team's members run it once they have joined, unless they may only read; its account itself is nobody."""
    everybody = (OWNER, ADMIN, READER, INVITED, STRANGER)
    assert {number for number in everybody if runs_the_bot(client(team=team), number)} == operators


def test_nobody_before_the_login() -> None:
    """Whose application it is is not known yet."""
    assert not runs_the_bot(discord.Client(intents=discord.Intents.none()), OWNER)
