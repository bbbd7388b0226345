"""What became of every request of a storm, and whether each promise was kept; reads, changes nothing."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bot.store.checks import check
from workshop.rehearsal.chaos.files import rows_of
from workshop.rehearsal.chaos.storm import LIVE, Storm, is_promise, labels
from workshop.rehearsal.loopback.driver import Message

SHARE_OF_IMAGES = 0.95
TRACEBACK = re.compile(r"Traceback \(most recent call last\):\n(?:[ \t].*\n)*(.*)")
ORPHANED = "preparation_data = reduction.pickle.load(from_parent)"
"""Python's own words of a child whose parent was killed between making it and telling it what to be: no line of ours ran."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Numbers, and every broken promise as a sentence."""

    asked: int
    unanswered: int
    """Nobody was told of these, and they cost nothing."""
    delivered: int
    cancelled: int
    """By somebody who pressed the button."""
    refunded: int
    broken: tuple[str, ...]

    @property
    def is_kept(self) -> bool:
        return not self.broken


def judge(storm: Storm) -> Verdict:
    """Every row beside every message."""
    rows = rows_of(storm.bot.folder / "data")
    told = [row for row in rows if row["message_id"] is not None]
    by_state = {state: [row for row in told if row["state"] == state] for state in ("delivered", "failed")}
    cancelled = [row for row in told if row["state"] == "cancelled"]
    return Verdict(
        asked=len(storm.asked),
        unanswered=len(rows) - len(told),
        delivered=len(by_state["delivered"]),
        cancelled=len(cancelled),
        refunded=len(by_state["failed"]),
        broken=tuple(_broken(storm, rows)),
    )


def _broken(storm: Storm, rows: list[dict[str, Any]]) -> Iterator[str]:
    messages = storm.messages()
    galleries: dict[int, list[Message]] = {}
    for message in messages:
        for number in {int(name.split("-")[1]) for name in message.shown_files if name.startswith("easel-")}:
            galleries.setdefault(number, []).append(message)
    for row in rows:
        for sentence in _of_row(row, messages, galleries.get(row["id"], [])):
            yield f"job {row['id']} ({row['state']}, attempt {row['attempt']}): {sentence}"
    yield from _of_answers(storm, rows)
    yield from _of_presses(storm, rows)
    yield from _of_store(storm, rows)
    yield from _of_shares(storm, rows)
    yield from _of_processes(storm)


def _of_row(row: dict[str, Any], messages: list[Message], shown: list[Message]) -> Iterator[str]:
    own = next((message for message in messages if message.id == row["message_id"]), None)
    if row["state"] in LIVE:
        yield "has not ended"
        return
    yield from _of_charge(row)
    if row["deleted_at"] is not None:
        if own is not None or shown:
            yield "was deleted, but its message is still there"
        if row["removed_at"] is None:
            yield "was deleted, but its files are not known to be gone"
    elif row["state"] == "delivered":
        yield from _of_picture(row, own, shown)
    else:
        yield from _of_sentence(row, own, shown)


def _of_charge(row: dict[str, Any]) -> Iterator[str]:
    if row["state"] == "delivered" and row["charged"] != row["cost"]:
        yield f"cost {row['cost']}, but {row['charged']} were charged"
    if row["state"] == "failed" and row["charged"]:
        yield "failed, but was charged"
    if row["state"] == "cancelled" and row["message_id"] is None and row["charged"]:
        yield "was never told of, but was charged"


def _of_picture(row: dict[str, Any], own: Message | None, shown: list[Message]) -> Iterator[str]:
    if len(shown) != 1:
        yield f"is shown by {len(shown)} messages"
    elif own is None or own is not shown[0]:
        yield "is not shown by its own message"
    elif len(own.attachments) != len(json.loads(row["images"])):
        yield f"its message has {len(own.attachments)} attachments"


