"""Would engines find their places in the Ray cluster? Asks a child process that joins it for a moment."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any

from bot.config import Settings
from bot.config.engine import engines_of, survey
from bot.config.settings import Address
from bot.shell.doctor.finding import Finding, bad, ok, warn

RAY = "pip install 'easel-imagine[fleet]'"
NOWHERE = "127.0.0.1:1"
"""Asked there, it is only found out whether Ray is installed."""
CLOCK_OFF_S = 60.0


def check_cluster(settings: Settings) -> Iterator[Finding]:
    own = settings.engine
    if own.fleet != "ray":
        return
    if own.address is None:
        facts = survey(settings, NOWHERE)
        if facts["problem"].startswith("fleet ="):
            yield bad("Cluster", facts["problem"], RAY)
        else:
            yield ok("Cluster", "one of this host alone, started and ended with the bot")
        return
    if not Address.read(own.address).is_loopback and os.environ.get("RAY_AUTH_MODE") != "token":
        yield bad(
            "Cluster",
            f"Whoever reaches {own.address} runs programs on its hosts: RAY_AUTH_MODE is not “token”.",
            "docs/run/fleet.md, “What to open between them”",
        )
    facts = survey(settings, own.address)
    if facts["problem"]:
        yield bad(
            "Cluster",
            facts["problem"],
            RAY if facts["problem"].startswith("fleet =") else "address under [engine]",
        )
        return
    yield from judge_cluster(engines_of(settings), own.device, facts)


def judge_cluster(engines: int, device: str, facts: Mapping[str, Any]) -> Iterator[Finding]:
    """What a cluster with these facts means for so many engines."""
    hosts = facts["hosts"]
    yield ok("Cluster", f"{len(hosts)} hosts, {facts['gpus']} GPUs, {facts['cpus']} processors")
    for name in facts["silent"]:
        yield bad(
            "Cluster", f"{name} gives no answer: does it have Easel, and the same Python?", "install it there"
        )
    for host in hosts:
        if not host["same_easel"]:
            text = f"Easel on {host['name']} is not this version: no engine starts there."
            yield bad("Cluster", text, f"install the same Easel on {host['name']}")
        if not host["has_model"]:
            yield bad(
                "Cluster", f"The model does not lie on {host['name']}.", "copy it there, to the same path"
            )
        if abs(host["clock_off_s"]) > CLOCK_OFF_S:
            text = f"The clock of {host['name']} is {host['clock_off_s']:+.0f} s off: nothing of Easel's goes by it."
            yield warn("Cluster", text, f"timedatectl set-ntp true, on {host['name']}")
    if facts["other_bots"]:
        yield warn(
            "Cluster", f"{facts['other_bots']} other bots have engines here: each GPU is one bot's at a time."
        )
    places = facts["cpus"] if device == "cpu" or not facts["gpus"] else facts["gpus"]
    if engines > places:
        yield warn(
            "Cluster", f"engines = {engines}, but there are {places} places: the others wait for a host."
        )
    kinds = {card for host in hosts for card in host["cards"]}
    if len(kinds) > 1:
        yield warn(
            "Cluster",
            f"{', '.join(sorted(kinds))}: different kinds of card draw other last bits. What repeats a seed goes to its own "
            "kind while one is up.",
        )
