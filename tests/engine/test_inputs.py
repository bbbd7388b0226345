"""Files that pictures start from: kept durably, read with care, and refused with one sentence where they are no good."""

from __future__ import annotations

import hashlib
import threading
from pathlib import Path

import pytest

from engine import inputs
from engine.contract import InvalidRequest


def test_what_is_kept_lies_under_its_digest(tmp_path: Path) -> None:
    """The file's name is its SHA-256, the folder is made, and twice the same is one file."""
    folder = tmp_path / "spool" / inputs.FOLDER
    digest = inputs.keep(folder, b"bytes")
    assert digest == hashlib.sha256(b"bytes").hexdigest() == inputs.keep(folder, b"bytes")
    assert inputs.path_of(folder, digest).read_bytes() == b"bytes"
    assert [path.name for path in folder.iterdir()] == [digest]


def test_two_keep_the_same_at_once(tmp_path: Path) -> None:
    """Several threads that keep the same bytes do not take each other's half-written files away."""
    failed: list[BaseException] = []

    def keep() -> None:
        try:
            for _ in range(20):
                inputs.keep(tmp_path, b"x" * 100_000)
        except OSError as error:
            failed.append(error)

    threads = [threading.Thread(target=keep) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    assert len(list(tmp_path.iterdir())) == 1


def test_too_many_bytes_are_not_kept(tmp_path: Path) -> None:
    """A file beyond the limit is refused with a sentence before anything is written."""
    with pytest.raises(InvalidRequest, match="at most 32"):
        inputs.keep(tmp_path / "inputs", bytes(inputs.BYTES_MAX + 1))
    assert not (tmp_path / "inputs").exists()