def _of_sentence(row: dict[str, Any], own: Message | None, shown: list[Message]) -> Iterator[str]:
    if shown:
        yield "shows a picture"
    word = "charged" if row["state"] == "failed" else "ancelled"
    if row["message_id"] is not None and own is not None and word not in own.text:
        yield f"its message does not say so: {own.text!r}"


def _of_answers(storm: Storm, rows: list[dict[str, Any]]) -> Iterator[str]:
    by_interaction = {row["interaction_id"]: row for row in rows}
    for asked in storm.asked:
        message, row = asked.original, by_interaction.get(asked.id)
        if message is None or not is_promise(message):
            continue
        if row is None:
            yield f"message {message.id} promises a picture that no row knows"
        elif row["state"] == "cancelled" and not _is_taken_back(storm, row, message.id):
            yield f"job {row['id']} was acknowledged by message {message.id}, but cancelled: {row['reason_code']}"
    for message in storm.messages():
        if "Cancel" in labels(message):
            yield f"message {message.id} still stands in line: {message.text!r}"


def _is_taken_back(storm: Storm, row: dict[str, Any], message_id: int | None) -> bool:
    """By the person, who pressed Cancel, or with them, by the admin."""
    return message_id in storm.pressed("Cancel") or row["user_id"] in storm.blocked


def _of_presses(storm: Storm, rows: list[dict[str, Any]]) -> Iterator[str]:
    """What was acknowledged has happened."""
    by_message = {row["message_id"]: row for row in rows}
    for number in storm.pressed("Cancel", done=True):
        row = by_message.get(number)
        if row is None or row["state"] != "cancelled":
            yield f"message {number}: Cancel was acknowledged, but its job is {row and row['state']}"
    for number in storm.pressed("Delete", done=True):
        row = by_message.get(number)
        if row is None or row["deleted_at"] is None:
            yield f"message {number}: Delete was acknowledged, but its job knows nothing of it"


def _of_processes(storm: Storm) -> Iterator[str]:
    """What they wrote that is no sentence, and what they have left behind."""
    yield from tracebacks(storm.bot.folder)
    if storm.growth:
        yield f"{len(storm.growth)} files that nobody has a use for: {storm.growth[:12]}"


def tracebacks(folder: Path) -> Iterator[str]:
    """Each in its logs, by its last line."""
    for log in sorted(folder.glob("*.log")):
        for found in TRACEBACK.finditer(log.read_text("utf-8", errors="replace")):
            if ORPHANED not in found[0]:
                yield f"{log.name} has a traceback: {found[1]}"


def _of_store(storm: Storm, rows: list[dict[str, Any]]) -> Iterator[str]:
    yield from check(storm.bot.folder / "data" / "easel.sqlite3")
    if storm.discord.unexpected:
        yield f"the bot asked for what Discord does not have: {storm.discord.unexpected}"
    if storm.exits:
        yield f"the bot ended by itself with {storm.exits}"
    for person in {row["user_id"] for row in rows}:
        own = [row for row in rows if row["user_id"] == person]
        charged = sum(row["charged"] for row in own)
        due = sum(row["cost"] for row in own if row["state"] == "delivered")
        part = sum(row["charged"] for row in own if row["state"] == "cancelled")
        if charged != due + part:
            yield f"person {person} was charged {charged} for pictures worth {due}"


def _of_shares(storm: Storm, rows: list[dict[str, Any]]) -> Iterator[str]:
    told = [row for row in rows if row["message_id"] is not None]
    meant = [row for row in told if not _is_taken_back(storm, row, row["message_id"])]
    failed = [row for row in meant if row["state"] != "delivered"]
    if meant and len(failed) > (1 - SHARE_OF_IMAGES) * len(meant):
        yield f"only {len(meant) - len(failed)} of {len(meant)} ended as pictures"
    if storm.plan.victims == ("bot",) and failed:
        yield f"kills of the bot alone cost {len(failed)} pictures: {[row['reason_code'] for row in failed]}"
