"""What a storm's verdict looks at besides rows and messages: files of the data folder, logs, and how strikes are drawn."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from random import Random

from workshop.rehearsal.chaos.files import leftovers, let_a_year_pass, of_deleted
from workshop.rehearsal.chaos.strikes import OF_THE_ENGINE, draw
from workshop.rehearsal.chaos.verdict import tracebacks


def data_with_a_row(folder: Path, *, deleted: bool = False) -> Path:
    """A data folder whose one job names a picture and an input."""
    data = folder / "data"
    for name in ("spool/inputs/abc", "spool/7-1-0.png", "easel.lock", "health.json"):
        (data / name).parent.mkdir(parents=True, exist_ok=True)
        (data / name).write_bytes(b"x")
    with closing(sqlite3.connect(data / "easel.sqlite3")) as connection:
        connection.execute("CREATE TABLE job (id, request, images, deleted_at, removed_at)")
        images = json.dumps([{"path": str(data / "spool" / "7-1-0.png")}])
        row = (7, json.dumps({"image": "abc"}), images, 1.0 if deleted else None)
        connection.execute("INSERT INTO job VALUES (?1, ?2, ?3, ?4, ?4)", row)
        connection.commit()
    return data


def test_what_rows_name_is_no_leftover(tmp_path: Path) -> None:
    """Database, lock, health file, named pictures and inputs, and as many backups as are kept may lie there."""
    data = data_with_a_row(tmp_path)
    (data / "backups").mkdir()
    for day in (1, 2, 3):
        (data / "backups" / f"easel-2026010{day}T000000Z.sqlite3").write_bytes(b"x")

    assert leftovers(data, backups=3) == []
    assert leftovers(data, backups=2) == ["backups/easel-20260101T000000Z.sqlite3"]


def test_leftovers_are_named(tmp_path: Path) -> None:
    """Half-made files, logs of copies, orphans and pictures of deleted jobs are; the log of a running bot's own base is not."""
    data = data_with_a_row(tmp_path, deleted=True)
    strays = ["backups/.easel-1.sqlite3.4.part-wal", "spool/.8-1-0.png.1-2.part", "spool/inputs/def"]
    for name in (*strays, "easel.sqlite3-wal"):
        (data / name).parent.mkdir(exist_ok=True)
        (data / name).write_bytes(b"")
    found = [*strays, "spool/7-1-0.png"]

    assert set(leftovers(data, backups=3, running=True)) == set(found)
    assert set(leftovers(data, backups=3)) == {*found, "easel.sqlite3-wal"}
    assert of_deleted(data) == ["spool/7-1-0.png"]
    let_a_year_pass(data, found)
    aged = [
        name
        for name in found
        if (data / name).stat().st_mtime < (data / "easel.lock").stat().st_mtime - 86_400 * 300
    ]
    assert aged == ["spool/inputs/def"]


def test_every_traceback_is_told_by_its_last_line(tmp_path: Path) -> None:
    """Also one behind a line's words, and one that caused another; not a child's that never got to any line of ours."""
    frame = '  File "x.py", line 1, in <module>\n    f()\n'
    (tmp_path / "bot.log").write_text(
        f"12:00:00 [info] ready\nTraceback (most recent call last):\n{frame}ValueError: no\n\n"
        f"During handling of the above exception, another exception occurred:\n\n"
        f"Traceback (most recent call last):\n{frame}    ~^^\nOSError: [Errno 28]\n12:00:01 [info] on\n"
        f"12:00:02 [error] lost Traceback (most recent call last):\n{frame}KeyError: 3\n"
    )

    (tmp_path / "backup.log").write_text(
        'Traceback (most recent call last):\n  File "spawn.py", line 130, in _main\n'
        "    preparation_data = reduction.pickle.load(from_parent)\nEOFError: Ran out of input\n"
    )

    assert list(tracebacks(tmp_path)) == [
        "bot.log has a traceback: ValueError: no",
        "bot.log has a traceback: OSError: [Errno 28]",
        "bot.log has a traceback: KeyError: 3",
    ]


def test_an_engines_storm_lays_no_hand_on_the_bot() -> None:
    """Where only the engine may be killed, no moment is drawn for which the bot is ended; else all kinds come."""
    random = Random(1)
    engine = [draw(random, ("engine",)) for _ in range(100)]
    both = [draw(random, ("bot", "engine", "both")) for _ in range(500)]

    assert {strike.moment for strike in engine} == set(OF_THE_ENGINE)
    assert {strike.how for strike in engine} == {"SIGKILL", "SIGSTOP", "SIGSTOP and SIGKILL"}
    assert {strike.victim for strike in both if strike.how == "SIGTERM"} == {"bot"}
    assert len({(strike.victim, strike.how, strike.moment) for strike in both}) == 3 * 6 * 3 + 6
